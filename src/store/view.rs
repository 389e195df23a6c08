//! What readers get. These are the JSON shapes of the API and the command line: names are stable, times are RFC 3339 in UTC,
//! and a field without a value is `null`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::{Cause, Decision, Outcome, RunId, RunKey, RunOutcome};

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunView {
    /// The name for people: `daily-report@20260311T020000Z`.
    pub id: RunId,
    /// Ascending in the order of creation.
    pub key: RunKey,
    pub job: String,
    pub cause: Cause,
    /// The instant that the schedule names.
    pub nominal: Timestamp,
    /// The job's zone, an IANA name.
    pub zone: String,
    /// When it was decided.
    pub fired: Timestamp,
    /// When its first targets were claimed; `null`: it waits.
    pub started: Option<Timestamp>,
    /// `null`: it has no end yet.
    pub ended: Option<Timestamp>,
    /// From `started` to `ended`, in milliseconds.
    pub duration_ms: Option<i64>,
    pub outcome: Option<RunOutcome>,
    /// How many partials were planned.
    pub partials: u32,
    /// `succeeded`, `failed` and `cancelled` count partials; 0 until the run has ended.
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// Why it ended so, one line.
    pub reason: Option<String>,
    /// What the gather command returned.
    pub result: Option<Box<RawValue>>,
}

/// One partial: a line of the gathered results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartialView {
    /// The place in target order, from 0.
    pub index: u32,
    /// A string or a table, as configured; `null` for a job without targets.
    pub target: Option<Box<RawValue>>,
    /// Of the last attempt.
    pub outcome: Outcome,
    /// How many attempts there were.
    pub attempts: u32,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub duration_ms: f64,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// What it wrote to `BATCHD_RESULT`, or its last line of output when that is JSON.
    pub result: Option<Box<RawValue>>,
    /// One line for people.
    pub error: Option<String>,
}

/// What became of one or several nominal times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    pub job: String,
    pub first: Timestamp,
    pub last: Timestamp,
    /// How many nominal times from `first` to `last`.
    pub count: u64,
    pub decision: Decision,
    /// The run, where it ran.
    pub run: Option<RunKey>,
    /// When it was decided.
    pub at: Timestamp,
}

/// The kept output of one attempt, raw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputView {
    pub attempt: u32,
    pub head: Vec<u8>,
    /// Empty when nothing was cut.
    pub tail: Vec<u8>,
    /// Bytes between head and tail that were not kept.
    pub cut: u64,
}

/// How many partials have which outcome on record.
pub type PartialCounts = BTreeMap<String, u32>;
