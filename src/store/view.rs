//! What readers see: these structures are the JSON shapes of the API and of `--json`. Names and meaning are stable; fields may
//! be added. Times are RFC 3339 in UTC, to the microsecond. What has not happened is `null`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::shape::Time;
use crate::config::Args;
use crate::engine::{Beginning, Cause, Decision, Outcome, RunId, RunKey, RunOutcome};

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunView {
    /// The name, derived from job, cause and nominal time; of a run by hand, from the time of the request.
    pub id: RunId,
    /// The number by which pages go on; ascending in the order of creation.
    pub key: RunKey,
    pub job: String,
    /// Why it exists.
    pub cause: Cause,
    /// The instant the schedule names, before jitter; of a manual run, the request's.
    #[schemars(with = "Time")]
    pub nominal: Timestamp,
    /// The IANA zone of the schedule.
    pub zone: String,
    /// When it was decided.
    #[schemars(with = "Time")]
    pub fired: Timestamp,
    /// When the first partials could start.
    #[schemars(with = "Option<Time>")]
    pub started: Option<Timestamp>,
    #[schemars(with = "Option<Time>")]
    pub ended: Option<Timestamp>,
    /// `null` while the run is live.
    pub outcome: Option<RunOutcome>,
    /// How many partials it has.
    pub partials: u32,
    /// How many have succeeded so far.
    pub succeeded: u32,
    /// How many have ended otherwise than succeeded or cancelled so far.
    pub failed: u32,
    /// How many were cancelled; of an ended run, also those never started.
    pub cancelled: u32,
    /// Why it ended so; one line for people.
    pub reason: Option<String>,
    /// The gather command's result: any JSON.
    #[schemars(with = "serde_json::Value")]
    pub result: Option<Box<RawValue>>,
    /// The values of the job's arguments by name; absent where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: Args,
    /// From `started` to `ended`, in whole milliseconds.
    pub duration_ms: Option<i64>,
}

/// One partial: the line that a gather command reads.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PartialView {
    /// The position of its target, from 0.
    pub index: u32,
    /// Its target, a string or a table; `null` in a run without targets.
    #[schemars(with = "serde_json::Value")]
    pub target: Option<Box<RawValue>>,
    /// Of the last attempt that has ended; another may be due while the run is live.
    pub outcome: Outcome,
    /// How many attempts have ended.
    pub attempts: u32,
    /// When the last attempt started.
    #[schemars(with = "Time")]
    pub started: Timestamp,
    /// When the last attempt ended.
    #[schemars(with = "Time")]
    pub ended: Timestamp,
    /// How long the last attempt took, in milliseconds, to the microsecond.
    pub duration_ms: f64,
    /// The user and system time that the processes of the last attempt took, in milliseconds, to the microsecond; `null` where
    /// there was no process.
    pub cpu_ms: Option<f64>,
    /// The most memory that one of its processes held at once, in bytes; `null` where that is not known: of a process that
    /// held no more than the daemon itself, the kernel does not tell.
    pub max_rss: Option<u64>,
    pub exit_code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// What it returned: any JSON.
    #[schemars(with = "serde_json::Value")]
    pub result: Option<Box<RawValue>>,
    /// Why it failed; one line for people.
    pub error: Option<String>,
}

/// What became of one or several consecutive nominal times of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    pub job: String,
    /// The first nominal time it covers.
    pub first: Timestamp,
    /// The last nominal time it covers; equal to `first` for one.
    pub last: Timestamp,
    /// How many nominal times it covers.
    pub count: u64,
    pub decision: Decision,
    /// The run that was made, or that covers them.
    pub run: Option<RunId>,
    /// When it was decided.
    pub at: Timestamp,
    /// The number of the accounting it belongs to; releases before 0.2 did not write it.
    pub accounting: Option<i64>,
}

/// A stretch in which the nominal times of a job count under one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountingView {
    pub job: String,
    /// Ascending for each job.
    pub number: i64,
    /// Nominal times later than this count.
    pub since: Timestamp,
    /// The latest that counts; `None` while it goes on.
    pub upto: Option<Timestamp>,
    /// A [`crate::config::Definition`] as JSON.
    pub definition: String,
    /// Why it began.
    pub beginning: Beginning,
    /// The latest nominal time of the job that is decided now.
    pub watermark: Timestamp,
}

/// What was kept of an attempt's output. Bytes that are not UTF-8 are shown as U+FFFD; control characters are passed on, so
/// whoever prints it escapes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputView {
    /// From 1; 0 for the gather command.
    pub attempt: u32,
    pub head: String,
    /// Empty when nothing was cut.
    pub tail: String,
    /// Bytes between head and tail that were not kept.
    pub cut: u64,
}

/// How many partials have which outcome, by its name; `retrying` for those whose next attempt is due.
pub type PartialCounts = BTreeMap<String, u32>;

/// Which runs to list, latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub job: Option<String>,
    /// Only those that ended otherwise than succeeded.
    pub failed: bool,
    /// Fired at this time or later.
    pub since: Option<Timestamp>,
    /// Fired before this time.
    pub until: Option<Timestamp>,
    /// Only those after this one in the list: the last run of the page before.
    pub before: Option<RunKey>,
    /// At most so many; never more than [`super::sqlite::MAX_PAGE`].
    pub limit: u32,
}
