//! The delay after a nominal time that spreads jobs out. It is a hash, not a draw: the same after a restart and on every node.

use std::time::Duration;

use jiff::Timestamp;

use super::fnv_1a;

/// The delay of `job` for one nominal time: 0 to `max` inclusive, in whole milliseconds.
pub fn jitter(job: &str, nominal: Timestamp, max: Duration) -> Duration {
    let steps = u64::try_from(max.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let hash = fnv_1a(job.bytes().chain(nominal.as_second().to_le_bytes()));
    // The upper half of the product spreads evenly over the steps, without the bias of a remainder.
    let step = (u128::from(mix(hash)) * u128::from(steps)) >> 64;
    Duration::from_millis(u64::try_from(step).unwrap_or(u64::MAX))
}

/// The finaliser of splitmix64: neighbouring nominal times must not get neighbouring delays.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(job: &str, second: i64, max_ms: u64) -> u64 {
        let delay = jitter(job, Timestamp::from_second(second).expect("in range"), Duration::from_millis(max_ms));
        u64::try_from(delay.as_millis()).expect("small")
    }

    #[test]
    fn the_delay_is_the_same_in_every_process() {
        assert_eq!([delay("report", 1_800_000_000, 60_000), delay("report", 1_800_000_060, 60_000)], [2_846, 31_248]);
    }

    #[test]
    fn the_delay_covers_the_whole_range_and_stays_in_it() {
        let mut seen = [0; 11];
        for second in 0..11_000 {
            seen[usize::try_from(delay("backup", second * 60, 10)).expect("at most 10")] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    }

    #[test]
    fn without_jitter_there_is_no_delay() {
        assert_eq!(delay("backup", 1_800_000_000, 0), 0);
    }
}
