//! A run in the foreground: what is asked for, and who watches it.

use jiff::Timestamp;

use crate::engine::{PartialRecord, RunInfo, RunSummary};

/// What a run in the foreground is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Keys of the job's targets; empty for all.
    pub targets: Vec<String>,
    /// The nominal time that the run works on; the present unless given.
    pub nominal: Option<Timestamp>,
}

/// Is told how a run goes on, in the order of its records.
pub trait Progress: Send {
    /// The run exists, with its plan.
    fn planned(&mut self, run: &RunInfo);
    /// An attempt has ended; unless it is to be retried, its partial has, too.
    fn partial_ended(&mut self, partial: &PartialRecord);
    /// The run has ended.
    fn finished(&mut self, summary: &RunSummary);
}
