//! What is wrong with the file, for those who ask: of each kind, from when it began until it is over.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::stamp::wall_now;

/// Why the file is not written as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For people, one line; to be escaped where it is shown.
    pub reason: String,
    pub since: Timestamp,
}

/// The worst first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Lines are lost.
    Write,
    /// It is written, but not where or as large as it should be.
    Path,
    /// It is written, but a power cut may take it.
    Sync,
}

#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<[Option<Trouble>; 3]>);

impl Troubles {
    /// `None`: it is over.
    pub(super) fn set(&self, kind: Kind, reason: Option<String>) {
        let place = &mut self.lock()[kind as usize];
        let since = place.take().map(|trouble| trouble.since);
        *place = reason.map(|reason| Trouble { reason, since: since.unwrap_or_else(wall_now) });
    }

    pub(super) fn worst(&self) -> Option<Trouble> {
        self.lock().iter().flatten().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, [Option<Trouble>; 3]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
