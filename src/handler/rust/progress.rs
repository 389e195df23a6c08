//! The last words of live partials about how far they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::RunKey;

/// A longer text is cut.
const MAX_BYTES: usize = 200;

/// By run and index. Most partials never say anything, and cost nothing here.
#[derive(Debug, Default)]
pub(crate) struct Progresses {
    texts: Mutex<HashMap<(RunKey, u32), Box<str>>>,
    /// How many there are, to be seen without the lock.
    count: AtomicUsize,
}

impl Progresses {
    pub(crate) fn get(&self, run: RunKey, index: u32) -> Option<Box<str>> {
        if self.count.load(Ordering::Acquire) == 0 { None } else { self.texts().get(&(run, index)).cloned() }
    }

    pub(super) fn set(&self, run: RunKey, index: u32, text: &str) {
        let mut texts = self.texts();
        texts.insert((run, index), cut(text).into());
        self.count.store(texts.len(), Ordering::Release);
    }

    /// The attempt has ended.
    pub(crate) fn forget(&self, run: RunKey, index: u32) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut texts = self.texts();
            texts.remove(&(run, index));
            self.count.store(texts.len(), Ordering::Release);
        }
    }

    fn texts(&self) -> MutexGuard<'_, HashMap<(RunKey, u32), Box<str>>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
