//! What survives: the records, in `SQLite`. One writer thread behind a channel commits in groups; readers have connections of
//! their own and never wait for it.
//!
//! `writer` is the way in, `reader` and `view` the way out; `sqlite` is the database, `lock` keeps a second daemon away, and
//! `identity` tells whether another writer is still alive.

mod identity;
mod lock;
mod reader;
mod sqlite;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::path::PathBuf;

pub use self::identity::{boot_id, is_alive};
pub use self::lock::{LockError, StateLock};
pub use self::reader::{PartialFilter, Reader, RunFilter};
pub use self::sqlite::Sqlite;
pub use self::view::{DecisionView, OutputView, PartialCounts, PartialView, RunView};
pub use self::writer::{Health, Writer};
use crate::engine::{Record, Recovery, RunId};

/// The write side. One implementation a database; every implementation passes the same suite of tests.
///
/// A writer *joins* first and gets an epoch. A later writer of the same node fences the earlier: an append with an old epoch
/// is refused, so that a daemon that lost its lock cannot write over its successor.
pub trait Store: Send {
    /// Enters as `node` and fences every earlier writer of that name.
    fn join(&mut self, node: &Node) -> Result<Epoch, StoreError>;
    /// What the last writer of this node's name left.
    fn recover(&mut self, node: &Node) -> Result<Recovery, StoreError>;
    /// Nodes other than `node` that have runs without an end. The caller finds out which of them are dead.
    fn others(&mut self, node: &Node) -> Result<Vec<Node>, StoreError>;
    /// Ends the runs that a dead node left, as interrupted; says how many.
    fn close(&mut self, node: &Node, at: jiff::Timestamp) -> Result<usize, StoreError>;
    /// One transaction: all records or none; on disk when it returns.
    fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), StoreError>;
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `daemon`, or `run-PID` for a foreground run.
    pub name: String,
    pub pid: u32,
    pub boot_id: String,
}

/// The fence: greater is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no state at `{}`: nothing has run with this configuration yet", .0.display())]
    NoState(PathBuf),
    #[error("`{}` is not a batchd database; move it away, or name another `state_dir`", .0.display())]
    NotADatabase(PathBuf),
    #[error("the database `{}` is corrupt: {detail}; keep a copy of it, and restore the last backup", path.display())]
    Corrupt { path: PathBuf, detail: String },
    #[error("the database `{}` has version {found}, and this batchd knows up to {known}; install the newer batchd", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the database `{}` is locked by another program: {detail}", path.display())]
    Locked { path: PathBuf, detail: String },
    #[error("a later daemon has taken over this state; this one may not write any more")]
    Fenced,
    #[error("run `{0}` exists already")]
    Exists(RunId),
    #[error("a record names a run that is not known: {0}")]
    UnknownRun(i64),
    #[error("no run is called `{0}`")]
    NoSuchRun(String),
    #[error("`{name}` could be any of {}", candidates.join(", "))]
    Ambiguous { name: String, candidates: Vec<String> },
    #[error("the database `{}`: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("cannot use `{}`: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl StoreError {
    /// Whether it may heal by itself: a full disk, an I/O error, a lock.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Database { .. } | Self::Io { .. })
    }
}
