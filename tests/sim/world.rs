//! The world around the engine: two clocks, a disk that syncs a little later or refuses for a while, children.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use batchd::config::{Config, JobName, Work};
use batchd::engine::{
    AttemptEnd, Effect, Engine, Event, GatherEnd, Now, Outcome, Phase, Record, RunInfo, RunKey, Stop, Success, Then, Ticket,
};
use jiff::{SignedDuration, Timestamp};

use crate::checks;
use crate::disk::Disk;
use crate::faults::Choices;
use crate::planner::{Load, Planner};
use crate::replay;

/// How long the disk takes to sync.
const SYNC: Duration = Duration::from_millis(2);

/// What children are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// They end by themselves, with success.
    Good,
    /// Some fail, hang or disobey, some cannot be spawned.
    Mixed,
    /// They never end, and ignore the polite signal.
    Stubborn,
}

/// A process; `index` is `None` for a gather command.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) run: Arc<RunInfo>,
    pub(crate) started: Now,
    pub(crate) ends: Duration,
    outcome: Outcome,
    obedient: bool,
    signalled: bool,
}

enum Queued {
    Record(Record),
    Then(Then),
}

pub(crate) struct World {
    pub(crate) now: Now,
    /// The latest time that the wall clock has shown.
    pub(crate) latest_wall: Timestamp,
    pub(crate) engine: Engine,
    pub(crate) disk: Disk,
    pub(crate) children: BTreeMap<(RunKey, Option<u32>), Child>,
    /// (run, partial, attempt) → how often it was started, over all lives of the daemon.
    pub(crate) starts: BTreeMap<(RunKey, u32, u32), u32>,
    pub(crate) planners: BTreeMap<RunKey, Planner>,
    pub(crate) loads: Vec<Load>,
    /// What the sources of jobs list, where it was edited.
    pub(crate) lists: BTreeMap<JobName, Vec<u32>>,
    pub(crate) config: Arc<Config>,
    pub(crate) choices: Choices,
    pub(crate) effects: usize,
    pub(crate) finished: bool,
    /// Effects before which the daemon dies, ascending.
    pub(crate) crashes: VecDeque<usize>,
    pub(crate) temper: Temper,
    /// While it drains: the runs that may go on.
    pub(crate) draining: Option<BTreeSet<RunKey>>,
    /// The engine knows that the disk refuses.
    pub(crate) held: bool,
    /// How many daemons there were before.
    pub(crate) life: u32,
    queue: VecDeque<Queued>,
    synced_at: Option<Duration>,
    /// The disk takes nothing until then.
    refuses_until: Option<Duration>,
    boot: u32,
    tickets: u64,
}

impl World {
    pub(crate) fn new(config: Arc<Config>, start: Timestamp, choices: Choices, crashes: &[usize]) -> Self {
        let now = Now { wall: start, monotonic: Duration::from_secs(1_000) };
        let (engine, effects) = Engine::recover(Arc::clone(&config), batchd::engine::Recovery::default(), "boot-0".into(), now);
        let mut world = Self {
            now,
            latest_wall: start,
            engine,
            disk: Disk::default(),
            children: BTreeMap::new(),
            starts: BTreeMap::new(),
            planners: BTreeMap::new(),
            loads: Vec::new(),
            lists: BTreeMap::new(),
            config,
            choices,
            effects: 0,
            finished: false,
            crashes: crashes.iter().copied().collect(),
            temper: Temper::Mixed,
            draining: None,
            held: false,
            life: 0,
            queue: VecDeque::new(),
            synced_at: None,
            refuses_until: None,
            boot: 0,
            tickets: 0,
        };
        world.perform(effects);
        world
    }

    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Held(held) => self.held = held,
            Event::Drain | Event::StopNow if self.draining.is_none() => {
                let begun = self.engine.runs().filter(|run| run.phase != Phase::Waiting);
                self.draining = Some(begun.map(|run| run.info.key).collect());
            }
            _ => {}
        }
        let effects = self.engine.handle(self.now, event);
        self.perform(effects);
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn run_for(&mut self, time: SignedDuration) {
        self.run_until(self.now.wall + time);
    }

    /// The disk is full, or gone, for a while: what is recorded waits.
    pub(crate) fn refuse_for(&mut self, time: Duration) {
        self.refuses_until = Some(self.now.monotonic + time);
    }

    /// The disk works again, if it did not.
    pub(crate) fn mend(&mut self) {
        self.refuses_until = None;
        self.synced_at = self.synced_at.map(|_| self.now.monotonic);
    }

    /// Goes on until the wall clock shows `until`, or nothing will ever happen any more.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        while !self.finished && self.now.wall < until {
            let Some(next) = self.next_instant() else { return self.advance_to_wall(until) };
            let end = self.monotonic_at(until);
            if next > end {
                return self.advance_to_wall(until);
            }
            self.advance(next.saturating_sub(self.now.monotonic));
            self.happen();
            checks::living(self);
            // Where nothing is on its way to the disk, and not after each single step, for the sake of time.
            if self.queue.is_empty() && self.draining.is_none() && !self.held && self.effects.is_multiple_of(16) {
                replay::check(self);
            }
        }
    }

    pub(crate) fn boot_id(&self) -> Arc<str> {
        format!("boot-{}", self.boot).into()
    }

    /// The wall clock is set.
    pub(crate) fn step_clock(&mut self, by: SignedDuration) {
        if by.is_negative() {
            // What was decided ahead of its instant may start by the time that was.
            self.latest_wall += batchd::engine::LEAD;
        }
        self.now.wall += by;
        self.latest_wall = self.latest_wall.max(self.now.wall);
        self.handle(Event::Tick);
    }

    /// The daemon dies: unsynced records are lost but for a prefix, children die with it; the next one recovers `after`.
    pub(crate) fn crash(&mut self, after: Duration) {
        self.finished = false;
        let kept = if self.queue.is_empty() || self.refuses() { 0 } else { self.choices.among(0..self.queue.len() as u64 + 1) };
        self.sync(usize::try_from(kept).expect("small"));
        self.restart(after);
    }

    /// The daemon has left, or died; a new one starts.
    pub(crate) fn restart(&mut self, after: Duration) {
        self.disk.left_in_order = self.finished;
        self.life += 1;
        self.queue.clear();
        self.synced_at = None;
        self.children.clear();
        self.planners.clear();
        self.loads.clear();
        self.finished = false;
        self.draining = None;
        self.held = false;
        self.refuses_until = None;
        self.advance(after);
        if self.choices.one_in(4) {
            self.boot += 1;
        }
        // Each recovery compares the lists anew.
        self.disk.runs.values_mut().filter(|run| run.outcome.is_none()).for_each(|run| run.dropped.clear());
        let (engine, effects) = Engine::recover(Arc::clone(&self.config), self.disk.recovery(), self.boot_id(), self.now);
        self.engine = engine;
        checks::taken_up(self);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.crashes.front().is_some_and(|point| *point <= self.effects) {
                self.crashes.pop_front();
                self.effects += 1;
                return self.crash(Duration::from_secs(30));
            }
            self.effects += 1;
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Record(record) => {
                checks::record(self, &record);
                self.enqueue(Queued::Record(record));
            }
            Effect::WhenDurable(then) => self.enqueue(Queued::Then(then)),
            Effect::Start { run, parts, .. } => {
                for part in &parts {
                    checks::start(self, &run, part.index, part.attempt, part.target.as_ref());
                }
                let chunk = run.job.policies.chunk.max(1) as usize;
                parts.iter().step_by(chunk).for_each(|part| self.spawn(&run, Some(part.index)));
            }
            Effect::Plan { run, .. } => self.plan(&run),
            Effect::StopPlan { run, .. } => self.stop_plan(run),
            Effect::Load { run, indexes } => self.load(run, indexes),
            Effect::Gather { run, .. } => {
                let unwritten = |queued: &Queued| match queued {
                    Queued::Record(Record::Partials(ends)) => ends[0].run == run.key,
                    Queued::Record(Record::Streak(streak)) => streak.run == run.key,
                    _ => false,
                };
                assert!(!self.queue.iter().any(unwritten), "{}: gathers results that are not on disk", run.id);
                self.spawn(&run, None);
            }
            Effect::Stop { run, index, stop } => self.signal(run, Some(index), stop),
            Effect::StopGather { run, stop } => self.signal(run, None, stop),
            Effect::Suspended { job } => panic!("{job}: its schedule does not move forward"),
            Effect::Answer { .. } => {}
            Effect::Finished => {
                assert!(self.queue.is_empty(), "left before everything was on disk");
                self.finished = true;
            }
        }
    }

    fn enqueue(&mut self, queued: Queued) {
        self.queue.push_back(queued);
        self.synced_at.get_or_insert(self.now.monotonic + SYNC);
    }

    fn spawn(&mut self, run: &Arc<RunInfo>, index: Option<u32>) {
        let (mut seconds, mut outcome, mut obedient) = (self.choices.among(1..40), Outcome::Succeeded, true);
        match self.temper {
            Temper::Good => {}
            Temper::Stubborn => (seconds, obedient) = (100_000, false),
            Temper::Mixed => match self.choices.among(0..12) {
                0 | 1 => outcome = Outcome::Failed,
                2 => (outcome, seconds) = (Outcome::SpawnFailed, 0),
                3 => seconds = 100_000,
                4 => (seconds, obedient) = (100_000, false),
                _ => {}
            },
        }
        let ends = self.now.monotonic + Duration::from_secs(seconds);
        let child = Child { run: Arc::clone(run), started: self.now, ends, outcome, obedient, signalled: false };
        assert!(self.children.insert((run.key, index), child).is_none(), "{} {index:?}: a second copy", run.id);
    }

    fn signal(&mut self, run: RunKey, index: Option<u32>, stop: Stop) {
        let Some(child) = self.children.get_mut(&(run, index)) else { return };
        child.signalled = true;
        if child.obedient || stop == Stop::Kill {
            child.ends = child.ends.min(self.now.monotonic + Duration::from_millis(200));
            child.outcome = Outcome::Signalled;
        }
    }

    fn next_instant(&self) -> Option<Duration> {
        let wakeup = self.engine.next_wakeup();
        let child = self.children.values().map(|child| child.ends).min();
        let planner = self.planners.values().map(|planner| planner.at).min();
        let load = self.loads.iter().map(|(at, ..)| *at).min();
        let others = [child, planner, load, self.synced_at];
        [wakeup.wall.map(|wall| self.monotonic_at(wall)), wakeup.monotonic].into_iter().chain(others).flatten().min()
    }

    fn happen(&mut self) {
        if self.synced_at.is_some_and(|at| at <= self.now.monotonic) && self.disk_takes() {
            let (then, life) = (self.sync(self.queue.len()), self.life);
            for then in then {
                // The news for a daemon that has died meanwhile do not reach the next one.
                if self.life == life {
                    self.handle(Event::Durable(then));
                }
            }
        }
        self.planners_happen();
        let ended: Vec<_> = self.children.iter().filter(|(_, child)| child.ends <= self.now.monotonic).map(|(key, _)| *key).collect();
        // Those of a run are told together, as its handlers do.
        for together in ended.chunk_by(|(one, index), (next, other)| one == next && index.is_some() == other.is_some()) {
            let children: Vec<_> = together.iter().filter_map(|key| Some((key.1, self.children.remove(key)?))).collect();
            self.end(together[0].0, &children);
        }
        self.handle(Event::Tick);
    }

    /// Whether the disk takes what waits. Where it refuses, the engine is told once, and again when it works.
    fn disk_takes(&mut self) -> bool {
        let life = self.life;
        if self.refuses() {
            self.synced_at = self.refuses_until;
            if !self.held {
                self.handle(Event::Held(true));
            }
            return false;
        }
        self.refuses_until = None;
        if self.held {
            self.handle(Event::Held(false));
        }
        self.life == life
    }

    fn refuses(&self) -> bool {
        self.refuses_until.is_some_and(|until| self.now.monotonic < until)
    }

    /// Children of a run: partials, or what gathers.
    fn end(&mut self, run: RunKey, children: &[(Option<u32>, Child)]) {
        let mut ends = Vec::new();
        for (index, child) in children {
            let end = self.attempt_end(child);
            match index {
                Some(index) => ends.push((*index, end)),
                None => return self.handle(Event::GatherEnded { run, end: Box::new(GatherEnd { end }) }),
            }
        }
        if !children.iter().any(|(_, child)| matches!(child.run.job.work, Work::Handler(_))) {
            return self.handle(Event::AttemptsEnded { run, ends });
        }
        let life = self.life;
        for event in as_the_lane_tells(run, ends) {
            // What has ended is nothing to the daemon after the one that died of this.
            if self.life == life {
                self.handle(event);
            }
        }
    }

    fn attempt_end(&self, child: &Child) -> AttemptEnd {
        let duration = self.now.monotonic.saturating_sub(child.started.monotonic);
        let exit_code = (child.outcome == Outcome::Failed).then_some(1);
        AttemptEnd { exit_code, ..AttemptEnd::bare(child.outcome, child.started.wall, self.now.wall, duration) }
    }

    /// Makes the first `count` queued entries durable, and returns what waited for that.
    fn sync(&mut self, count: usize) -> Vec<Then> {
        self.synced_at = None;
        let mut reached = Vec::new();
        for queued in self.queue.drain(..count) {
            match queued {
                Queued::Record(record) => self.disk.apply(&record),
                Queued::Then(then) => reached.push(then),
            }
        }
        reached
    }

    fn advance(&mut self, by: Duration) {
        self.now.monotonic += by;
        self.now.wall += SignedDuration::try_from(by).expect("small");
        self.latest_wall = self.latest_wall.max(self.now.wall);
    }

    fn advance_to_wall(&mut self, until: Timestamp) {
        self.advance(self.monotonic_at(until).saturating_sub(self.now.monotonic));
    }

    fn monotonic_at(&self, wall: Timestamp) -> Duration {
        let ahead = wall.duration_since(self.now.wall);
        self.now.monotonic + Duration::try_from(ahead).unwrap_or(Duration::ZERO)
    }
}

/// Of handlers, successes side by side are told together, and all others.
fn as_the_lane_tells(run: RunKey, ends: Vec<(u32, AttemptEnd)>) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, end) in ends {
        if end.outcome == Outcome::Succeeded {
            let success = Success { started: end.started, ended: end.ended, duration: end.duration, result: end.result };
            match events.last_mut() {
                Some(Event::Succeeded { first, ends, .. }) if *first as usize + ends.len() == index as usize => {
                    *ends = ends.iter().chain([success]).collect();
                }
                _ => events.push(Event::Succeeded { run, first: index, ends: [success].into_iter().collect() }),
            }
        } else if let Some(Event::AttemptsEnded { ends, .. }) = events.last_mut() {
            ends.push((index, end));
        } else {
            events.push(Event::AttemptsEnded { run, ends: vec![(index, end)] });
        }
    }
    events
}
