//! Brings the lines that tell of runs to the disk, on a thread of its own: a slow disk holds up neither the lines nor the runs.
//!
//! The first is synced at once, further ones once a [`PACE`] at most. So after a power cut the log lacks the last second of a
//! busy machine, at worst; what counts are the records, which have everything.

use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The least time between two syncs.
const PACE: Duration = Duration::from_secs(1);

/// So many files may wait, when a disk is stuck and the log is rotated all the same.
const MAX_WAITING: usize = 8;

/// What is to be synced.
#[derive(Debug, Default)]
pub(super) struct Through {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// With their device and inode, oldest first.
    waiting: Vec<((u64, u64), File)>,
    is_closed: bool,
}

impl Through {
    /// Has what is in the file by now synced soon.
    pub(super) fn want(&self, identity: (u64, u64), file: &File) {
        let mut state = self.lock();
        if state.waiting.iter().any(|(waiting, _)| *waiting == identity) {
            return;
        }
        // Without a further descriptor the lines are written, only not synced.
        let Ok(file) = file.try_clone() else { return };
        if state.waiting.len() == MAX_WAITING {
            state.waiting.remove(0);
        }
        state.waiting.push((identity, file));
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing is synced any more: the last flush does it.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Syncs until it is closed. What cannot be synced is tried again. `changed` is told of an error once for as long as it stays
    /// the same, and with `None` when it is over.
    pub(super) fn sync_all(&self, changed: impl Fn(Option<&std::io::Error>)) {
        let mut trouble = None;
        while let Some(mut files) = self.next() {
            let mut error = None;
            files.retain(|(_, file)| {
                let failed = file.sync_data().err();
                let stays = failed.is_some();
                error = error.take().or(failed);
                stays
            });
            let text = error.as_ref().map(ToString::to_string);
            if text != trouble {
                changed(error.as_ref());
            }
            trouble = text;
            for (identity, file) in &files {
                self.want(*identity, file);
            }
            drop(files);
            let paced = self.changed.wait_timeout_while(self.lock(), PACE, |state| !state.is_closed);
            drop(paced);
        }
    }

    fn next(&self) -> Option<Vec<((u64, u64), File)>> {
        let waits = |state: &mut State| state.waiting.is_empty() && !state.is_closed;
        let mut state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        (!state.is_closed).then(|| std::mem::take(&mut state.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_waits_once_and_many_wait_boundedly() {
        let through = Through::default();
        let file = tempfile::tempfile().expect("a file");
        (0..20).for_each(|inode| through.want((1, inode), &file));
        (0..20).for_each(|_| through.want((1, 19), &file));
        let waiting: Vec<_> = through.next().expect("files wait").into_iter().map(|((_, inode), _)| inode).collect();
        assert_eq!(waiting, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_cannot_be_synced_is_told_once() {
        let through = Through::default();
        // A pipe has nothing to sync.
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        through.want((1, 1), &file);
        let told = std::sync::atomic::AtomicU32::new(0);
        through.sync_all(|error| {
            assert!(error.is_some());
            told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            through.close();
        });
        assert_eq!(told.into_inner(), 1);
    }
}
