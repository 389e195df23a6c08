//! The recorded results of a run in target order, for what gathers them: its handler, or a command.

use tracing::error;

use crate::engine::RunKey;
use crate::runner::{Recorded, ResultLines, ResultPages};
use crate::store::{PartialView, Reader};

/// So many are read at once, or a few more.
const PAGE: u32 = 512;

/// For a command: JSON, a line each.
pub(super) fn lines(reader: Reader, run: RunKey) -> ResultLines {
    let (mut pages, mut page) = (Pages { reader, run, after: None }, Vec::new().into_iter());
    Box::new(move || {
        if page.len() == 0 {
            page = pages.next().into_iter();
        }
        serde_json::to_vec(&page.next()?).ok()
    })
}

/// For a handler.
pub(super) fn pages(reader: Reader, run: RunKey) -> ResultPages {
    let mut pages = Pages { reader, run, after: None };
    Box::new(move || pages.next().into_iter().map(recorded).collect())
}

struct Pages {
    reader: Reader,
    run: RunKey,
    after: Option<u32>,
}

impl Pages {
    /// The next ones; none after the last. Who gathers counts them, and notices that some are missing.
    fn next(&mut self) -> Vec<PartialView> {
        let page = self.reader.next_partials(self.run, self.after, PAGE);
        let page = page.inspect_err(|error| error!("the results of run {} cannot be read on: {error}", self.run.0)).unwrap_or_default();
        self.after = page.last().map(|partial| partial.index).or(self.after);
        page
    }
}

fn recorded(partial: PartialView) -> Recorded {
    let PartialView { index, target, outcome, attempts, started, ended, duration_ms, result, error, .. } = partial;
    Recorded { index, target, outcome, attempts, started, ended, duration_ms, result, error }
}
