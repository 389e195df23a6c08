//! What can happen to the engine, and what it asks for.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{Outcome, PlanEnd, Record, RunId, RunInfo, RunKey, Successes};
use crate::config::{ArgError, Args, Config, JobName, Target};

/// The time, of both kinds: wall for nominal times, monotonic (since any fixed origin) for timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub monotonic: Duration,
}

/// Names the caller of a request, so that its answer finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Everything that can happen to the engine.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A new, valid configuration replaces the old one.
    ConfigLoaded(Arc<Config>),
    /// Whether the store cannot take records at present: while it cannot, no fires are decided.
    Held(bool),
    /// All records up to the one that asked for it are on disk.
    Durable(Then),
    /// Attempts of a run have ended, by the index of their partial: their processes are gone. That of the first partial of a chunk
    /// stands for the whole chunk.
    AttemptsEnded { run: RunKey, ends: Vec<(u32, AttemptEnd)> },
    /// Attempts of neighbours have succeeded, from the partial `first` on: the same as `AttemptsEnded`, in a form in which a million
    /// of them take less time and memory.
    Succeeded { run: RunKey, first: u32, ends: Successes },
    /// The reading of a run's targets has ended.
    PlanEnded { run: RunKey, end: PlanEnd },
    /// Targets that were asked for with [`Effect::Load`], or why they cannot be had.
    Loaded { run: RunKey, targets: Result<Vec<(u32, Target)>, Arc<str>> },
    /// The gather command has ended.
    GatherEnded { run: RunKey, end: Box<GatherEnd> },
    /// A person or program starts a job by hand.
    Triggered { job: JobName, targets: Vec<Arc<str>>, args: Args, nominal: Option<Timestamp>, ticket: Ticket },
    /// A person or program wants these targets of an earlier run worked on again, for its nominal time; those that the job has no
    /// more are left out. No targets: the job has none.
    RetryAsked { job: JobName, targets: Vec<Arc<str>>, args: Args, nominal: Timestamp, ticket: Ticket },
    /// A person or program pauses a job, or lets it go on.
    Paused { job: JobName, paused: bool, ticket: Ticket },
    /// A person or program wants a run for each of these nominal times of a job; none of them has a run of that kind.
    Backfilled { job: JobName, nominals: Vec<Timestamp>, ticket: Ticket },
    /// A person or program cancels a live run.
    Cancelled { run: RunKey, ticket: Ticket },
    /// Decide no new fires, start no new run, let live ones go on for the drain timeout.
    Drain,
    /// Stop all live attempts now; a second time: kill them.
    StopNow,
}

/// What the engine asks for. Effects are performed in order.
#[derive(Debug)]
pub enum Effect {
    /// Append to the store, in order; need not be on disk yet when the next effect is performed.
    Record(Record),
    /// Once everything recorded so far is on disk, hand this back as [`Event::Durable`].
    WhenDurable(Then),
    /// Carry out an attempt of each of these partials, one at least: where the job has a `chunk` in one process, else each on its
    /// own. `until`: when a timeout will stop them.
    Start { run: Arc<RunInfo>, parts: Vec<Part>, until: Option<Timestamp> },
    /// Signal the process tree of a partial's attempt.
    Stop { run: RunKey, index: u32, stop: Stop },
    /// Read the targets of a run, and bring them into the store.
    Plan { run: Arc<RunInfo>, until: Option<Timestamp> },
    /// Stop the reading of a run's targets.
    StopPlan { run: RunKey, stop: Stop },
    /// Have these targets of a run from the store.
    Load { run: RunKey, indexes: Vec<Range<u32>> },
    /// Have the recorded results of a run gathered, by its command or its handler.
    Gather { run: Arc<RunInfo>, until: Option<Timestamp> },
    /// Signal the process tree of a run's gather command.
    StopGather { run: RunKey, stop: Stop },
    /// Tell that the schedule of a job does not move forward: it fires no more until it is changed.
    Suspended { job: JobName },
    /// Answer a request.
    Answer { ticket: Ticket, answer: Answer },
    /// Drained: nothing is live any more.
    Finished,
}

/// A partial that is to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub index: u32,
    pub attempt: u32,
    pub target: Option<Target>,
}

/// How a partial of a chunk ended, where its process has told.
#[derive(Debug)]
pub struct PartEnd {
    pub index: u32,
    /// `Succeeded` or `Failed`.
    pub outcome: Outcome,
    pub result: Option<Box<RawValue>>,
    pub error: Option<Arc<str>>,
}

/// What was waited for with [`Effect::WhenDurable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The run is on record.
    Fired { run: RunKey },
    /// The targets of the run before `upto` are claimed and may be started.
    Claimed { run: RunKey, upto: u32 },
    /// The oldest `count` retries that were asked for may be started.
    Retried { run: RunKey, count: usize },
    /// All results of the run can be read.
    Gathered { run: RunKey },
    /// The request's effect is on disk.
    Answer { ticket: Ticket, answer: Answer },
    /// Everything is on disk; the daemon may leave.
    Finished,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The run that was made.
    Run(RunId),
    /// The runs that were made.
    Runs(Vec<RunId>),
    /// The job is paused, or goes on; `changed`: it was not so before.
    Paused { changed: bool },
    /// More runs than may wait; so many wait already.
    TooMany { waiting: usize },
    /// Asked to stop; it ends when its processes have.
    Stopping,
    /// No such job.
    UnknownJob,
    /// No such target of the job.
    UnknownTarget(Arc<str>),
    /// The job cannot be told that.
    WrongArgument(ArgError),
    /// The run is not live.
    NotLive,
    /// No new runs: the daemon is leaving.
    Draining,
    /// A run of the job is live, and its overlap policy does not let another one start.
    Overlapping(RunId),
}

/// The rungs of the stop ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The job's stop signal.
    Polite,
    /// SIGKILL.
    Kill,
}

/// How an attempt ended, as its handler saw it.
#[derive(Debug)]
pub struct AttemptEnd {
    /// `Succeeded`, `Failed`, `Signalled` or `SpawnFailed`; the engine knows of timeouts and cancels.
    pub outcome: Outcome,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Measured on the monotonic clock.
    pub duration: Duration,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub result: Option<Box<RawValue>>,
    /// For people, one line.
    pub error: Option<Arc<str>>,
    pub output: Option<CapturedOutput>,
    /// Of a chunk, what its process told of single partials; the others ended as it did.
    pub parts: Vec<PartEnd>,
    /// Why it could not be started, where that is known.
    pub hindrance: Option<Hindrance>,
    /// What its processes took; `None` where nobody measured.
    pub usage: Option<Usage>,
}

impl AttemptEnd {
    /// An end of which there is nothing more to tell.
    pub fn bare(outcome: Outcome, started: Timestamp, ended: Timestamp, duration: Duration) -> Self {
        Self {
            outcome,
            started,
            ended,
            duration,
            exit_code: None,
            signal: None,
            result: None,
            error: None,
            output: None,
            parts: Vec::new(),
            hindrance: None,
            usage: None,
        }
    }
}

/// Why an attempt could not be started, as far as another try is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// It stays so until somebody mends it: no such program, not executable, too long.
    Lasting,
    /// The machine had no room for it: descriptors, processes, memory.
    Shortage,
}

/// What the processes of an attempt took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time, of the process and of those it has waited for.
    pub cpu: Duration,
    /// Bytes; `None` where it is not known.
    pub max_rss: Option<u64>,
}

/// What is kept of an attempt's output: the head and the tail, raw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedOutput {
    pub head: Vec<u8>,
    /// Empty when nothing was cut.
    pub tail: Vec<u8>,
    /// Bytes between head and tail that were not kept.
    pub cut: u64,
}

/// How a gather command ended.
#[derive(Debug)]
pub struct GatherEnd {
    pub end: AttemptEnd,
}

/// When the engine wants the next [`Event::Tick`]; the earlier of both counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wakeup {
    pub wall: Option<Timestamp>,
    pub monotonic: Option<Duration>,
}
