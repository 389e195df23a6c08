//! What a foreground run tells its caller while it goes on.

use crate::config::Target;
use crate::engine::{Outcome, RunInfo, RunSummary};

/// Hears of a run's progress. Calls come in order, on the thread of the loop, so they must not take long.
pub trait Progress: Send {
    /// The run exists; its partials are known.
    fn planned(&mut self, run: &RunInfo);
    /// An attempt of a partial has ended. With `retry` there will be another one.
    fn partial_ended(&mut self, index: u32, target: Option<&Target>, outcome: Outcome, attempt: u32, retry: bool, error: Option<&str>);
    /// The run has ended.
    fn finished(&mut self, summary: &RunSummary);
}
