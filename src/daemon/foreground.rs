//! One run in the foreground, without a daemon: the same engine, store and runner, for one job.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::clock::{self, Alarm};
use super::core::Core;
use super::events::{Event, Sources};
use super::signals::{Signal, SignalStream};
use super::{Progress, RunOptions, open};
use crate::config::{ArgError, Config, JobName, Targets};
use crate::engine::{self, Answer, Engine, PartialRecord, Record, RunId, RunOutcome};
use crate::handler::{self, Registry};
use crate::store::{Health, StoreError};

/// How long the records may take to reach the disk at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub id: RunId,
    pub outcome: RunOutcome,
    /// The signal that asked it to end, if one did.
    pub interrupted_by: Option<Signal>,
}

/// Why it did not run.
#[derive(Debug, thiserror::Error)]
pub enum ForegroundError {
    #[error("no job is called `{0}`")]
    UnknownJob(JobName),
    #[error("the job has no target `{0}`")]
    UnknownTarget(Arc<str>),
    #[error(transparent)]
    WrongArgument(#[from] ArgError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the records could not be written: {0}")]
    Unwritten(String),
    #[error("cannot watch signals and timers: {0}")]
    Io(#[from] io::Error),
    #[error("the run was not started: {0:?}")]
    Refused(Answer),
}

/// Runs a job now, in this process, and reports to `progress`. SIGINT and SIGTERM cancel it; the second time kills it.
pub async fn run_once(
    config: Arc<Config>,
    job: JobName,
    options: RunOptions,
    handlers: Registry,
    progress: Box<dyn Progress>,
) -> Result<Ran, ForegroundError> {
    let signals = SignalStream::install()?;
    let state_dir: Arc<Path> = config.daemon.state_dir.as_path().into();
    let (engine_events, engine) = mpsc::unbounded_channel();
    let (store_events, store) = mpsc::unbounded_channel();
    let node = format!("run-{}", std::process::id());
    let opened = open::store(&state_dir, node, engine_events.clone(), store_events)?;
    // Not among the files of a daemon, which may be at work.
    let home = handler::leftovers::foreground_home(&state_dir, std::process::id());
    let runner = open::runner(&home, &opened.boot_id, handlers, engine_events);
    let engine_state = Engine::by_hand(Arc::clone(&config), opened.recovery.last_key, clock::now());
    let mut core = Core::new(engine_state, opened.writer, runner, &config);
    core.observe(progress);

    let (reply, mut answer) = oneshot::channel();
    let ticket = core.ticket(reply);
    let RunOptions { args, targets, nominal } = options;
    core.handle(engine::Event::Triggered { job: Arc::clone(&job), targets, args, nominal, ticket });
    let mut sources = Sources::new(engine, store, Some(signals), Alarm::new()?);
    let mut ran = None;
    let mut interrupted_by = None;
    while !core.finished {
        if ran.is_none() {
            ran = answer.try_recv().ok().map(|answer| started(answer, &job)).transpose()?;
        }
        if ran.is_some() && core.engine.runs().next().is_none() {
            // Everything has ended: the drain only waits for the disk.
            core.handle(engine::Event::Drain);
        }
        for event in sources.next(clock::now(), core.engine.next_wakeup()).await? {
            match event {
                Event::Engine(event) => core.handle(event),
                Event::Store(Health::Failed { reason }) => return Err(ForegroundError::Unwritten(reason)),
                Event::Signal(signal @ (Signal::Interrupt | Signal::Terminate)) => {
                    interrupt(&mut core, interrupted_by.replace(signal).is_some());
                }
                Event::Rang(_) => core.handle(engine::Event::Tick),
                Event::Store(_) | Event::Signal(_) | Event::Request(_) | Event::Loaded(_) | Event::Shutdown => {}
            }
        }
    }
    let outcome = core.last_outcome.unwrap_or(RunOutcome::Interrupted);
    core.close(FLUSH_DEADLINE).map_err(|error| ForegroundError::Unwritten(error.to_string()))?;
    handler::leftovers::leave(&home);
    let id = ran.ok_or_else(|| ForegroundError::Refused(Answer::Draining))?;
    Ok(Ran { id, outcome, interrupted_by })
}

/// The first time cancels the run, the second kills it.
fn interrupt(core: &mut Core, again: bool) {
    if again {
        core.handle(engine::Event::StopNow);
        core.handle(engine::Event::StopNow);
        return;
    }
    let live: Vec<_> = core.engine.runs().map(|run| run.info.key).collect();
    for run in live {
        let (reply, _) = oneshot::channel();
        let ticket = core.ticket(reply);
        core.handle(engine::Event::Cancelled { run, ticket });
    }
}

fn started(answer: Answer, job: &JobName) -> Result<RunId, ForegroundError> {
    match answer {
        Answer::Run(id) => Ok(id),
        Answer::UnknownJob => Err(ForegroundError::UnknownJob(Arc::clone(job))),
        Answer::WrongArgument(error) => Err(ForegroundError::WrongArgument(error)),
        Answer::UnknownTarget(target) => Err(ForegroundError::UnknownTarget(target)),
        other => Err(ForegroundError::Refused(other)),
    }
}

/// Passes a record on as progress.
pub(super) fn report(progress: &mut dyn Progress, record: &Record) {
    match record {
        // Until its targets have been read, nobody knows how many there are.
        Record::Fired { run, .. } if matches!(run.targets, Targets::Unplanned(_)) => {}
        Record::Fired { run, .. } | Record::Planned { run } => progress.planned(run),
        Record::Partials(partials) => partials.iter().for_each(|partial| partial_ended(progress, partial)),
        Record::Streak(streak) => streak.partials().for_each(|partial| partial_ended(progress, &partial)),
        Record::Finished(summary) => progress.finished(summary),
        Record::Accounting { .. }
        | Record::Paused { .. }
        | Record::Removed { .. }
        | Record::Decided { .. }
        | Record::Claimed { .. }
        | Record::Retried { .. }
        | Record::Released { .. }
        | Record::Told(_)
        | Record::Standing { .. }
        | Record::Posted(_)
        | Record::Replanned { .. } => {}
    }
}

fn partial_ended(progress: &mut dyn Progress, partial: &PartialRecord) {
    let retry = partial.retry.is_some();
    let (target, error) = (partial.target.as_ref(), partial.error.as_deref());
    progress.partial_ended(partial.index, target, partial.outcome, partial.attempt, retry, error);
}
