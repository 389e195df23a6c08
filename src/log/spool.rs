//! The bounded buffer between those who log and the one thread that writes.
//!
//! Lines are collected in one byte buffer while the thread writes the one before, so a busy log costs one write for many
//! lines and no allocation, and a quiet one is written at once. The bound is in bytes. What happens at the bound is the
//! difference between the file (callers wait, nothing is lost) and the console (lines are dropped and counted, so that a
//! terminal nobody reads cannot hold up a job).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of the file that may wait, in bytes.
pub(super) const FILE_CAPACITY: usize = 1 << 20;
/// Lines of the console that may wait, in bytes.
pub(super) const CONSOLE_CAPACITY: usize = 256 << 10;
/// A buffer this full is written without waiting for more.
const BATCH: usize = 64 << 10;
/// How long the writer lets lines gather after a write; the first line after a quiet spell does not wait.
const LINGER: Duration = Duration::from_millis(10);

/// What a caller meets when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Wait,
    Drop,
}

#[derive(Debug)]
pub(super) struct Spool {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes callers that wait for room or for a flush.
    progress: Condvar,
    capacity: usize,
    overflow: Overflow,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct State {
    pending: Vec<u8>,
    pending_lines: u64,
    /// One of them is to be synced.
    has_kept: bool,
    /// Taken by the writer, not yet settled.
    in_hand: u64,
    dropped: u64,
    dropped_since_batch: u64,
    /// Flushes asked for and done, as running numbers.
    flush_asked: u64,
    flush_done: u64,
    is_writer_idle: bool,
    /// An order, or a caller without room, waits for the writer.
    is_hurried: bool,
    is_closed: bool,
}

/// What the writer is to do next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    /// How many lines were dropped before these for want of room.
    pub(super) dropped: u64,
    /// Somebody waits for these lines to be safe.
    pub(super) is_flush: bool,
    /// One of the lines is to be synced.
    pub(super) has_kept: bool,
    flush: u64,
}

impl Spool {
    pub(super) fn new(capacity: usize, overflow: Overflow) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), progress: Condvar::new(), capacity, overflow }
    }

    /// Hands over one whole line. Blocks when the buffer is full and the rule is [`Overflow::Wait`].
    pub(super) fn push(&self, line: &[u8]) {
        self.push_kept(line, false);
    }

    /// The same; a line that is `kept` is to be synced.
    pub(super) fn push_kept(&self, line: &[u8], is_kept: bool) {
        let mut state = self.lock();
        while !state.has_room(line.len(), self.capacity) && !state.is_closed {
            if self.overflow == Overflow::Drop {
                state.dropped += 1;
                state.dropped_since_batch += 1;
                return;
            }
            state.is_hurried = true;
            self.work.notify_one();
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            state.dropped += 1;
            return;
        }
        let was_below = state.pending.len() < BATCH;
        state.pending.extend_from_slice(line);
        state.pending_lines += 1;
        state.has_kept |= is_kept;
        let is_due = state.is_writer_idle || (was_below && state.pending.len() >= BATCH);
        state.is_writer_idle = false;
        drop(state);
        if is_due {
            self.work.notify_one();
        }
    }

    /// Wakes the writer though there may be no line, because an order waits for it.
    pub(super) fn knock(&self) {
        self.lock().is_hurried = true;
        self.work.notify_one();
    }

    /// No line is taken any more; the writer gets what is left and then ends.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
        self.progress.notify_all();
    }

    /// Waits until everything handed over so far is written, or the deadline has passed. Returns how many lines are left.
    pub(super) fn flush(&self, deadline: Instant) -> u64 {
        let mut state = self.lock();
        state.flush_asked += 1;
        let ticket = state.flush_asked;
        self.work.notify_one();
        while state.flush_done < ticket {
            let left = deadline.saturating_duration_since(super::stamp::monotonic_now());
            let is_over = state.is_closed && state.pending_lines + state.in_hand == 0;
            if left.is_zero() || is_over {
                break;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.flush_done < ticket { state.pending_lines + state.in_hand } else { 0 }
    }

    /// Counts lines that the writer took and could not write.
    pub(super) fn lose(&self, lines: u64) {
        self.lock().dropped += lines;
    }

    /// Lines refused for want of room, or after the end, and lines the writer lost.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The writer's side: reports `done` as dealt with and waits for more, reusing its buffer. `None` after [`Spool::close`].
    pub(super) fn next(&self, done: Batch) -> Option<Batch> {
        self.next_within(done, None)
    }

    /// The same; after `patience` without lines, a batch without any.
    pub(super) fn next_within(&self, mut done: Batch, patience: Option<Duration>) -> Option<Batch> {
        let mut state = self.lock();
        state.in_hand = 0;
        state.flush_done = done.flush;
        self.progress.notify_all();
        if !done.lines.is_empty() && !state.is_urgent() {
            let gathered = self.work.wait_timeout_while(state, LINGER, |state| !state.is_urgent());
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        while state.pending.is_empty() && !state.is_urgent() {
            state.is_writer_idle = true;
            let Some(patience) = patience else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() {
                break;
            }
        }
        state.is_writer_idle = false;
        if state.is_closed && state.pending.is_empty() && state.flush_asked == state.flush_done {
            return None;
        }
        done.lines.clear();
        done.lines.shrink_to(self.capacity);
        std::mem::swap(&mut done.lines, &mut state.pending);
        state.in_hand = std::mem::take(&mut state.pending_lines);
        done.dropped = std::mem::take(&mut state.dropped_since_batch);
        done.is_flush = state.flush_asked > state.flush_done;
        done.flush = state.flush_asked;
        done.has_kept = std::mem::take(&mut state.has_kept);
        state.is_hurried = false;
        drop(state);
        self.progress.notify_all();
        Some(done)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a caller cannot leave the counters half changed: nothing under the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A line larger than the whole buffer is let in alone.
    fn has_room(&self, length: usize, capacity: usize) -> bool {
        self.pending.is_empty() || self.pending.len() + length <= capacity
    }

    /// Whether the writer should stop gathering.
    fn is_urgent(&self) -> bool {
        self.is_hurried || self.is_closed || self.flush_asked > self.flush_done || self.pending.len() >= BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        super::super::stamp::monotonic_now() + Duration::from_millis(1)
    }

    #[test]
    fn a_full_console_drops_and_counts_and_never_blocks() {
        let spool = Spool::new(8, Overflow::Drop);
        for _ in 0..5 {
            spool.push(b"1234\n");
        }
        assert_eq!(spool.dropped(), 4);
        let batch = spool.next(Batch::default()).expect("lines wait");
        assert_eq!((batch.lines.as_slice(), batch.dropped), (&b"1234\n"[..], 4));
    }

    #[test]
    fn a_full_file_makes_callers_wait_and_loses_nothing() {
        let spool = Spool::new(8, Overflow::Wait);
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..1000).for_each(|number| spool.push(format!("{number}\n").as_bytes()));
                spool.close();
            });
            let (mut all, mut batch) = (Vec::new(), Batch::default());
            while let Some(next) = spool.next(batch) {
                all.extend_from_slice(&next.lines);
                batch = next;
            }
            all
        });
        let expected = (0..1000).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
        assert_eq!(received, expected.as_bytes());
    }

    #[test]
    fn a_flush_without_a_writer_gives_up_at_its_deadline_and_says_what_is_left() {
        let spool = Spool::new(100, Overflow::Wait);
        spool.push(b"a\n");
        spool.push(b"b\n");
        assert_eq!(spool.flush(soon()), 2);
        let batch = spool.next(Batch::default()).expect("lines wait");
        assert!(batch.is_flush);
        assert_eq!(spool.flush(soon()), 2, "taken is not yet written");
    }

    #[test]
    fn a_line_larger_than_the_buffer_passes_alone() {
        let spool = Spool::new(4, Overflow::Drop);
        spool.push(b"longer than four\n");
        assert_eq!(spool.dropped(), 0);
    }

    #[test]
    fn what_comes_after_the_end_counts_as_dropped() {
        let spool = Spool::new(100, Overflow::Wait);
        spool.push(b"a\n");
        spool.close();
        spool.push(b"b\n");
        assert_eq!(spool.next(Batch::default()).expect("the rest").lines, b"a\n");
        assert!(spool.next(Batch::default()).is_none());
        assert_eq!(spool.dropped(), 1);
    }
}
