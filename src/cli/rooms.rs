//! What the commands need of the rooms below; the program that embeds them hands it in, with its own handlers.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Exit, Global};
use crate::config::Config;
use crate::daemon::{Progress, RunOptions};
use crate::engine::RunKey;
use crate::web::{History, HistoryError, OutputView, PartialCounts, PartialView, RunFilter, RunView};

/// See the module's documentation.
pub trait Rooms {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The names of the handlers that the embedding program registered.
    fn handlers(&self) -> Vec<String> {
        Vec::new()
    }
    /// The validated configuration; else all its problems, rendered.
    fn config(&self, path: &Path) -> Result<Config, String>;
    /// The records below the directory; `None` when nothing has run there yet.
    fn history(&self, state_dir: &Path) -> Result<Option<Arc<dyn History>>, String>;
    /// Is the daemon, to its end.
    fn serve(&self, config: &Path, global: &Global) -> Exit;
    /// Runs a job of the configuration in the foreground, to its end. An interrupt stops it.
    fn run_once(&self, config: Config, job: &str, options: RunOptions, progress: Box<dyn Progress>) -> anyhow::Result<RunView>;
}

/// The records of a place where nothing has run yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct NothingYet;

impl History for NothingYet {
    fn runs(&self, _: &RunFilter) -> Result<Vec<RunView>, HistoryError> {
        Ok(Vec::new())
    }

    fn run(&self, name: &str) -> Result<RunView, HistoryError> {
        Err(HistoryError::NoSuchRun(name.to_owned()))
    }

    fn last_runs(&self) -> Result<Vec<RunView>, HistoryError> {
        Ok(Vec::new())
    }

    fn partials(&self, _: RunKey, _: bool, _: Option<u32>, _: u32) -> Result<Vec<PartialView>, HistoryError> {
        Ok(Vec::new())
    }

    fn partial_counts(&self, _: RunKey) -> Result<PartialCounts, HistoryError> {
        Ok(PartialCounts::new())
    }

    fn slowest(&self, _: RunKey, _: u32) -> Result<Vec<PartialView>, HistoryError> {
        Ok(Vec::new())
    }

    fn outputs(&self, _: RunKey, _: Option<u32>) -> Result<Vec<OutputView>, HistoryError> {
        Ok(Vec::new())
    }
}
