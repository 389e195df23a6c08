//! The command line: one file a command; prints through one place.

pub mod check;
pub mod explain;
mod expression;
pub mod next;

use std::path::PathBuf;

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The configuration file [default: ./jobs.toml, then /etc/batchd/jobs.toml]
    #[arg(long, global = true, value_name = "FILE", env = "BATCHD_CONFIG")]
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
