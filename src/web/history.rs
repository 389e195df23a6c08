//! What the API asks of the records. The store's reader answers it; tests answer it from memory.

use crate::engine::{RunId, RunKey};
pub use crate::store::RunFilter;
use crate::store::outbox::ChannelView;
use crate::store::{OutputView, PartialCounts, PartialView, RunView};

/// Why the records cannot tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("no run is called `{0}`, and no job of that name has run")]
    NoSuchRun(String),
    #[error("`{name}` could be any of {}", candidates.join(", "))]
    Ambiguous { name: String, candidates: Vec<String> },
    /// In the store's own words.
    #[error("{0}")]
    Unreadable(String),
}

/// Reads records. Methods block, so the API calls them off its threads; two calls may come at once.
pub trait History: Send + Sync {
    /// The runs that pass the filter, newest first.
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, HistoryError>;
    /// The run of this name: its id, an unambiguous beginning of it, or a job's name for its latest run.
    fn run(&self, name: &str) -> Result<RunView, HistoryError>;
    /// The keys of a run's targets, in order; with `open`, without those that have a recorded success. Empty for a run without
    /// targets.
    fn targets(&self, run: RunKey, open: bool) -> Result<Vec<String>, HistoryError>;
    /// Those of the ids that have a run.
    fn existing(&self, ids: &[RunId]) -> Result<Vec<RunId>, HistoryError>;
    /// The channels in which messages wait or were given up.
    fn channels(&self) -> Result<Vec<ChannelView>, HistoryError>;
    /// The latest run of each job.
    fn last_runs(&self) -> Result<Vec<RunView>, HistoryError>;
    /// At most `limit` partials in target order, from the first after the index `after`; with `failed`, only those that
    /// neither succeeded nor were cancelled.
    fn partials(&self, run: RunKey, failed: bool, after: Option<u32>, limit: u32) -> Result<Vec<PartialView>, HistoryError>;
    /// How many partials have which outcome.
    fn partial_counts(&self, run: RunKey) -> Result<PartialCounts, HistoryError>;
    /// The partials that took longest, slowest first.
    fn slowest(&self, run: RunKey, limit: u32) -> Result<Vec<PartialView>, HistoryError>;
    /// The kept outputs of a partial's attempts, oldest first; of the gather command for no index.
    fn outputs(&self, run: RunKey, index: Option<u32>) -> Result<Vec<OutputView>, HistoryError>;
}
