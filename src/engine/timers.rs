//! Deadlines on the monotonic clock: set, cancelled and taken in order. Nothing stale stays behind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::RunKey;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The attempt of the partial has run for `partial_timeout`.
    Attempt { run: RunKey, index: u32 },
    /// The attempts that were started together, from the partial `first` on, have.
    Bundle { run: RunKey, first: u32 },
    /// The stopped attempt has had its grace.
    Kill { run: RunKey, index: u32 },
    /// A partial's next attempt is due.
    Retry { run: RunKey },
    /// The `rate` of a run lets it start another attempt.
    Pace { run: RunKey },
    /// The run has gone on for `timeout`.
    Run { run: RunKey },
    /// The stopped reading of the targets has had its grace.
    KillPlan { run: RunKey },
    /// The run has gone on for `expect.within`.
    Late { run: RunKey },
    /// The stopped gather command has had its grace.
    KillGather { run: RunKey },
    /// The drain has gone on for `drain_timeout`.
    Drain,
}

/// Names a timer that was set, so that it can be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey(Duration, u64);

impl TimerKey {
    pub(super) fn due(self) -> Duration {
        self.0
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<TimerKey, Timer>,
    /// Tells timers for the same instant apart, in the order they were set.
    set: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Duration, timer: Timer) -> TimerKey {
        self.set += 1;
        let key = TimerKey(at, self.set);
        self.due.insert(key, timer);
        key
    }

    pub(super) fn cancel(&mut self, key: Option<TimerKey>) {
        if let Some(key) = key {
            self.due.remove(&key);
        }
    }

    pub(super) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.due.first_key_value().map(|(key, _)| key.0)
    }
}
