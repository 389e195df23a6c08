//! Every way in which a command ends without its answer.

use std::io;

use super::Exit;
use super::client::ClientError;
use super::expression::{Refusal, explain_refusal};
use super::place::PlaceError;
use crate::config::nearest;
use crate::daemon::source::{LoadError, SourceError};
use crate::web::did_you_mean;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("{0}")]
    InvalidConfig(#[from] LoadError),
    #[error("no job is called `{name}`{}", did_you_mean(similar.as_deref()))]
    UnknownJob { name: String, similar: Option<String> },
    #[error("job `{job}` has no target `{target}`")]
    UnknownTarget { job: String, target: String },
    #[error(transparent)]
    WrongArgument(crate::config::ArgError),
    /// An expression, a zone or a time, in the lines of [`super::expression`], which are safe to show.
    #[error("{0}")]
    Refused(String),
    #[error("`batchd top` draws on a terminal, and there is none")]
    NoTerminal,
    #[error("there is no log at `{0}`")]
    NoLog(String),
    #[error("there is no unit `{0}`")]
    NoUnit(String),
    #[error("there is no page `{0}`")]
    NoPage(String),
    /// A file that was named is not there, or cannot be read.
    #[error(transparent)]
    Input(#[from] SourceError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<Refusal<'_>> for Failure {
    fn from(refusal: Refusal<'_>) -> Self {
        Self::Refused(explain_refusal(&refusal))
    }
}

impl Failure {
    /// `name` is none of the jobs; one of them may be meant.
    pub(super) fn unknown_job<'a>(name: &str, jobs: impl IntoIterator<Item = &'a str>) -> Self {
        Self::UnknownJob { name: name.to_owned(), similar: nearest(name, jobs).map(str::to_owned) }
    }

    /// The exit code it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => error.exit(),
            Self::Place(_) | Self::InvalidConfig(_) => Exit::InvalidConfig,
            Self::UnknownJob { .. } | Self::UnknownTarget { .. } | Self::NoLog(_) | Self::NoUnit(_) | Self::NoPage(_) => Exit::NotFound,
            Self::Refused(_) | Self::WrongArgument(_) | Self::NoTerminal => Exit::Usage,
            Self::Input(SourceError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            Self::Input(_) | Self::Io(_) | Self::Other(_) => Exit::WorkFailed,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Client(error) => error.help(),
            Self::Place(_) => Some("name the file with `--config FILE`, or change to its directory"),
            Self::UnknownJob { .. } => Some("`batchd jobs` lists the jobs"),
            Self::UnknownTarget { .. } => Some("name a target by its key, as in the job's `targets`"),
            Self::NoTerminal => {
                Some("`batchd status` and `batchd jobs` tell the same once, for programs with `--json`; `batchd logs -f` follows the log")
            }
            Self::WrongArgument(_) => Some("`batchd run JOB --help` lists the arguments of the job"),
            Self::NoLog(_) => Some("the daemon writes it; `[log]` in the configuration says where"),
            Self::NoUnit(_) => Some("`systemctl list-timers --all` lists the timers; a file is named with a `/` in its path"),
            Self::NoPage(_) => Some("pages are those of the commands, and `jobs.toml`"),
            Self::InvalidConfig(_) | Self::Refused(_) | Self::Input(_) | Self::Io(_) | Self::Other(_) => None,
        }
    }

    /// Whether the reader of our output has had enough, as `head` does; no error at all.
    pub fn is_closed_pipe(&self) -> bool {
        let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        match self {
            Self::Io(error) => is_broken(error),
            Self::Other(error) => error.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken)),
            _ => false,
        }
    }
}
