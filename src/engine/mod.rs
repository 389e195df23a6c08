//! What now: fires due since the watermark, overlap, catch-up, retry, fan-out, gather, drain. PURE: a state machine that takes
//! one [`Event`] with the time and returns [`Effect`]s. No clock, no I/O, no async; it cannot fail.
//!
//! - `accounting`, `catch_up`, `overlap`, `pace`, `retry`: one policy each, a pure function with a table of tests.
//! - `fire`: from nominal times to runs. `by_hand`: what people ask for. `follow`: what runs after it. `run`: the state of one run. `dispatch`: which partial starts next.
//! - `planning`: targets that are read when a run begins.
//! - `telling`: who is told of what. `posted`: what becomes of it.
//! - `ending`: from ended attempts to the end of the run. `stopping`: timeouts, cancel, replace, drain.
//! - `recovery`: what a restart takes up again; `replan`: of a run whose targets were edited meanwhile.
//!
//! **Invariants.** Nothing is started before the claim that covers it is on disk. Every nominal time up to a job's watermark
//! has exactly one recorded decision. Every part of a `Start` is answered by exactly one end, in `AttemptsEnded` or `Succeeded`.

mod accounting;
mod by_hand;
mod catch_up;
mod dispatch;
mod ending;
mod event;
mod fire;
mod follow;
mod indexes;
mod outcome;
mod overlap;
mod pace;
mod planning;
mod posted;
mod record;
mod recovery;
mod replan;
mod result;
mod retry;
mod run;
mod stopping;
mod successes;
mod telling;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use self::accounting::{Accounted, MAX_WAIT, Repeat};
pub use self::catch_up::MISFIRE_GRACE;
pub use self::event::{
    Answer, AttemptEnd, CapturedOutput, Effect, Event, GatherEnd, Hindrance, Now, Part, PartEnd, Stop, Then, Ticket, Usage, Wakeup,
};
pub use self::follow::MAX_JOINS;
use self::follow::{Joins, Successors};
pub use self::indexes::Indexes;
pub use self::outcome::{Beginning, Cause, Decision, Outcome, RunOutcome};
pub use self::overlap::MAX_RUNS_PER_JOB;
pub use self::planning::PlanEnd;
pub use self::posted::{LetterKey, Posted};
pub use self::record::{
    Decides, Follow, PartialRecord, Record, RecoveredJob, RecoveredRun, Recovery, RunId, RunInfo, RunKey, RunSummary, Streak,
};
pub use self::result::PartialResult;
pub use self::run::{Counts, MAX_WAITING_RETRIES, Phase};
use self::run::{Flights, Run};
pub use self::successes::{Success, Successes};
pub use self::telling::{FailedTarget, Kind, MAX_NAMED_TARGETS, Notice, Standing, Tell};
use self::timers::{Timer, Timers};
use crate::config::{Config, Job, JobName, Target};

/// A fire is decided and recorded this much ahead of its instant, so that the commit does not delay the start.
pub const LEAD: Duration = Duration::from_millis(20);

/// The state machine. See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    jobs: BTreeMap<JobName, JobState>,
    runs: BTreeMap<RunKey, Run>,
    /// Jobs that have left the configuration while the clock is behind what they had decided.
    retired: BTreeMap<JobName, Accounted>,
    /// The instant each job's next nominal time falls due, jitter included.
    fires: BTreeSet<(Timestamp, JobName)>,
    /// Runs that wait for their instant.
    starts: BTreeSet<(Timestamp, RunKey)>,
    /// When a success of each job is overdue, of those for which people are told.
    overdue: BTreeSet<(Timestamp, JobName)>,
    timers: Timers,
    successors: Successors,
    /// Runs with a partial to start, in turn: a fair share of `max_partials` for each.
    line: VecDeque<RunKey>,
    in_flight: usize,
    last_key: i64,
    /// The time of the last event.
    now: Now,
    boot_id: Arc<str>,
    mode: Mode,
    /// It only carries out what is asked for by hand.
    by_hand: bool,
    /// The store cannot take records: no fire is decided until it can.
    held: bool,
}

/// How far the engine is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Serving,
    /// Decides no fires and starts no run; live ones go on.
    Draining,
    /// The live runs have been signalled.
    Stopping,
    /// Nothing is live; the last records are on their way to the disk.
    Finished,
}

/// A job and its accounting.
#[derive(Debug)]
struct JobState {
    job: Arc<Job>,
    accounted: Accounted,
    /// The entry of this job in `fires`.
    due: Option<Timestamp>,
    /// The next nominal time after the watermark.
    next: Option<Timestamp>,
    live: Vec<RunKey>,
    waiting: VecDeque<RunKey>,
    /// Runs of a backfill, which wait for all others.
    filling: VecDeque<RunKey>,
    /// Nominal times for which some of the jobs before this one have succeeded.
    joins: Joins,
    paused: bool,
    standing: Standing,
    /// The entry of this job in `overdue`.
    overdue_at: Option<Timestamp>,
    /// No longer in the configuration; kept until its last run has ended.
    removed: bool,
}

/// A job as `status` shows it.
#[derive(Debug)]
pub struct JobSnapshot<'a> {
    pub job: &'a Arc<Job>,
    /// Jitter left out.
    pub next: Option<Timestamp>,
    pub live: &'a [RunKey],
    pub waiting: usize,
    pub paused: bool,
}

/// A live run as `status` shows it.
#[derive(Debug)]
pub struct RunSnapshot<'a> {
    pub info: &'a Arc<RunInfo>,
    pub phase: Phase,
    pub partials: u32,
    pub in_flight: usize,
    pub counts: Counts,
    pub stopping: bool,
    flights: &'a Flights,
}

/// An attempt under way, as `status` shows it.
#[derive(Clone, Debug)]
pub struct FlightSnapshot {
    pub index: u32,
    pub target: Option<Target>,
    pub attempt: u32,
    pub since: Timestamp,
}

impl RunSnapshot<'_> {
    /// The attempts under way that were started first, at most so many, the oldest first.
    pub fn oldest_flights(&self, at_most: usize) -> Vec<FlightSnapshot> {
        self.flights.oldest(at_most)
    }
}

impl Engine {
    /// Starts from what the last daemon recorded. `boot_id` tells whether the machine was booted since.
    pub fn recover(config: Arc<Config>, recovery: Recovery, boot_id: Arc<str>, now: Now) -> (Self, Vec<Effect>) {
        let mut engine = Self::empty(config, recovery.last_key, boot_id, now);
        let mut effects = Vec::new();
        engine.take_up_jobs(&recovery.jobs, now, &mut effects);
        engine.take_up_joins(recovery.joined);
        engine.take_up_runs(recovery.runs, now, &mut effects);
        engine.tick(now, &mut effects);
        (engine, effects)
    }

    /// An engine for runs by hand: it decides no fires and touches no watermark.
    pub fn by_hand(config: Arc<Config>, last_key: i64, now: Now) -> Self {
        let state = |(name, job): (&JobName, &Arc<Job>)| (Arc::clone(name), JobState::new(Arc::clone(job), now.wall));
        let jobs = config.jobs.iter().map(state).collect();
        Self { jobs, by_hand: true, ..Self::empty(config, last_key, "".into(), now) }
    }

    fn empty(config: Arc<Config>, last_key: i64, boot_id: Arc<str>, now: Now) -> Self {
        let successors = follow::successors(&config);
        Self {
            config,
            jobs: BTreeMap::new(),
            runs: BTreeMap::new(),
            retired: BTreeMap::new(),
            fires: BTreeSet::new(),
            starts: BTreeSet::new(),
            overdue: BTreeSet::new(),
            timers: Timers::default(),
            successors,
            line: VecDeque::new(),
            in_flight: 0,
            last_key,
            now,
            boot_id,
            mode: Mode::Serving,
            by_hand: false,
            held: false,
        }
    }

    /// Takes one event and says what is to be done about it.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.handle_all(now, [event])
    }

    /// Takes events that are ready together, in their order.
    pub fn handle_all(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let before = std::mem::replace(&mut self.now, now);
        if now.wall < before.wall {
            self.clock_set_back(before, now, &mut effects);
        }
        for event in events {
            self.take(event, now, &mut effects);
        }
        self.tick(now, &mut effects);
        effects
    }

    fn take(&mut self, event: Event, now: Now, effects: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::ConfigLoaded(config) => self.load(config, now, effects),
            Event::Held(held) => self.hold(held, now, effects),
            Event::Durable(then) => self.durable(then, now, effects),
            Event::AttemptsEnded { run, ends } => self.attempts_ended(run, ends, now, effects),
            Event::Succeeded { run, first, ends } => self.succeeded(run, first, ends, now, effects),
            Event::PlanEnded { run, end } => self.plan_ended(run, end, now, effects),
            Event::Loaded { run, targets } => self.loaded(run, targets, now, effects),
            Event::GatherEnded { run, end } => self.gather_ended(run, *end, now, effects),
            Event::Triggered { job, targets, args, nominal, ticket } => {
                self.trigger(&job, (&targets, &args), nominal, ticket, now, effects);
            }
            Event::RetryAsked { job, targets, args, nominal, ticket } => {
                self.retry(&job, (&targets, &args), nominal, ticket, now, effects);
            }
            Event::Paused { job, paused, ticket } => self.pause(&job, paused, ticket, now, effects),
            Event::Backfilled { job, nominals, ticket } => self.backfill(&job, &nominals, ticket, now, effects),
            Event::Cancelled { run, ticket } => self.cancel(run, ticket, now, effects),
            Event::Drain => self.drain(now, effects),
            Event::StopNow => self.stop_now(now, effects),
        }
    }

    /// When the next [`Event::Tick`] is wanted.
    pub fn next_wakeup(&self) -> Wakeup {
        let fire = if self.decides_fires() { self.fires.first().map(|(due, _)| *due - LEAD) } else { None };
        let start = self.starts.first().map(|(at, _)| *at);
        let overdue = self.overdue.first().map(|(at, _)| *at).filter(|_| self.mode == Mode::Serving);
        Wakeup { wall: fire.into_iter().chain(start).chain(overdue).min(), monotonic: self.timers.next() }
    }

    /// The next fire and its job, jitter included.
    pub fn next_fire(&self) -> Option<(Timestamp, &JobName)> {
        self.fires.first().map(|(due, job)| (*due, job)).filter(|_| self.decides_fires())
    }

    /// Whether nothing is live or on its way to the disk after a drain.
    pub fn is_finished(&self) -> bool {
        self.mode == Mode::Finished
    }

    /// Every configured job, by name.
    pub fn jobs(&self) -> impl Iterator<Item = JobSnapshot<'_>> {
        self.jobs.values().filter(|state| !state.removed).map(|state| JobSnapshot {
            job: &state.job,
            next: state.next_fire(),
            live: &state.live,
            waiting: state.waiting.len() + state.filling.len(),
            paused: state.paused,
        })
    }

    /// The definition of a configured job.
    pub fn job(&self, name: &str) -> Option<&Arc<Job>> {
        self.jobs.get(name).map(|state| &state.job)
    }

    /// Every live run, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = RunSnapshot<'_>> {
        self.runs.values().map(|run| RunSnapshot {
            info: &run.info,
            phase: run.phase,
            partials: run.info.targets.partials(),
            in_flight: run.flights.len(),
            flights: &run.flights,
            counts: run.counts,
            stopping: run.stopping.is_some(),
        })
    }

    /// How many runs are live or wait.
    pub fn live_runs(&self) -> usize {
        self.runs.len()
    }

    /// The live run of that name.
    pub fn run_named(&self, id: &str) -> Option<RunKey> {
        self.runs.values().find(|run| *run.info.id.0 == *id).map(|run| run.info.key)
    }

    /// Everything that only the time decides.
    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(timer) = self.timers.take_due(now.monotonic) {
            self.timer_due(timer, now, effects);
        }
        self.decide_fires(now, effects);
        while let Some(&(at, run)) = self.starts.first() {
            if at > now.wall {
                break;
            }
            self.starts.remove(&(at, run));
            self.instant_has_come(run, now, effects);
        }
        self.tell_overdue(now, effects);
        self.dispatch(now, effects);
        self.leave_when_idle(effects);
    }

    fn timer_due(&mut self, timer: Timer, now: Now, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Attempt { run, index } => self.attempt_timed_out(run, index, now, effects),
            Timer::Bundle { run, first } => self.bundle_timed_out(run, first),
            Timer::Kill { run, index } => effects.push(Effect::Stop { run, index, stop: Stop::Kill }),
            Timer::Retry { run } => self.claim(run, now, effects),
            Timer::Pace { run } => {
                if let Some(waiting) = self.runs.get_mut(&run) {
                    waiting.pace_timer = None;
                }
                self.stand_in_line(run, now);
            }
            Timer::Run { run } => self.stop_run(run, run::StopReason::TimedOut, now, effects),
            Timer::KillPlan { run } => effects.push(Effect::StopPlan { run, stop: Stop::Kill }),
            Timer::KillGather { run } => effects.push(Effect::StopGather { run, stop: Stop::Kill }),
            Timer::Late { run } => self.run_is_late(run, now, effects),
            Timer::Drain => self.stop_now(now, effects),
        }
    }

    fn durable(&mut self, then: Then, now: Now, effects: &mut Vec<Effect>) {
        match then {
            Then::Fired { run } => self.plan(run, effects),
            Then::Claimed { run, upto } => self.claimed(run, upto, now, effects),
            Then::Retried { run, count } => self.retried(run, count, now),
            Then::Gathered { run } => self.gather(run, now, effects),
            Then::Answer { ticket, answer } => effects.push(Effect::Answer { ticket, answer }),
            Then::Finished => effects.push(Effect::Finished),
        }
    }

    fn decides_fires(&self) -> bool {
        self.mode == Mode::Serving && !self.held
    }
}

impl JobState {
    /// When it fires next, excepted days left out.
    fn next_fire(&self) -> Option<Timestamp> {
        let next = self.next.filter(|_| self.job.enabled)?;
        if self.job.timetable.is_excepted(next) { self.job.timetable.next_fire(next) } else { Some(next) }
    }

    fn new(job: Arc<Job>, watermark: Timestamp) -> Self {
        let accounted = Accounted { watermark, repeat: Repeat::NONE };
        Self {
            job,
            accounted,
            due: None,
            next: None,
            live: Vec::new(),
            waiting: VecDeque::new(),
            filling: VecDeque::new(),
            joins: Joins::new(),
            paused: false,
            standing: Standing { failures: 0, heard: watermark },
            overdue_at: None,
            removed: false,
        }
    }
}
