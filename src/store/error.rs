//! Why the store refused, or did not find what was asked for.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::engine::{RunId, RunKey};

/// What the database library said.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no database at `{}`: no daemon has run with this state directory yet", shown(path))]
    NoState { path: PathBuf },
    #[error(
        "the database `{}` is missing, and there has been one: put it back, or a backup in its place; to begin anew, remove the whole directory",
        shown(path)
    )]
    Missing { path: PathBuf },
    #[error("`{}` is not a batchd database ({found}); move it away, or name another `state_dir`", shown(path))]
    NotADatabase { path: PathBuf, found: String },
    #[error(
        "the database `{}` is damaged: {found}; put a backup in its place, or save what can be read with `batchd state repair`",
        shown(path)
    )]
    Corrupt { path: PathBuf, found: String },
    #[error(
        "the database `{}` has schema version {found}, this batchd knows up to {known}; start the newer batchd that wrote it",
        shown(path)
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the database `{}` is locked by another program; end it, or wait until it is done", shown(path))]
    Locked { path: PathBuf },
    #[error("no space left to write the database `{}`; free some", shown(path))]
    Full { path: PathBuf },
    #[error("no space left for the database `{}`: what ends is still recorded, in the space kept for that; free some", shown(path))]
    Short { path: PathBuf },
    #[error("the database `{}` cannot be written: it, its directory or its file system is read-only", shown(path))]
    ReadOnly { path: PathBuf },
    #[error("cannot read or write `{}`: {fault}", shown(path))]
    Io { path: PathBuf, fault: Fault },
    #[error("the database `{}` was moved, removed or replaced while in use: put the file back, and batchd goes on by itself", shown(path))]
    Replaced { path: PathBuf },
    #[error("a later writer has taken over as node `{}` (its epoch is {latest}, ours {ours}); this process must end", node.escape_debug())]
    Fenced { node: String, ours: i64, latest: i64 },
    #[error("no node has joined; nothing can be recorded before")]
    NotJoined,
    #[error("the run `{}` exists already", id.0.escape_debug())]
    Exists { id: RunId },
    /// Also for a retry of a partial without a recorded attempt.
    #[error("a record names run {}, which does not exist or has ended", run.0)]
    UnknownRun { run: RunKey },
    #[error("a record decides for job `{}`, which has no watermark", job.escape_debug())]
    UnknownJob { job: String },
    #[error("the database `{}` refused: {fault}", shown(path))]
    Database { path: PathBuf, fault: Fault },
}

impl StoreError {
    /// Whether the same append can succeed later without anything done about the database itself.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Locked { .. } | Self::Full { .. } | Self::Short { .. } | Self::ReadOnly { .. } | Self::Replaced { .. } | Self::Io { .. }
        )
    }
}

/// Why a run was not found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("no run or job `{}`; `batchd history` lists the runs", wanted.escape_debug())]
    NotFound { wanted: String },
    /// At most [`super::sqlite::MAX_CANDIDATES`] are named.
    #[error("`{}` begins the names of several runs: {}{}", wanted.escape_debug(), names(candidates), if *more { ", …" } else { "" })]
    Ambiguous { wanted: String, candidates: Vec<RunId>, more: bool },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A path for people: control characters and the like are escaped.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

fn names(candidates: &[RunId]) -> String {
    candidates.iter().map(|id| format!("`{}`", id.0.escape_debug())).collect::<Vec<_>>().join(", ")
}
