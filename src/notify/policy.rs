//! When a message goes, alone or with others, and when it is given up. Pure.

use std::time::Duration;

use crate::engine::LetterKey;
use crate::store::outbox::Letter;

/// Messages that a channel takes at once …
const BURST: u32 = 10;

/// … and after that, one in so long; what comes faster goes together, as one message.
const REFILL: Duration = Duration::from_secs(60);

/// The wait after the first failure; doubled after each further one, up to [`MAX_DELAY`].
const FIRST_DELAY: Duration = Duration::from_secs(10);
const MAX_DELAY: Duration = Duration::from_secs(1_800);

/// A message is given up when it is so old …
const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// … a ping, which nobody wants to hear late, when it is so old …
const MAX_PING_AGE: Duration = Duration::from_secs(3_600);

/// … and one that the other side refuses, after so many attempts.
const MAX_REFUSALS: u32 = 5;

/// What becomes of a message that could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Again(Duration),
    GivenUp,
}

/// `attempts`: how many there were. Up to a fifth of the delay is left out, drawn from a hash, so that channels that fail together
/// do not come back together.
pub(super) fn after_failure(attempts: u32, age: Duration, refused: bool, is_ping: bool, key: LetterKey) -> Fate {
    let too_old = age >= if is_ping { MAX_PING_AGE } else { MAX_AGE };
    if too_old || (refused && attempts >= MAX_REFUSALS) {
        return Fate::GivenUp;
    }
    let doubled = FIRST_DELAY.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(MAX_DELAY);
    let hash = crate::schedule::fnv_1a(key.to_le_bytes().into_iter().chain(attempts.to_le_bytes()));
    let share = u32::try_from(hash >> 56).unwrap_or(0);
    Fate::Again(doubled.saturating_sub(doubled / 5 * share / 256))
}

/// How many of the waiting letters go now, as one message. `room`: how many messages the channel takes.
pub(super) fn batch(letters: &[Letter], room: u32) -> usize {
    let Some(first) = letters.first() else { return 0 };
    // What was sent together once stays together: it has one id.
    if first.lead.is_some() {
        return letters.iter().take_while(|letter| letter.lead == first.lead).count();
    }
    match room {
        0 => 0,
        1 => letters.iter().take_while(|letter| letter.lead.is_none()).count(),
        _ => 1,
    }
}

/// How many messages a channel takes. Times are monotonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    tokens: u32,
    /// When the last token came.
    since: Duration,
}

impl Bucket {
    pub(super) fn full(now: Duration) -> Self {
        Self { tokens: BURST, since: now }
    }

    pub(super) fn tokens(&mut self, now: Duration) -> u32 {
        let come = now.saturating_sub(self.since).as_secs() / REFILL.as_secs();
        let come = u32::try_from(come).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(come).min(BURST);
        self.since = if self.tokens == BURST { now } else { self.since + REFILL * come };
        self.tokens
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.tokens = self.tokens(now).saturating_sub(1);
    }

    /// How long until it takes a message.
    pub(super) fn wait(&mut self, now: Duration) -> Duration {
        if self.tokens(now) > 0 { Duration::ZERO } else { (self.since + REFILL).saturating_sub(now) }
    }

    pub(super) fn is_full(&mut self, now: Duration) -> bool {
        self.tokens(now) == BURST
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::message::tests::letter;
    use super::*;

    #[test]
    fn waits_longer_and_longer_and_gives_up() {
        let hour = Duration::from_secs(3_600);
        for (attempts, age, refused, is_ping, expected) in [
            (1, Duration::ZERO, false, false, Some(10)),
            (2, Duration::ZERO, false, false, Some(20)),
            (5, Duration::ZERO, false, false, Some(160)),
            (9, hour, false, false, Some(1_800)),
            (4_000_000_000, hour, false, false, Some(1_800)),
            (60, 24 * hour, false, false, None),
            (4, Duration::ZERO, true, false, Some(80)),
            (5, Duration::ZERO, true, false, None),
            (8, hour, false, true, None),
        ] {
            let fate = after_failure(attempts, age, refused, is_ping, 7);
            let expected = expected.map(Duration::from_secs);
            let fits = match (fate, expected) {
                (Fate::Again(delay), Some(most)) => delay <= most && delay >= most * 4 / 5,
                (Fate::GivenUp, None) => true,
                _ => false,
            };
            assert!(fits, "{attempts} {age:?} {refused} {is_ping}: {fate:?}");
        }
    }

    #[test]
    fn what_comes_too_fast_goes_together() {
        let leads = |leads: &[Option<i64>]| -> Vec<Letter> {
            (1..).zip(leads).map(|(key, lead)| Letter { lead: *lead, ..letter(key, Timestamp::UNIX_EPOCH) }).collect()
        };
        for (letters, room, expected) in [
            (leads(&[]), 5, 0),
            (leads(&[None, None, None]), 2, 1),
            (leads(&[None, None, None]), 1, 3),
            (leads(&[None, None, None]), 0, 0),
            (leads(&[Some(1), None, None]), u32::MAX, 1),
            (leads(&[Some(1), Some(1), None]), u32::MAX, 2),
        ] {
            assert_eq!(batch(&letters, room), expected, "{letters:?} {room}");
        }
    }

    #[test]
    fn a_burst_and_then_one_a_minute() {
        let at = Duration::from_secs;
        let mut bucket = Bucket::full(at(0));
        (0..BURST).for_each(|_| bucket.take(at(0)));
        assert_eq!((bucket.tokens(at(0)), bucket.wait(at(10))), (0, at(50)));
        assert_eq!((bucket.tokens(at(60)), bucket.tokens(at(179))), (1, 2));
        bucket.take(at(179));
        assert_eq!((bucket.tokens(at(179)), bucket.wait(at(179))), (1, Duration::ZERO));
        assert!(!bucket.is_full(at(600)) && bucket.is_full(at(1_200)));
    }
}
