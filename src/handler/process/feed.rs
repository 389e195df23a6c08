//! The stdin of a gather command: lines from a blocking source, written while the command's output is read.

use std::fmt;
use std::io::ErrorKind;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// A blocking source of JSON lines in target order; a line may end with a newline or not.
pub(crate) type ResultLines = Box<dyn FnMut() -> Option<Vec<u8>> + Send>;

/// Lines are handed over in batches of about so many bytes …
const BATCH_BYTES: usize = 64 * 1024;

/// … of which so many wait while the command does not read.
const BATCHES_WAITING: usize = 4;

/// The lines could not be given whole.
pub(super) struct FeedError {
    pub(super) message: String,
    /// Still open, so that the end of what was written does not look like the end of the lines.
    pub(super) stdin: Option<pipe::Sender>,
}

impl FeedError {
    pub(super) fn new(reason: &dyn fmt::Display, stdin: Option<pipe::Sender>) -> Self {
        Self { message: format!("the results could not be handed over: {reason}"), stdin }
    }
}

/// Writes all lines to `stdin` and closes it. A command that does not read to the end is no error.
pub(super) async fn feed(lines: ResultLines, mut stdin: pipe::Sender) -> Result<(), FeedError> {
    let (sender, mut batches) = mpsc::channel(BATCHES_WAITING);
    let reading = tokio::task::spawn_blocking(move || read(lines, &sender));
    while let Some(batch) = batches.recv().await {
        match stdin.write_all(&batch).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(FeedError::new(&error, Some(stdin))),
        }
    }
    reading.await.map_err(|error| FeedError::new(&error, Some(stdin)))
}

/// Reads until the lines or their taker are gone.
fn read(mut lines: ResultLines, taker: &mpsc::Sender<Vec<u8>>) {
    let mut batch = Vec::new();
    while let Some(line) = lines() {
        batch.extend_from_slice(&line);
        if !line.ends_with(b"\n") {
            batch.push(b'\n');
        }
        if batch.len() >= BATCH_BYTES && taker.blocking_send(std::mem::take(&mut batch)).is_err() {
            return;
        }
    }
    if !batch.is_empty() {
        // The taker is gone: the command did not want to read to the end.
        let _ = taker.blocking_send(batch);
    }
}
