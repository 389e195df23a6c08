//! Whether and when a partial is tried again.

use std::time::Duration;

use super::{AttemptEnd, Hindrance, Outcome};
use crate::config::Retry;

/// While the machine has no room for an attempt, the partial is tried so often in all, whatever `retry` says: for about five
/// minutes. Nothing of the job has run, so that nothing runs twice.
const SHORTAGE_TRIES: u32 = 10;

/// Between such tries; doubled each time …
const SHORTAGE_DELAY: Duration = Duration::from_secs(1);

/// … up to this.
const SHORTAGE_MAX_DELAY: Duration = Duration::from_secs(60);

/// So much of such a delay is left to chance: all who found no room would else come back at once.
const SHORTAGE_JITTER: f64 = 0.5;

/// How often a partial was tried since its run was taken up, the attempt that has just ended included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tries {
    /// Those that the machine had room for.
    pub attempts: u32,
    /// Those for which it had none.
    pub shortages: u32,
}

/// How an attempt has ended, as far as another one is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub outcome: Outcome,
    pub exit_code: Option<i32>,
    pub hindrance: Option<Hindrance>,
}

/// The delay before the next attempt, or `None` when the partial has ended. `seed` is the same for the same partial and attempt,
/// so that a replay waits equally long.
pub(super) fn delay(retry: &Retry, tries: Tries, failure: Failure, seed: u64) -> Option<Duration> {
    match (failure.outcome, failure.hindrance) {
        (Outcome::SpawnFailed, Some(Hindrance::Lasting)) => None,
        (Outcome::SpawnFailed, Some(Hindrance::Shortage)) => (tries.shortages < SHORTAGE_TRIES)
            .then(|| backoff(SHORTAGE_DELAY, 2.0, tries.shortages, SHORTAGE_MAX_DELAY, SHORTAGE_JITTER, seed)),
        _ if is_worth_another(retry, failure) && tries.attempts < retry.attempts => {
            Some(backoff(retry.delay, retry.factor, tries.attempts, retry.max_delay, retry.jitter, seed))
        }
        _ => None,
    }
}

fn is_worth_another(retry: &Retry, failure: Failure) -> bool {
    let Failure { outcome, exit_code, .. } = failure;
    let failed = matches!(outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Signalled | Outcome::SpawnFailed | Outcome::Lost);
    failed && (retry.on_exit.is_empty() || exit_code.is_some_and(|code| retry.on_exit.contains(&code)))
}

/// The delay after the `tries`th try.
fn backoff(delay: Duration, factor: f64, tries: u32, max_delay: Duration, jitter: f64, seed: u64) -> Duration {
    let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
    let limited = (delay.as_secs_f64() * factor.powi(exponent)).min(max_delay.as_secs_f64());
    let jittered = limited * (1.0 - jitter * unit_interval(seed));
    Duration::try_from_secs_f64(jittered).unwrap_or(max_delay)
}

/// The seed of an attempt's jitter.
pub(super) fn seed(run: i64, index: u32, attempt: u32) -> u64 {
    run.cast_unsigned() ^ (u64::from(index) << 20) ^ u64::from(attempt)
}

/// The outcome as recorded: what the engine was doing to the attempt explains its end better than its exit status.
pub(super) fn outcome(end: &AttemptEnd, stopped: Option<Outcome>) -> Outcome {
    stopped.unwrap_or(end.outcome)
}

/// Maps a hash of `seed` (splitmix64) to 0.0 … 1.0.
fn unit_interval(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
    f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(attempts: u32, on_exit: &[i32]) -> Retry {
        Retry {
            attempts,
            delay: Duration::from_secs(5),
            factor: 2.0,
            max_delay: Duration::from_secs(12),
            jitter: 0.0,
            on_exit: on_exit.to_vec(),
        }
    }

    fn tried(attempts: u32) -> Tries {
        Tries { attempts, shortages: 0 }
    }

    fn failed(outcome: Outcome, exit_code: Option<i32>) -> Failure {
        Failure { outcome, exit_code, hindrance: None }
    }

    #[test]
    fn backs_off_up_to_the_limit_and_gives_up() {
        let delay = |attempt| delay(&retry(5, &[]), tried(attempt), failed(Outcome::Failed, Some(1)), 0);
        let seconds: Vec<_> = (1..=5).map(|attempt| delay(attempt).map(|delay| delay.as_secs())).collect();
        assert_eq!(seconds, [Some(5), Some(10), Some(12), Some(12), None]);
    }

    #[test]
    fn only_what_is_worth_another_try() {
        for (outcome, exit_code, on_exit, retried) in [
            (Outcome::Failed, Some(1), &[][..], true),
            (Outcome::TimedOut, None, &[], true),
            (Outcome::Signalled, None, &[], true),
            (Outcome::SpawnFailed, None, &[], true),
            (Outcome::Lost, None, &[], true),
            (Outcome::Succeeded, Some(0), &[], false),
            (Outcome::Cancelled, None, &[], false),
            (Outcome::Failed, Some(75), &[1, 75], true),
            (Outcome::Failed, Some(2), &[1, 75], false),
            (Outcome::TimedOut, None, &[1], false),
        ] {
            let delay = delay(&retry(2, on_exit), tried(1), failed(outcome, exit_code), 7);
            assert_eq!(delay.is_some(), retried, "{outcome} {exit_code:?} {on_exit:?}");
        }
    }

    #[test]
    fn what_cannot_start_is_tried_again_only_where_room_may_come() {
        use Hindrance::{Lasting, Shortage};
        for (hindrance, attempts, shortages, on_exit, expected) in [
            (Lasting, 5, 0, &[][..], None),
            (Shortage, 1, 1, &[], Some(1.0)),
            (Shortage, 1, 2, &[], Some(2.0)),
            (Shortage, 1, 7, &[75], Some(60.0)),
            (Shortage, 1, 9, &[], Some(60.0)),
            (Shortage, 1, 10, &[], None),
            (Shortage, 99, 10, &[], None),
        ] {
            let failure = Failure { hindrance: Some(hindrance), ..failed(Outcome::SpawnFailed, None) };
            let delay = delay(&retry(attempts, on_exit), Tries { attempts: 0, shortages }, failure, 0);
            let whole = |seconds: f64, delay: Duration| delay.as_secs_f64() <= seconds && delay.as_secs_f64() >= seconds / 2.0;
            let agrees = expected.map_or(delay.is_none(), |seconds| delay.is_some_and(|delay| whole(seconds, delay)));
            assert!(agrees, "{hindrance:?} {attempts} {shortages}: {delay:?}");
        }
    }

    #[test]
    fn jitter_shortens_by_its_share_at_most_and_is_repeatable() {
        let policy = Retry { jitter: 0.2, ..retry(2, &[]) };
        for index in 0..1_000 {
            let seed = seed(42, index, 1);
            let delay = || delay(&policy, tried(1), failed(Outcome::Failed, None), seed).expect("retried").as_secs_f64();
            assert!((4.0..=5.0).contains(&delay()));
            assert!((delay() - delay()).abs() < f64::EPSILON);
        }
    }
}
