//! The command line: one file a command; prints through one place.
//!
//! `arguments` says what can be typed, `dispatch` what each command needs, `rooms` what is below. `client` asks the daemon or
//! the records, `print` prints, `human` puts numbers into words, `escape` makes text from outside safe to show.

mod arguments;
mod audit;
mod backfill;
mod cancel;
mod check;
mod client;
mod completions;
mod dispatch;
mod doctor;
mod env;
mod escape;
mod explain;
mod export;
mod expression;
mod failure;
mod history;
mod human;
mod import;
mod init;
mod installed;
mod job_arguments;
mod jobs;
mod logs;
mod man;
mod next;
mod notify;
mod pause;
mod place;
mod print;
mod reload;
mod results;
mod retry;
mod rooms;
mod run;
mod schema;
mod show;
mod simulate;
mod state;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod top;
mod trigger;

use std::path::PathBuf;

pub use arguments::Arguments;
pub use client::{Client, ClientError};
pub use failure::Failure;
pub use installed::{Installed, main};
pub use place::{Place, PlaceError, config_path};
pub use print::{Look, Screen};
pub use rooms::Rooms;

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The configuration file [default: ./jobs.toml, then /etc/batchd/jobs.toml]
    #[arg(long, global = true, value_name = "FILE", env = "BATCHD_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: clap::ColorChoice,
    /// More detail on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The exit codes, as documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// A run failed, an audit found a hole.
    WorkFailed = 1,
    Usage = 2,
    NoDaemon = 4,
    NotFound = 5,
    /// `EX_CONFIG`: the unit does not restart on it.
    InvalidConfig = 78,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    /// What the end of a run means for whoever waited for it.
    fn of_run(outcome: Option<crate::engine::RunOutcome>) -> Self {
        use crate::engine::RunOutcome::{Cancelled, Failed, Interrupted, PartlyFailed, Succeeded, TimedOut};
        match outcome {
            // Failures within `max_failures` are what the job's owner has allowed.
            Some(Succeeded | PartlyFailed) => Self::Done,
            Some(Failed | TimedOut | Cancelled | Interrupted) | None => Self::WorkFailed,
        }
    }
}
