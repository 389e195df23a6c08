//! What is written down: the records that outlive the daemon, and what a restart reads back.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Accounted, Beginning, CapturedOutput, Cause, Decision, Indexes, Outcome, Posted, Repeat, RunOutcome, Standing, Successes, Tell, Usage,
};
use crate::config::{Args, Job, JobName, Target, Targets};

/// A run's short name inside the program and the database: ascending in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RunKey(pub i64);

impl RunKey {
    /// The instant that the key stands for: that of its creation, or a little later where several were made at once.
    pub fn time(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }
}

/// A run's name for people, derived from (job, cause, nominal time): `daily-report@20260311T020000Z`,
/// `sync@20261123T203612.345678Z+manual`. By hand and after another job, the time is that of its creation, whatever nominal
/// time it works on. The same fire always has the same name, so doing it twice is visible.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(#[schemars(with = "String")] pub Arc<str>);

impl RunId {
    /// The name of the run of `job` for `nominal`; a fraction of the second is shown where there is one.
    pub fn new(job: &str, cause: Cause, nominal: Timestamp) -> Self {
        Self::repeated(job, cause, nominal, 1)
    }

    /// The name where the nominal time comes for the `number`th time, because the clock was set back:
    /// `daily-report@20260311T020000Z~2`.
    pub fn repeated(job: &str, cause: Cause, nominal: Timestamp, number: u32) -> Self {
        let whole = if nominal.subsec_nanosecond() == 0 { "%Y%m%dT%H%M%SZ" } else { "%Y%m%dT%H%M%S%.6fZ" };
        let time = nominal.strftime(whole);
        let mut id = format!("{job}@{time}");
        if !matches!(cause, Cause::Schedule | Cause::CatchUp) {
            id = format!("{id}+{cause}");
        }
        if number > 1 {
            id = format!("{id}~{number}");
        }
        Self(id.into())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The facts of a run that never change.
#[derive(Clone, Debug)]
pub struct RunInfo {
    pub key: RunKey,
    pub id: RunId,
    /// The definition it was fired with; a reload does not touch it.
    pub job: Arc<Job>,
    pub cause: Cause,
    pub nominal: Timestamp,
    /// When it was decided.
    pub fired: Timestamp,
    /// The targets, as planned.
    pub targets: Targets,
    /// What it was told, and the defaults of what it was not.
    pub args: Arc<Args>,
}

/// One fact. Appended in order; the database after all records up to one is the state at that point.
#[derive(Debug)]
pub enum Record {
    /// Where a job's accounting starts; an earlier one of the job ends. `boot_id`: the boot whose `@reboot` is decided.
    Accounting { job: Arc<Job>, accounted: Accounted, fingerprint: u64, beginning: Beginning, boot_id: Option<Arc<str>> },
    /// A job is paused, or goes on.
    Paused { job: JobName, paused: bool },
    /// A job has left the configuration: its accounting ends.
    Removed { job: JobName },
    /// `count` nominal times of the job from `first` to `last` are decided without a run, all alike; the watermark moves to
    /// `last`.
    Decided { job: JobName, first: Timestamp, last: Timestamp, count: u64, decision: Decision, at: Timestamp, tells: Vec<Tell> },
    /// A run exists, with its plan, and what it decides. Starts nothing by itself.
    Fired { run: Arc<RunInfo>, decides: Decides },
    /// The targets of a run have been read for the first time, and are in the store: it has so many partials.
    Planned { run: Arc<RunInfo> },
    /// The targets of the job were edited while the run was interrupted: from now on it has those of `run`. The partials at
    /// `dropped` end as cancelled, because their targets are listed no more.
    Replanned { run: Arc<RunInfo>, dropped: Indexes, at: Timestamp },
    /// The targets before `upto` may have been started from now on; a lower `upto` than before releases what was not.
    Claimed { run: RunKey, upto: u32, at: Timestamp },
    /// A further attempt of a partial may have been started from now on.
    Retried { run: RunKey, index: u32, attempt: u32 },
    /// The further attempt of a partial was not started, and this daemon leaves it to the next.
    Released { run: RunKey, index: u32 },
    /// Attempts of partials of one run have ended, in this order; with `retry` the partial goes on, else it has ended too.
    Partials(Vec<PartialRecord>),
    /// Neighbours have succeeded at their first attempts.
    Streak(Streak),
    /// A run has ended.
    Finished(Box<RunSummary>),
    /// Somebody is to be told, of what is no record of its own.
    Told(Box<Tell>),
    /// How a job stands, where that is not the work of a run.
    Standing { job: JobName, standing: Standing },
    /// A delivery has come a step further.
    Posted(Posted),
}

/// What a new run decides. It is one record with the run, so that a crash leaves both or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decides {
    /// Its nominal time: it ran, and the watermark moves there.
    Nominal,
    /// The `@reboot` of this boot of the machine.
    Boot(Arc<str>),
    /// Nothing: it was asked for by hand.
    Nothing,
}

/// The end of an attempt of a partial.
#[derive(Debug)]
pub struct PartialRecord {
    pub run: RunKey,
    pub index: u32,
    /// `None` also where only the store has it.
    pub target: Option<Target>,
    /// The store has the target already, in the run's plan.
    pub planned: bool,
    pub attempt: u32,
    pub outcome: Outcome,
    /// When the next attempt is due; `None`: the partial has ended.
    pub retry: Option<Timestamp>,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub duration: Duration,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub result: Option<Box<RawValue>>,
    pub error: Option<Arc<str>>,
    pub output: Option<CapturedOutput>,
    pub usage: Option<Usage>,
}

/// Neighbours that have succeeded at their first attempts, with nothing to tell of each but its result.
#[derive(Debug)]
pub struct Streak {
    pub run: RunKey,
    /// The index of the first; the others follow.
    pub first: u32,
    /// The store has their targets already, in the run's plan.
    pub planned: bool,
    /// As many as there are ends.
    pub targets: Vec<Option<Target>>,
    pub ends: Successes,
}

impl Streak {
    /// The same, each by itself.
    pub fn partials(&self) -> impl Iterator<Item = PartialRecord> + '_ {
        (0..self.ends.len()).filter_map(|place| self.partial(place))
    }

    /// The one at this place, from 0, by itself.
    pub fn partial(&self, place: usize) -> Option<PartialRecord> {
        let success = self.ends.get(place)?;
        Some(PartialRecord {
            run: self.run,
            index: self.first.saturating_add(u32::try_from(place).unwrap_or(u32::MAX)),
            target: self.targets.get(place).cloned().flatten(),
            planned: self.planned,
            attempt: 1,
            outcome: Outcome::Succeeded,
            retry: None,
            started: success.started,
            ended: success.ended,
            duration: success.duration,
            exit_code: None,
            signal: None,
            result: success.result.and_then(|json| RawValue::from_string(json.to_owned()).ok()),
            error: None,
            output: None,
            usage: None,
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunSummary {
    pub run: RunKey,
    pub outcome: RunOutcome,
    pub ended: Timestamp,
    pub succeeded: u32,
    /// Partials that ended otherwise than succeeded or cancelled.
    pub failed: u32,
    /// Partials cancelled, or never started.
    pub cancelled: u32,
    /// Why, for people; one line.
    pub reason: Option<Arc<str>>,
    /// The gather command's result.
    pub result: Option<Arc<RawValue>>,
    /// The gather command's output.
    pub output: Option<CapturedOutput>,
    /// What the jobs make of it that run after this one.
    pub follows: Vec<Follow>,
    /// Who is told of it.
    pub tells: Vec<Tell>,
    /// How the job stands now, if it is otherwise than before.
    pub standing: Option<Standing>,
}

impl Record {
    /// How many facts it tells: of partials one each.
    pub fn facts(&self) -> usize {
        match self {
            Self::Partials(partials) => partials.len(),
            Self::Streak(streak) => streak.ends.len(),
            _ => 1,
        }
    }

    /// Who is told of it.
    pub fn tells(&self) -> &[Tell] {
        match self {
            Self::Decided { tells, .. } => tells,
            Self::Finished(summary) => &summary.tells,
            Self::Told(tell) => std::slice::from_ref(tell),
            _ => &[],
        }
    }
}

impl RunSummary {
    /// The runs that follow.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<RunInfo>> {
        self.follows.iter().filter_map(|follow| match follow {
            Follow::Run(run) => Some(run),
            Follow::Joined { .. } | Follow::Forgotten { .. } => None,
        })
    }
}

/// What follows from the success of a run. It is one record with the end, so that a crash leaves both or neither.
#[derive(Debug, Clone)]
pub enum Follow {
    /// A run that exists from now on.
    Run(Arc<RunInfo>),
    /// `job` has to wait for others: for the nominal time, `succeeded` has.
    Joined { job: JobName, nominal: Timestamp, succeeded: JobName },
    /// `job` does not wait any more for the nominal time, and does not run for it.
    Forgotten { job: JobName, nominal: Timestamp },
}

/// What a restart reads back.
#[derive(Debug, Default)]
pub struct Recovery {
    pub jobs: Vec<RecoveredJob>,
    /// Runs without an end, oldest first.
    pub runs: Vec<RecoveredRun>,
    /// Jobs that wait for others, the nominal time, and one that has succeeded for it.
    pub joined: Vec<(JobName, Timestamp, JobName)>,
    /// The greatest key ever given.
    pub last_key: i64,
}

#[derive(Debug, Clone)]
pub struct RecoveredJob {
    pub name: JobName,
    pub watermark: Timestamp,
    pub repeat: Repeat,
    /// 0 for a job that was disabled or had left the configuration.
    pub fingerprint: u64,
    /// Whether the start of its accounting is on record; releases before 0.2 did not write it.
    pub accounting: bool,
    pub paused: bool,
    /// `None` where no release has recorded it.
    pub standing: Option<Standing>,
    /// The boot in which `@reboot` was last decided.
    pub boot_id: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub struct RecoveredRun {
    pub key: RunKey,
    pub id: RunId,
    pub job: JobName,
    pub cause: Cause,
    pub nominal: Timestamp,
    pub fired: Timestamp,
    pub targets: Targets,
    pub args: Arc<Args>,
    /// Targets before this index may have been started; 0: nothing was.
    pub claimed: u32,
    /// Partials that have ended, ascending by index; neighbours that ended alike are one range: the outcome and the last
    /// attempt's number.
    pub ended: Vec<(Range<u32>, Outcome, u32)>,
    /// Partials that wait for another attempt: how the last one ended, and its number.
    pub retrying: Vec<(u32, Outcome, u32)>,
    /// Partials whose further attempt may have been started, and has no end: its number.
    pub retried: Vec<(u32, u32)>,
}
