//! How fast the attempts of a run start: a bucket into which tokens come evenly.

use std::time::Duration;

use crate::config::Rate;

/// Tokens that were not used are kept for so long, but never more than one where they come slower: a loop that wakes late catches
/// up, and no second sees more than a tenth above the rate.
const KEPT: Duration = Duration::from_millis(100);

/// The bucket, as the time at which it has the next token. Times are monotonic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two tokens.
    interval: Duration,
    next: Duration,
}

impl Pace {
    /// Has one token now.
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        Self { interval: (rate.per / rate.starts).max(Duration::from_nanos(1)), next: now }
    }

    /// When the next attempt may start; `None`: now.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        (self.next > now).then_some(self.next)
    }

    /// Takes the token for a start now.
    pub(super) fn take(&mut self, now: Duration) {
        let kept = if self.interval > KEPT { Duration::ZERO } else { KEPT };
        self.next = self.next.max(now.saturating_sub(kept)) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Starts as soon as it may, looking each `look` milliseconds for `seconds`; how many started in each second.
    fn check(starts: u32, per: Duration, look: u64, expected: &[u32]) {
        let mut pace = Pace::new(Rate { starts, per }, SECOND);
        let counts = (0..expected.len() as u64).map(|second| {
            let looks = (0..1_000 / look).map(|at| SECOND * u32::try_from(second + 1).expect("small") + Duration::from_millis(at * look));
            let mut count = 0;
            for now in looks {
                while pace.wait(now).is_none() {
                    pace.take(now);
                    count += 1;
                }
            }
            count
        });
        assert_eq!(counts.collect::<Vec<u32>>(), expected, "{starts} in {per:?}, looking each {look} ms");
    }

    #[test]
    fn no_second_sees_more_than_the_rate() {
        check(50, SECOND, 1, &[50, 50, 50]);
        check(50, SECOND, 50, &[48, 50, 50]);
        check(3, SECOND, 1, &[3, 3, 3]);
        check(20_000, SECOND, 1, &[19_981, 20_000, 20_000]);
        check(120, SECOND * 60, 10, &[2, 2, 2]);
        check(30, SECOND * 60, 10, &[1, 0, 1, 0]);
        check(3_600, SECOND * 3_600, 10, &[1, 1, 1]);
    }

    #[test]
    fn what_was_not_used_is_kept_for_a_tenth_of_a_second() {
        for (rate, expected) in [(50, 6), (1_000, 101), (2, 1)] {
            let mut pace = Pace::new(Rate { starts: rate, per: SECOND }, SECOND);
            let (now, mut burst) = (SECOND * 100, 0);
            while pace.wait(now).is_none() {
                pace.take(now);
                burst += 1;
            }
            assert_eq!(burst, expected, "{rate}/s");
        }
    }
}
