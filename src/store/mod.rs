//! What survives: the records, in `SQLite`. One writer thread behind a channel commits in groups; readers have connections of
//! their own and never wait for it.

use crate::engine::{Record, Recovery};

/// The write side. One implementation a database; every implementation passes the same suite of tests.
///
/// A writer *joins* first and gets an epoch. A later writer of the same node fences the earlier: an append with an old epoch
/// is refused, so that a daemon that lost its lock cannot write over its successor.
pub trait Store: Send {
    /// Enter as `node` and fence every earlier writer of that name.
    fn join(&mut self, node: &Node) -> Result<Epoch, StoreError>;
    /// What the last writer left.
    fn recover(&mut self) -> Result<Recovery, StoreError>;
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
    #[error("todo")]
    Todo,
}
