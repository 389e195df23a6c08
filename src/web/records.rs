//! The records of the store as the API's [`History`].

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::history::{History, HistoryError};
use crate::engine::{RunId, RunKey};
use crate::store::outbox::ChannelView;
use crate::store::{LookupError, OutputView, PartialCounts, PartialView, Reader, RunFilter, RunView, StoreError};

/// Reads the database of a state directory. It is opened when it is first asked, so that it may not exist yet.
#[derive(Debug)]
pub struct Records {
    state_dir: PathBuf,
    reader: Mutex<Option<Reader>>,
}

impl Records {
    pub fn new(state_dir: PathBuf) -> Self {
        Self { state_dir, reader: Mutex::new(None) }
    }

    /// Asks the reader; where nothing has run yet, the answer is `nothing`.
    fn ask<T>(&self, nothing: T, read: impl FnOnce(&Reader) -> Result<T, StoreError>) -> Result<T, HistoryError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.is_none() {
            match Reader::open(&self.state_dir) {
                Ok(opened) => *reader = Some(opened),
                Err(StoreError::NoState { .. }) => return Ok(nothing),
                Err(error) => return Err(unreadable(&error)),
            }
        }
        reader.as_ref().map_or(Ok(nothing), |reader| read(reader).map_err(|error| unreadable(&error)))
    }
}

impl History for Records {
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.runs(filter))
    }

    fn run(&self, name: &str) -> Result<RunView, HistoryError> {
        let found = self.ask(None, |reader| match reader.run(name) {
            Err(LookupError::Store(error)) => Err(error),
            found => Ok(Some(found)),
        })?;
        match found {
            Some(Ok(run)) => Ok(run),
            Some(Err(LookupError::Ambiguous { wanted, candidates, more })) => {
                let mut candidates: Vec<_> = candidates.iter().map(ToString::to_string).collect();
                if more {
                    candidates.push("others".to_owned());
                }
                Err(HistoryError::Ambiguous { name: wanted, candidates })
            }
            Some(Err(_)) | None => Err(HistoryError::NoSuchRun(name.to_owned())),
        }
    }

    fn targets(&self, run: RunKey, open: bool) -> Result<Vec<String>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.targets(run, open))
    }

    fn existing(&self, ids: &[RunId]) -> Result<Vec<RunId>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.existing(ids))
    }

    fn channels(&self) -> Result<Vec<ChannelView>, HistoryError> {
        self.ask(Vec::new(), Reader::channels)
    }

    fn last_runs(&self) -> Result<Vec<RunView>, HistoryError> {
        self.ask(Vec::new(), Reader::last_runs)
    }

    fn partials(&self, run: RunKey, failed: bool, after: Option<u32>, limit: u32) -> Result<Vec<PartialView>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.partials(run, failed, after, limit))
    }

    fn partial_counts(&self, run: RunKey) -> Result<PartialCounts, HistoryError> {
        self.ask(PartialCounts::new(), |reader| reader.partial_counts(run))
    }

    fn slowest(&self, run: RunKey, limit: u32) -> Result<Vec<PartialView>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.slowest(run, limit))
    }

    fn outputs(&self, run: RunKey, index: Option<u32>) -> Result<Vec<OutputView>, HistoryError> {
        self.ask(Vec::new(), |reader| reader.outputs(run, index))
    }
}

fn unreadable(error: &StoreError) -> HistoryError {
    HistoryError::Unreadable(error.to_string())
}
