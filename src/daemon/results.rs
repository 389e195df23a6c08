//! The recorded results of a run in target order, for what gathers them: its handler, or a command.

use tracing::error;

use crate::engine::RunKey;
use crate::runner::{ResultLines, ResultPages};
use crate::store::{Reader, StoreError};

/// So many are read at once, or a few more.
const PAGE: u32 = 512;

/// For a command: JSON, a line each.
pub(super) fn lines(reader: Reader, run: RunKey) -> ResultLines {
    let (mut after, mut page) = (None, Vec::new().into_iter());
    Box::new(move || {
        if page.len() == 0 {
            page = or_none(run, reader.next_partials(run, after, PAGE)).into_iter();
        }
        let partial = page.next()?;
        after = Some(partial.index);
        serde_json::to_vec(&partial).ok()
    })
}

/// For a handler.
pub(super) fn pages(reader: Reader, run: RunKey) -> ResultPages {
    let mut after = None;
    Box::new(move || {
        let page = or_none(run, reader.next_results(run, after, PAGE));
        after = page.last().map(|result| result.index).or(after);
        page
    })
}

/// Who gathers counts them, and notices that some are missing.
fn or_none<T>(run: RunKey, page: Result<Vec<T>, StoreError>) -> Vec<T> {
    page.inspect_err(|error| error!("the results of run {} cannot be read on: {error}", run.0)).unwrap_or_default()
}
