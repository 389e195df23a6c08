//! What survives: the records, in `SQLite`. One writer thread behind a queue commits in groups; readers have connections of
//! their own and never wait for it.
//!
//! All SQL is in [`sqlite`]; the rest of the program sees [`Store`], [`Writer`], [`Reader`] and the views.

mod error;
pub mod identity;
mod lock;
pub mod outbox;
mod plan;
mod reserve;
mod shape;
pub mod sqlite;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use error::{Fault, LookupError, StoreError};
pub use lock::{LockError, StateLock};
pub use plan::{PlanAnswer, PlanStep};
pub use shape::Time;
pub use sqlite::{BackupError, Inspection, PackedTargets, Reader, RepairError, Repaired, Saved, Sqlite, repair};
pub use view::{AccountingView, DecisionView, OutputView, PartialCounts, PartialView, RunFilter, RunView};
pub use writer::{Health, PendingStep, Planner, Recorder, Unwritten, Writer};

use crate::engine::{Record, Recovery, RunId};

/// The database inside the state directory.
pub const DATABASE_FILE: &str = "batchd.db";

/// The write side. One implementation a database; every implementation passes the same suite of tests.
///
/// A writer *joins* first and gets an epoch. A later writer of the same node fences the earlier: an append with an old epoch
/// is refused, so that a daemon that lost its lock cannot write over its successor.
pub trait Store: Send {
    /// Enter as `node` and fence every earlier writer of that name.
    fn join(&mut self, node: &Node) -> Result<Epoch, StoreError>;

    /// What the last writer left. The runs are those of the node that joined; `last_key` is the greatest of all nodes.
    fn recover(&mut self) -> Result<Recovery, StoreError>;

    /// A small step of forgetting what `retention` does not keep; whether there is more.
    fn forget(&mut self, epoch: Epoch, retention: &Retention) -> Result<bool, StoreError>;

    /// Whether more than `retention` has come since it was last looked at. Costs nothing.
    fn is_over(&self, retention: &Retention) -> bool;

    /// Whether there is room for more than the ends of what is live. Where there is not, takes what came free.
    fn room(&mut self) -> Result<(), StoreError>;

    /// One transaction: all records or none; on disk when it returns. On a full disk it lives on the reserve, as [`Store::room`]
    /// tells, and captured output is cut.
    fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), StoreError>;

    /// A step of reading the targets of a run: one transaction; on disk when it returns.
    fn plan(&mut self, epoch: Epoch, step: &PlanStep) -> Result<PlanAnswer, StoreError>;

    /// End, as interrupted, the unfinished runs of other nodes whose process `is_alive(pid, boot_id)` denies, and name them.
    fn finish_abandoned(&mut self, epoch: Epoch, at: Timestamp, is_alive: &dyn Fn(u32, &str) -> bool) -> Result<Vec<RunId>, StoreError>;
}

/// What is kept of ended runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Runs that were fired earlier go, and decisions made earlier.
    pub before: Timestamp,
    /// Of each job, so many of the latest runs stay.
    pub runs: u32,
    /// Bytes of captured output, of all runs; the oldest is cut to nothing.
    pub output: u64,
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
