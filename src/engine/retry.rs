//! Whether and when a partial is tried again.

use std::time::Duration;

use super::{AttemptEnd, Outcome};
use crate::config::Retry;

/// The delay before the next attempt, or `None` when the partial has ended. `attempt` counts from 1; `seed` is the same for
/// the same partial and attempt, so that a replay waits equally long.
pub(super) fn delay(retry: &Retry, attempt: u32, outcome: Outcome, exit_code: Option<i32>, seed: u64) -> Option<Duration> {
    let failed = matches!(outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Signalled | Outcome::SpawnFailed | Outcome::Lost);
    let wanted = retry.on_exit.is_empty() || exit_code.is_some_and(|code| retry.on_exit.contains(&code));
    if !failed || !wanted || attempt >= retry.attempts {
        return None;
    }
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let backoff = retry.delay.as_secs_f64() * retry.factor.powi(exponent);
    let limited = backoff.min(retry.max_delay.as_secs_f64());
    let jittered = limited * (1.0 - retry.jitter * unit_interval(seed));
    Some(Duration::try_from_secs_f64(jittered).unwrap_or(retry.max_delay))
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

    #[test]
    fn backs_off_up_to_the_limit_and_gives_up() {
        let seconds: Vec<_> =
            (1..=5).map(|attempt| delay(&retry(5, &[]), attempt, Outcome::Failed, Some(1), 0).map(|delay| delay.as_secs())).collect();
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
            let delay = delay(&retry(2, on_exit), 1, outcome, exit_code, 7);
            assert_eq!(delay.is_some(), retried, "{outcome} {exit_code:?} {on_exit:?}");
        }
    }

    #[test]
    fn jitter_shortens_by_its_share_at_most_and_is_repeatable() {
        let policy = Retry { jitter: 0.2, ..retry(2, &[]) };
        for index in 0..1_000 {
            let seed = seed(42, index, 1);
            let delay = || delay(&policy, 1, Outcome::Failed, None, seed).expect("retried").as_secs_f64();
            assert!((4.0..=5.0).contains(&delay()));
            assert!((delay() - delay()).abs() < f64::EPSILON);
        }
    }
}
