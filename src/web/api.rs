//! The JSON shapes of the API and of `--json`. Names are stable, fields may be added; times are RFC 3339 in UTC, and a field
//! without a value is `null`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Args, Job};
use crate::engine::{Cause, RunId, RunKey};
use crate::store::Time;
pub use crate::store::outbox::ChannelView;
pub use crate::store::{OutputView, PartialCounts, PartialView, RunView};

/// A page of runs, newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RunPage {
    pub runs: Vec<RunView>,
    /// Pass it as `before` for the next page; `null`: this is the last.
    pub next: Option<RunKey>,
}

/// Everything `batchd show` tells of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunDetail {
    pub run: RunView,
    pub counts: PartialCounts,
    /// The partials that took longest, slowest first.
    pub slowest: Vec<PartialView>,
    /// The first partials that failed, in target order.
    pub failed: Vec<FailedPartial>,
    /// The last lines of the gather command's output.
    pub gather_output: Vec<String>,
}

/// A partial that failed, with the end of what it said.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailedPartial {
    pub partial: PartialView,
    /// The last lines of its last attempt's output.
    pub last_output: Vec<String>,
}

/// The kept outputs of one partial, oldest attempt first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputList {
    pub outputs: Vec<OutputView>,
}

/// The state of a running daemon.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LiveStatus {
    pub version: String,
    pub pid: u32,
    /// When the daemon started.
    #[schemars(with = "Time")]
    pub since: Timestamp,
    pub config_path: String,
    /// A short hash of the configuration in force.
    pub config_hash: String,
    /// When the configuration in force was read.
    #[schemars(with = "Time")]
    pub config_loaded: Timestamp,
    /// How many jobs it has.
    pub jobs: usize,
    /// The earliest next fire of all jobs.
    #[schemars(with = "Option<Time>")]
    pub next_fire: Option<Timestamp>,
    /// It fires nothing new, and leaves when the live runs have ended.
    pub draining: bool,
    /// Why the last reload was refused, a line a problem; empty when it was applied.
    pub reload_problems: Vec<String>,
    pub store: StoreState,
    /// `null` where the daemon is part of a program that has a log of its own.
    #[serde(default)]
    pub log: Option<LogState>,
    /// The channels in which messages wait or were given up.
    pub channels: Vec<ChannelView>,
    /// Partials that have ended since the daemon started.
    pub partials_ended: u64,
    /// Those of them that neither succeeded nor were cancelled.
    pub partials_failed: u64,
    /// The live runs, oldest first.
    pub runs: Vec<LiveRun>,
}

/// Whether the records can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreState {
    pub healthy: bool,
    /// Why not.
    pub reason: Option<String>,
    #[schemars(with = "Option<Time>")]
    pub since: Option<Timestamp>,
}

/// Whether the file of the log can be written. It is tried again every second, and holds up no run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogState {
    pub healthy: bool,
    /// Why not.
    pub reason: Option<String>,
    #[schemars(with = "Option<Time>")]
    pub since: Option<Timestamp>,
    /// Lines that it has lost since the daemon started.
    pub lost: u64,
}

/// A run that has not ended, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveRun {
    pub id: RunId,
    pub job: String,
    pub cause: Cause,
    #[schemars(with = "Time")]
    pub nominal: Timestamp,
    /// The job's zone, an IANA name.
    pub zone: String,
    #[schemars(with = "Time")]
    pub fired: Timestamp,
    /// `waiting`, `planning`, `running`, `gathering` or `stopping`.
    pub phase: String,
    pub partials: u32,
    /// Partials with an attempt under way.
    pub in_flight: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// The attempts under way that were started first, at most 20, the oldest first.
    pub oldest: Vec<LiveAttempt>,
}

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveAttempt {
    /// The position of the target, from 0.
    pub index: u32,
    /// The key of its target; `null` in a run without targets.
    pub target: Option<String>,
    /// From 1.
    pub attempt: u32,
    #[schemars(with = "Time")]
    pub since: Timestamp,
    /// How far it is, in its own words; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}

/// All jobs of the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct JobList {
    pub jobs: Vec<JobView>,
    /// Whether a daemon answers; without one, nothing fires.
    pub daemon: bool,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    pub name: String,
    pub description: Option<String>,
    /// The schedules as they stand in the file.
    pub schedule: Vec<String>,
    /// The jobs it runs after.
    pub after: Vec<String>,
    /// An IANA name.
    pub zone: String,
    pub enabled: bool,
    /// Whether its nominal times are suppressed until it is resumed.
    pub paused: bool,
    /// The next nominal time; `null` when none comes, or nothing fires it.
    #[schemars(with = "Option<Time>")]
    pub next_fire: Option<Timestamp>,
    /// How many of its runs have started and not ended.
    pub running: u32,
    /// How many of its runs wait.
    pub waiting: u32,
    pub last_run: Option<RunView>,
}

impl JobView {
    /// The job at rest. The router adds the last run.
    pub fn new(job: &Job, next_fire: Option<Timestamp>) -> Self {
        Self {
            name: job.name.to_string(),
            description: job.description.clone(),
            schedule: job.schedule_text.clone(),
            after: job.after.iter().map(ToString::to_string).collect(),
            zone: job.timetable.zone.name.to_string(),
            enabled: job.enabled,
            paused: false,
            next_fire: next_fire.filter(|_| job.enabled),
            running: 0,
            waiting: 0,
            last_run: None,
        }
    }
}

/// Starts a job by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerRequest {
    /// Keys of the job's targets; empty for all.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Values of the job's arguments, each of its type or as text; the others take their defaults.
    #[serde(default)]
    pub args: Args,
    /// The nominal time that the run works on; the present unless given.
    #[serde(default)]
    #[schemars(with = "Option<Time>")]
    pub nominal: Option<Timestamp>,
}

/// The run that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Triggered {
    pub id: RunId,
}

/// Works on an ended run again, for the same nominal time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// On all its targets, not only on those without a success.
    #[serde(default)]
    pub all: bool,
}

/// A job is paused, or goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paused {
    pub job: String,
    pub paused: bool,
    /// Whether it was not so before.
    pub changed: bool,
}

/// Makes a run for each nominal time of a job from `from` up to, but not including, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillRequest {
    #[schemars(with = "Time")]
    pub from: Timestamp,
    #[schemars(with = "Time")]
    pub to: Timestamp,
    /// Only tell which.
    #[serde(default)]
    pub dry_run: bool,
}

/// The runs that were made, or would be, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backfilled {
    pub dry_run: bool,
    pub runs: Vec<BackfillRun>,
    /// Their nominal times have a backfill run already.
    pub left_out: Vec<RunId>,
}

/// One run of a backfill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillRun {
    pub id: RunId,
    #[schemars(with = "Time")]
    pub nominal: Timestamp,
}

/// The run was asked to stop; it ends when its processes have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    pub id: RunId,
}

/// Reads the configuration again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Only tell what would change.
    #[serde(default)]
    pub plan: bool,
}

/// What a reload changed, or would change, or why it was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadReport {
    pub applied: bool,
    /// Why the old configuration stays, a line a problem.
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
    pub added: Vec<ChangedJob>,
    pub removed: Vec<ChangedJob>,
    pub changed: Vec<ChangedJob>,
    /// Settings outside of jobs that changed.
    pub settings: Vec<String>,
}

/// One job of a [`ReloadReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedJob {
    pub job: String,
    /// An IANA name.
    pub zone: String,
    /// The keys that changed.
    pub what: Vec<String>,
    #[schemars(with = "Option<Time>")]
    pub next_before: Option<Timestamp>,
    #[schemars(with = "Option<Time>")]
    pub next_after: Option<Timestamp>,
}

/// The body of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// For programs: `unknown_run`, `no_daemon`, …
    pub code: String,
    /// For people, one line.
    pub message: String,
    /// What to do, where there is something.
    pub help: Option<String>,
}
