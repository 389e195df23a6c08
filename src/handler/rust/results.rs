//! The results of a run for the handler that gathers them.

use std::{fmt, vec};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::HandlerError;
use crate::engine::PartialResult;

/// A blocking source of results in target order, some at a time; none after the last.
pub(crate) type ResultPages = Box<dyn FnMut() -> Vec<PartialResult> + Send>;

/// So many pages wait to be looked at.
const WAITING: usize = 2;

/// The ended partials of a run, in the order of its targets, read as they are asked for.
pub struct Results {
    pages: mpsc::Receiver<Vec<PartialResult>>,
    page: vec::IntoIter<PartialResult>,
    reading: Option<JoinHandle<()>>,
    seen: u32,
    count: u32,
}

impl Results {
    /// Those of a run with `count` partials.
    pub(crate) fn new(source: ResultPages, count: u32) -> Self {
        let (sender, pages) = mpsc::channel(WAITING);
        let reading = Some(tokio::task::spawn_blocking(move || read(source, &sender)));
        Self { pages, page: Vec::new().into_iter(), reading, seen: 0, count }
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The records cannot be read.
    pub async fn next(&mut self) -> Result<Option<PartialResult>, HandlerError> {
        while self.page.len() == 0 {
            match self.pages.recv().await {
                Some(page) => self.page = page.into_iter(),
                None => return self.end().await.map(|()| None),
            }
        }
        self.seen += 1;
        Ok(self.page.next())
    }

    /// Nothing is left to read: because that was all?
    async fn end(&mut self) -> Result<(), HandlerError> {
        if let Some(reading) = self.reading.take() {
            reading.await.map_err(|error| format!("the results cannot be read: {error}"))?;
        }
        if self.seen == self.count { Ok(()) } else { Err(format!("only {} of {} results can be read", self.seen, self.count).into()) }
    }
}

/// Reads until the results or their taker are gone.
fn read(mut source: ResultPages, taker: &mpsc::Sender<Vec<PartialResult>>) {
    loop {
        let page = source();
        // The handler need not look at all of them.
        if page.is_empty() || taker.blocking_send(page).is_err() {
            return;
        }
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("seen", &self.seen).field("count", &self.count).finish_non_exhaustive()
    }
}
