//! `jobs.toml`: text in, a usable [`Config`] or all problems out. PURE: the text, the directory of the file and the system's
//! zone are arguments.

mod after;
pub mod args;
mod calendar;
mod change;
mod channel;
mod declared;
mod definition;
mod draft;
mod except;
mod field;
mod hints;
mod http;
mod include;
mod job;
mod keys;
mod latest;
mod names;
mod parse;
mod policies;
mod policy;
mod problem;
mod process;
mod quantity;
mod reference;
mod render;
mod schema;
mod source;
mod suspicion;
mod syntax;
mod targets;
mod telling;
pub mod template;
mod template_check;
mod timetable;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use args::{ArgError, Args, Argument, ArgumentKind};
pub use change::{Change, JobChange, diff};
pub use channel::{Channel, ChannelName, Email, Hook, Secret, SmtpTls, Way};
pub use declared::DeclaredHandler;
pub use definition::{Definition, DefinitionError};
pub use http::{Expected, HttpWork};
pub use job::{Gather, Job, JobName, Selection, Target, TargetValue, Targets, Work};
pub use parse::{Context, parse};
pub use policies::{CatchUp, CatchUpPolicy, Interrupted, Leftovers, MaxFailures, Overlap, Policies, Rate, Retry, StopPolicy};
pub use problem::{Problem, Problems, Severity, nearest};
pub use process::{Controller, Host, Limits, Process};
pub use reference::{Key, Kind, SECTIONS, Section, TOP};
pub use schema::schema;
pub use source::{Format, OnEmpty, Origin, Source};
pub use syntax::{BYTE_ORDER_MARK, MAX_FILE_SIZE};
pub use telling::{Expect, Telling};

use self::field::Field;
use crate::schedule::Zone;

/// The `schedule` of a job that only runs by hand.
const MANUAL: &str = "manual";

/// A validated configuration. Every default is filled in, every path absolute, every template and schedule checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub daemon: DaemonConfig,
    pub log: LogConfig,
    pub history: HistoryConfig,
    /// `[notify]`, by name.
    pub channels: BTreeMap<ChannelName, Arc<Channel>>,
    /// By name, sorted.
    pub jobs: BTreeMap<JobName, Arc<Job>>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The zone of jobs that name none, and of log lines.
    pub timezone: Zone,
    /// Absolute. Holds the database, the lock and the socket; `state` beside the file unless configured.
    pub state_dir: PathBuf,
    /// Partials in flight at once, over all runs; at least 1, 64 unless configured.
    pub max_partials: usize,
    /// How long live runs may go on after SIGTERM before they are stopped; 30 s unless configured.
    pub drain_timeout: Duration,
    /// Added to the environment of every job; empty unless configured.
    pub env: BTreeMap<String, String>,
    /// Absolute. Where credentials are files; `None`: where systemd says.
    pub credentials_dir: Option<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Absolute.
    pub dir: PathBuf,
    /// A file name without a directory.
    pub file: String,
    /// Bytes at which the file is rotated; 5 MiB unless configured.
    pub max_size: u64,
    /// How many rotated files are kept: `file.1` … `file.N`; 5 unless configured.
    pub backups: u32,
    pub level: LogLevel,
    pub format: LogFormat,
    /// Whether lines also go to stderr; `None`: when stderr is a terminal or the journal.
    pub console: Option<bool>,
}

/// `[history]`: how long the records of ended runs are kept. What is older, or beyond the number, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Runs and decisions; 90 days unless configured.
    pub keep: Duration,
    /// Runs of each job, the latest; 1,000 unless configured.
    pub keep_runs: u32,
    /// Bytes of captured output, of all jobs; 2 GiB unless configured.
    pub max_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
