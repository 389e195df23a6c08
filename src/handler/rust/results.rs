//! The results of a run for the handler that gathers them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::HandlerError;
use crate::engine::Outcome;
use crate::handler::process::feed::{self, ResultLines};

/// So many pieces of results wait to be looked at, each of about 64 KiB.
const WAITING: usize = 4;

/// The ended partials of a run, in the order of its targets, read as they are asked for.
pub struct Results {
    batches: mpsc::Receiver<Vec<u8>>,
    batch: Vec<u8>,
    read: usize,
    reading: Option<JoinHandle<()>>,
    seen: u32,
    count: u32,
}

/// How a partial ended: what a gather command reads as a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialResult {
    /// The position of its target, from 0.
    pub index: u32,
    /// Its target, a string or an object; null in a run without targets.
    pub target: Value,
    pub outcome: Outcome,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the last attempt started.
    pub started: Timestamp,
    pub ended: Timestamp,
    /// How long the last attempt took.
    pub duration_ms: f64,
    /// What it returned; null for nothing.
    pub result: Value,
    /// Why it failed.
    pub error: Option<String>,
}

impl PartialResult {
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Succeeded
    }
}

impl Results {
    /// Those of a run with `count` partials.
    pub(crate) fn new(lines: ResultLines, count: u32) -> Self {
        let (sender, batches) = mpsc::channel(WAITING);
        let reading = Some(tokio::task::spawn_blocking(move || feed::read(lines, &sender)));
        Self { batches, batch: Vec::new(), read: 0, reading, seen: 0, count }
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The records cannot be read.
    pub async fn next(&mut self) -> Result<Option<PartialResult>, HandlerError> {
        if self.read == self.batch.len() {
            match self.batches.recv().await {
                Some(batch) => (self.batch, self.read) = (batch, 0),
                None => return self.end().await.map(|()| None),
            }
        }
        let rest = &self.batch[self.read..];
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let result = serde_json::from_slice(&rest[..length])?;
        self.read += length;
        self.seen += 1;
        Ok(Some(result))
    }

    /// Nothing is left to read: because that was all?
    async fn end(&mut self) -> Result<(), HandlerError> {
        if let Some(reading) = self.reading.take() {
            reading.await.map_err(|error| format!("the results cannot be read: {error}"))?;
        }
        if self.seen == self.count { Ok(()) } else { Err(format!("only {} of {} results can be read", self.seen, self.count).into()) }
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("seen", &self.seen).field("count", &self.count).finish_non_exhaustive()
    }
}
