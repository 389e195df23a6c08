//! The engine together with what performs its effects; the daemon and a foreground run drive the same one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;
use tracing::error;

use super::plans::{Keeper, Loader};
use super::{Progress, clock, foreground, narrate, results};
use crate::config::{Config, Gather, HistoryConfig};
use crate::engine::{self, Answer, Effect, Engine, Event, Outcome, PlanEnd, Record, RunId, RunInfo, RunKey, RunOutcome, Ticket};
use crate::handler::Spoken;
use crate::notify::Bell;
use crate::runner::{ResultSource, Runner};
use crate::store::{Reader, Recorder, Retention, Unwritten, Writer};

/// What is not kept is looked for so often, while runs end.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// How many partials have ended since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) partials: u64,
    /// Those that neither succeeded nor were cancelled.
    pub(super) failed: u64,
}

/// See the module's documentation.
pub(super) struct Core {
    pub(super) engine: Engine,
    writer: Writer,
    runner: Runner,
    state_dir: Arc<Path>,
    loader: Loader,
    /// Runs whose end is not recorded yet, for the log.
    live: HashMap<RunKey, Arc<RunInfo>>,
    tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// Who waits for the end of which run.
    waiting: HashMap<RunKey, Vec<oneshot::Sender<()>>>,
    last_ticket: u64,
    progress: Option<Box<dyn Progress>>,
    /// Rung when people are to be told of something.
    bell: Option<Bell>,
    pub(super) ended: Ended,
    /// How the run that ended last has ended.
    pub(super) last_outcome: Option<RunOutcome>,
    /// When what is not kept was last forgotten, on the monotonic clock.
    forgot: Option<Duration>,
    history: HistoryConfig,
    /// The engine has said that nothing is live and all is on disk.
    pub(super) finished: bool,
}

impl Core {
    pub(super) fn new(engine: Engine, writer: Writer, runner: Runner, config: &Config) -> Self {
        let live: HashMap<_, _> = engine.runs().map(|run| (run.info.key, Arc::clone(run.info))).collect();
        for run in engine.runs() {
            narrate::resumed(run.info, run.counts.succeeded);
        }
        let tickets = HashMap::new();
        let state_dir: Arc<Path> = config.daemon.state_dir.as_path().into();
        let (loader, history) = (Loader::new(Arc::clone(&state_dir)), config.history);
        Self {
            engine,
            writer,
            runner,
            state_dir,
            loader,
            forgot: None,
            history,
            live,
            tickets,
            waiting: HashMap::new(),
            ended: Ended::default(),
            last_ticket: 0,
            progress: None,
            bell: None,
            last_outcome: None,
            finished: false,
        }
    }

    /// What partials say of how far they are.
    pub(super) fn spoken(&self) -> &Spoken {
        self.runner.spoken()
    }

    /// Reports the progress of runs to `progress` from now on.
    pub(super) fn observe(&mut self, progress: Box<dyn Progress>) {
        self.progress = Some(progress);
    }

    /// Has messages delivered, once they are on disk.
    pub(super) fn announce_with(&mut self, bell: Bell) {
        self.bell = Some(bell);
    }

    pub(super) fn recorder(&self) -> Recorder {
        self.writer.recorder()
    }

    /// Lets the engine take one event, and performs what it asks for.
    pub(super) fn handle(&mut self, event: Event) {
        self.handle_all(vec![event]);
    }

    /// The same with events that are ready together.
    pub(super) fn handle_all(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            if let Event::PlanEnded { run, end: PlanEnd::Failed(reason) } = event
                && let Some(run) = self.live.get(run)
            {
                narrate::plan_failed(run, reason);
            }
        }
        let effects = self.engine.handle_all(clock::now(), events);
        self.perform(effects);
    }

    /// What is kept from now on.
    pub(super) fn keep(&mut self, history: HistoryConfig) {
        self.history = history;
        self.forgot = None;
    }

    /// Has what is not kept forgotten, once an hour at most: only what runs makes records.
    pub(super) fn forget(&mut self) {
        let now = clock::now();
        if self.forgot.is_some_and(|last| now.monotonic.saturating_sub(last) < FORGET_EVERY) {
            return;
        }
        self.forgot = Some(now.monotonic);
        let before = SignedDuration::try_from(self.history.keep).ok().and_then(|keep| now.wall.checked_sub(keep).ok());
        self.writer.forget(Retention {
            before: before.unwrap_or(Timestamp::MIN),
            runs: self.history.keep_runs,
            output: self.history.max_size,
        });
    }

    /// A ticket whose answer goes to `reply`.
    pub(super) fn ticket(&mut self, reply: oneshot::Sender<Answer>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(ticket, reply);
        ticket
    }

    /// Sends `reply` once the end of the run is on disk; where it is not live, once all is that was recorded until now.
    pub(super) fn when_ended(&mut self, run: &RunId, reply: oneshot::Sender<()>) {
        match self.engine.run_named(&run.0) {
            Some(run) => {
                let waiting = self.waiting.entry(run).or_default();
                // Some have given up, or their time was over.
                waiting.retain(|reply| !reply.is_closed());
                waiting.push(reply);
            }
            None => self.writer.once_written(move || tell_ended([reply])),
        }
    }

    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(record) => self.record(record),
                Effect::WhenDurable(then) => self.writer.when_durable(then),
                Effect::Start { run, parts, until } => self.runner.start(run, parts, until),
                Effect::Stop { run, index, stop } => self.runner.stop(run, index, stop),
                Effect::Plan { run, until } => {
                    let keeper = Keeper::new(self.writer.planner(), Arc::clone(&self.state_dir), &run);
                    self.runner.plan(run, Box::new(keeper), until);
                }
                Effect::StopPlan { run, stop } => self.runner.stop_plan(run, stop),
                Effect::Load { run, indexes } => {
                    let loader = self.loader.clone();
                    self.runner.load(run, move || loader.load(run, &indexes));
                }
                Effect::Gather { run, until } => self.gather(run, until),
                Effect::StopGather { run, stop } => self.runner.stop_gather(run, stop),
                Effect::Suspended { job } => {
                    error!(job = &*job, "its schedule does not move forward: the job is suspended until it is changed; please report this");
                }
                Effect::Answer { ticket, answer } => {
                    if let Some(reply) = self.tickets.remove(&ticket) {
                        // Whoever asked may have gone; the deed is done all the same.
                        let _ = reply.send(answer);
                    }
                }
                Effect::Finished => self.finished = true,
            }
        }
    }

    /// Brings everything to the disk; gives up after `deadline`.
    pub(super) fn close(self, deadline: Duration) -> Result<(), Unwritten> {
        self.writer.close(deadline)
    }

    fn record(&mut self, record: Record) {
        let run = match &record {
            Record::Fired { run, .. } | Record::Planned { run } | Record::Replanned { run, .. } => {
                self.live.insert(run.key, Arc::clone(run));
                Some(Arc::clone(run))
            }
            Record::Partials(partials) => {
                for partial in partials.iter().filter(|partial| partial.retry.is_none()) {
                    let failed = !matches!(partial.outcome, Outcome::Succeeded | Outcome::Cancelled);
                    self.ended.partials += 1;
                    self.ended.failed += u64::from(failed);
                }
                partials.first().and_then(|partial| self.live.get(&partial.run)).cloned()
            }
            Record::Streak(streak) => {
                self.ended.partials += streak.ends.len() as u64;
                self.live.get(&streak.run).cloned()
            }
            Record::Finished(summary) => {
                self.last_outcome = Some(summary.outcome);
                self.live.extend(summary.runs().map(|run| (run.key, Arc::clone(run))));
                self.live.remove(&summary.run)
            }
            Record::Accounting { .. }
            | Record::Paused { .. }
            | Record::Removed { .. }
            | Record::Decided { .. }
            | Record::Claimed { .. }
            | Record::Retried { .. }
            | Record::Released { .. }
            | Record::Told(_)
            | Record::Standing { .. }
            | Record::Posted(_) => None,
        };
        let job = match &record {
            Record::Decided { job, .. } => self.engine.job(job),
            _ => None,
        };
        let told = narrate::record(&record, run.as_ref(), job);
        if let Some(progress) = &mut self.progress {
            foreground::report(&mut **progress, &record);
        }
        let ended = match &record {
            Record::Finished(summary) => Some(summary.run),
            _ => None,
        };
        let bell = self.bell.clone().filter(|_| !record.tells().is_empty());
        self.writer.record(record);
        if let Some(bell) = bell {
            self.writer.once_written(move || bell.ring());
        }
        if ended.is_some() {
            self.forget();
        }
        // Nothing is told before it is on disk.
        if let Some(told) = told {
            self.writer.once_written(told);
        }
        if let Some(waiting) = ended.and_then(|run| self.waiting.remove(&run)) {
            self.writer.once_written(move || tell_ended(waiting));
        }
    }

    fn gather(&mut self, run: Arc<RunInfo>, until: Option<Timestamp>) {
        match Reader::open(&self.state_dir) {
            Ok(reader) => {
                let results = match run.job.gather {
                    Some(Gather::Handler) => ResultSource::Pages(results::pages(reader, run.key)),
                    _ => ResultSource::Lines(results::lines(reader, run.key)),
                };
                self.runner.gather(run, results, until);
            }
            Err(error) => {
                error!(job = &*run.job.name, run = &*run.id.0, "cannot read the results to gather: {error}");
                let now = clock::now().wall;
                let error = Some(format!("cannot read the results: {error}").into());
                let end = engine::AttemptEnd { error, ..engine::AttemptEnd::bare(Outcome::Failed, now, now, Duration::ZERO) };
                self.handle(Event::GatherEnded { run: run.key, end: Box::new(engine::GatherEnd { end }) });
            }
        }
    }
}

fn tell_ended(waiting: impl IntoIterator<Item = oneshot::Sender<()>>) {
    for reply in waiting {
        // Whoever waited may have given up.
        let _ = reply.send(());
    }
}
