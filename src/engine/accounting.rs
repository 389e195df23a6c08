//! Where the accounting of a job's nominal times starts, and what it does when the clock is set back.
//!
//! The accounting of a job is a promise: each nominal time later than its start has one decision. It starts when the job is
//! new or its schedule changes, so that an edit never sets off a flood, and again when the clock is set back by hours.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Beginning, Effect, Engine, JobState, LEAD, Now, Record, RecoveredJob};
use crate::config::{Job, JobName};

/// A clock that is set back by at most this much repeats nothing: what is decided stays decided, and the job waits until the
/// clock has caught up. Set back by more, the new time counts at once. The rule of Debian's `cron(8)`.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_hours(3);

/// How far the nominal times of a job are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounted {
    /// The latest nominal time that is decided.
    pub watermark: Timestamp,
    pub repeat: Repeat,
}

/// Nominal times that come again, because the clock was set back beyond [`MAX_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Nominal times up to this one may have had a run before.
    pub until: Timestamp,
    /// Tells those runs apart: 1 for the first, and 1 more each time the clock is set back.
    pub number: u32,
}

impl Repeat {
    /// Nothing comes again.
    pub const NONE: Self = Self { until: Timestamp::MIN, number: 1 };

    /// The number in the name of the run for `nominal`; 1 is left out of it.
    pub(super) fn of(self, nominal: Timestamp) -> u32 {
        if nominal <= self.until { self.number } else { 1 }
    }
}

/// Where the accounting starts at `now`. `before`: how far it had come, if there was one under the job's name.
pub(super) fn start(before: Option<Accounted>, now: Timestamp) -> Accounted {
    let Some(before) = before else { return Accounted { watermark: now, repeat: Repeat::NONE } };
    if waits_too_long(before, now) {
        let until = before.repeat.until.max(before.watermark);
        return Accounted { watermark: now, repeat: Repeat { until, number: before.repeat.number.saturating_add(1) } };
    }
    Accounted { watermark: before.watermark.max(now), ..before }
}

/// Whether the clock was set back so far that the job does not wait for it to catch up.
pub(super) fn waits_too_long(accounted: Accounted, now: Timestamp) -> bool {
    accounted.watermark.duration_since(now) > MAX_WAIT
}

/// What decides a job's nominal times; a disabled job has none, and starts anew when it is enabled.
pub(super) fn fingerprint(job: &Job) -> u64 {
    if job.enabled { job.schedule_fingerprint() } else { 0 }
}

impl Engine {
    /// Starts the accounting of a job. `boot_id`: the boot whose `@reboot` is decided already.
    pub(super) fn start_accounting(
        &mut self,
        name: &JobName,
        beginning: Beginning,
        boot_id: Option<Arc<str>>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let retired = self.retired.remove(name);
        let Some(state) = self.jobs.get_mut(name) else { return };
        state.accounted = match beginning {
            Beginning::New => start(retired, now.wall),
            Beginning::Changed | Beginning::ClockSet => start(Some(state.accounted), now.wall),
            // It goes on; only its record is missing.
            Beginning::Upgraded => state.accounted,
        };
        effects.push(Effect::Record(Record::Accounting {
            job: Arc::clone(&state.job),
            accounted: state.accounted,
            fingerprint: fingerprint(&state.job),
            beginning,
            boot_id,
        }));
        self.schedule(name, effects);
    }

    /// The job has left the configuration. How far it had come is kept while it lies ahead: under the same name, nothing is
    /// done twice.
    pub(super) fn end_accounting(&mut self, name: &JobName, accounted: Accounted, now: Now, effects: &mut Vec<Effect>) {
        self.retire(name, accounted, now);
        effects.push(Effect::Record(Record::Removed { job: Arc::clone(name) }));
    }

    pub(super) fn retire(&mut self, name: &JobName, accounted: Accounted, now: Now) {
        if accounted.watermark.max(accounted.repeat.until) > now.wall {
            self.retired.insert(Arc::clone(name), accounted);
        }
    }

    /// The clock was set back: what is far ahead of it does not wait. Jobs start anew, and runs that were about to start do so
    /// by the old time.
    pub(super) fn clock_set_back(&mut self, before: Now, now: Now, effects: &mut Vec<Effect>) {
        let boot_id = Arc::clone(&self.boot_id);
        let ahead = |state: &JobState| !state.removed && waits_too_long(state.accounted, now.wall);
        let ahead: Vec<_> = self.jobs.iter().filter(|(_, state)| ahead(state)).map(|(name, _)| Arc::clone(name)).collect();
        for name in ahead {
            self.start_accounting(&name, Beginning::ClockSet, Some(Arc::clone(&boot_id)), now, effects);
        }
        let behind = |state: &JobState| state.standing.heard > now.wall;
        let waiting = self.jobs.iter_mut().filter(|(_, state)| behind(state)).map(|(name, state)| {
            state.standing.heard = now.wall;
            Arc::clone(name)
        });
        let waiting: Vec<_> = waiting.collect();
        for name in waiting {
            self.await_success(&name);
        }
        for run in self.runs.values_mut() {
            run.not_before = start_after(run.not_before, before, now);
        }
        let starts = std::mem::take(&mut self.starts);
        let moved = |(_, key)| self.runs.get(&key).map(|run| (run.not_before, key));
        self.starts = starts.into_iter().filter_map(moved).collect();
    }
}

/// When a run may start that was to start at `at`, now that the clock was set back. What had come has come for ever; what is
/// close ahead waits for the clock; what is far ahead starts as soon after its decision as it would have.
fn start_after(at: Timestamp, before: Now, now: Now) -> Timestamp {
    if at <= before.wall {
        Timestamp::MIN
    } else if at.duration_since(now.wall) > MAX_WAIT {
        // More is left only where the clock was set back before.
        let most = SignedDuration::try_from(LEAD).unwrap_or(SignedDuration::ZERO);
        now.wall + at.duration_since(before.wall).min(most)
    } else {
        at
    }
}

/// How far a recorded job has come.
impl From<&RecoveredJob> for Accounted {
    fn from(job: &RecoveredJob) -> Self {
        Self { watermark: job.watermark, repeat: job.repeat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are minutes from now; `before` and the answer are watermark, repeated until, number.
    fn check(before: Option<(i64, Option<i64>, u32)>, expected: (i64, Option<i64>, u32)) {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let at = |minutes: i64| now + SignedDuration::from_mins(minutes);
        let accounted = |(watermark, until, number): (i64, Option<i64>, u32)| Accounted {
            watermark: at(watermark),
            repeat: Repeat { until: until.map_or(Timestamp::MIN, at), number },
        };
        assert_eq!(start(before.map(accounted), now), accounted(expected), "{before:?}");
    }

    #[test]
    fn where_it_starts() {
        check(None, (0, None, 1));
        check(Some((-60, None, 1)), (0, None, 1));
        check(Some((60, None, 1)), (60, None, 1));
        check(Some((180, None, 1)), (180, None, 1));
        check(Some((181, None, 1)), (0, Some(181), 2));
        check(Some((1_440, Some(10_000), 2)), (0, Some(10_000), 3));
        check(Some((-60, Some(30), 2)), (0, Some(30), 2));
        check(Some((20_000, Some(10_000), 2)), (0, Some(20_000), 3));
    }

    #[test]
    fn what_was_decided_does_not_wait_for_hours() {
        let noon = Timestamp::from_second(1_800_000_000).expect("in range");
        let at = |seconds: i64| noon + SignedDuration::from_secs(seconds);
        let clock = |wall| Now { wall, monotonic: std::time::Duration::ZERO };
        let lead = SignedDuration::try_from(LEAD).expect("short");
        // In seconds after noon, when the clock is set.
        for (starts, back, expected) in [
            (-1, 60, Timestamp::MIN),
            (0, 86_400, Timestamp::MIN),
            (1, 60, at(1)),
            (7_200, 3_600, at(7_200)),
            (1, 86_400, at(-86_400) + lead),
            (3_601, 3 * 3_600, at(-3 * 3_600) + lead),
        ] {
            assert_eq!(start_after(at(starts), clock(noon), clock(at(-back))), expected, "{starts}, back by {back}");
        }
    }

    #[test]
    fn only_what_comes_again_has_a_number() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        let repeat = Repeat { until: at(100), number: 3 };
        assert_eq!([at(99), at(100), at(101)].map(|nominal| repeat.of(nominal)), [3, 3, 1]);
        assert_eq!(Repeat::NONE.of(Timestamp::MIN), 1);
    }
}
