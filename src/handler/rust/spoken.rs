//! What live partials have said: how far they are, and the lines that are kept with the end of their attempt.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Around;
use crate::engine::{CapturedOutput, RunKey};

/// A longer text of a progress is cut.
const MAX_PROGRESS: usize = 200;

/// Of the lines of an attempt, so many bytes are kept from the beginning, and as many from the end.
const MAX_KEPT: usize = 16 << 10;

/// By run and index. Most partials never say anything, and cost nothing here.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    words: Mutex<HashMap<(RunKey, u32), Words>>,
    /// How many there are, to be seen without the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Words {
    progress: Option<Box<str>>,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Spoken {
    /// How far the partial is, in its own words.
    pub(crate) fn progress(&self, run: RunKey, index: u32) -> Option<Box<str>> {
        if self.is_silent() { None } else { self.words().get(&(run, index))?.progress.clone() }
    }

    pub(super) fn set_progress(&self, who: &Around, index: u32, text: &str) {
        let mut end = text.len().min(MAX_PROGRESS);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.change(who, index, |words| words.progress = Some(text[..end].into()));
    }

    /// Keeps a line; of all of them no more than the job keeps of a program's.
    pub(super) fn keep(&self, who: &Around, index: u32, line: &str) {
        let most = usize::try_from(who.info.job.policies.output_max_size / 2).unwrap_or(MAX_KEPT).min(MAX_KEPT);
        self.change(who, index, |words| words.keep(line, most));
    }

    /// The attempt has ended: what it said.
    pub(crate) fn take(&self, run: RunKey, index: u32) -> Option<CapturedOutput> {
        if self.is_silent() {
            return None;
        }
        let mut words = self.words();
        let taken = words.remove(&(run, index));
        self.count.store(words.len(), Ordering::Release);
        drop(words);
        taken?.into_output()
    }

    fn is_silent(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Under the lock, an attempt that is not over has its words taken after this.
    fn change(&self, who: &Around, index: u32, change: impl FnOnce(&mut Words)) {
        let mut words = self.words();
        if who.stops.is_over() {
            return;
        }
        change(words.entry((who.info.key, index)).or_default());
        self.count.store(words.len(), Ordering::Release);
    }

    fn words(&self) -> MutexGuard<'_, HashMap<(RunKey, u32), Words>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Words {
    fn into_output(self) -> Option<CapturedOutput> {
        let Self { mut head, tail, cut, .. } = self;
        if cut > 0 {
            return Some(CapturedOutput { head, tail: tail.into(), cut });
        }
        head.extend(tail);
        (!head.is_empty()).then_some(CapturedOutput { head, tail: Vec::new(), cut: 0 })
    }

    fn keep(&mut self, line: &str, most: usize) {
        for byte in line.bytes().chain(*b"\n") {
            if self.head.len() < most {
                self.head.push(byte);
                continue;
            }
            self.tail.push_back(byte);
            if self.tail.len() > most {
                self.tail.pop_front();
                self.cut += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let said = |lines: &[&str], most| {
            let mut words = Words::default();
            for line in lines {
                words.keep(line, most);
            }
            words.into_output().map(|CapturedOutput { head, tail, cut }| {
                format!("{:?} {:?} {cut}", String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail))
            })
        };
        assert_eq!(said(&[], 10), None);
        assert_eq!(said(&["a", "b"], 10).as_deref(), Some(r#""a\nb\n" "" 0"#));
        assert_eq!(said(&["0123456", "89abcdef", "ghi"], 10).as_deref(), Some(r#""0123456\n89" "bcdef\nghi\n" 1"#));
    }
}
