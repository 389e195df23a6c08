//! A run in the foreground: what is asked for, and who hears how it goes on.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Target;
use crate::engine::{Outcome, RunInfo, RunSummary};

/// What a run in the foreground is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// What the run is told, by the names of the job's arguments.
    pub args: crate::config::Args,
    /// Keys of the job's targets; empty for all.
    pub targets: Vec<Arc<str>>,
    /// The nominal time that the run works on; the present unless given.
    pub nominal: Option<Timestamp>,
}

/// Hears of a run's progress. Calls come in order, on the thread of the loop, so they must not take long.
pub trait Progress: Send {
    /// The run exists; its partials are known.
    fn planned(&mut self, run: &RunInfo);
    /// An attempt of a partial has ended. With `retry` there will be another one.
    fn partial_ended(&mut self, index: u32, target: Option<&Target>, outcome: Outcome, attempt: u32, retry: bool, error: Option<&str>);
    /// The run has ended.
    fn finished(&mut self, summary: &RunSummary);
}
