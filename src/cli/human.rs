//! Durations, times and progress in words.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How wide a bar of progress is, in characters.
const BAR_WIDTH: usize = 20;

/// A duration with its two greatest units: `85ms`, `1.2s`, `1m 23s`, `2h 5m`, `3d 4h`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (whole, rest, units) = match seconds {
        0 => return format!("{}ms", duration.as_millis()),
        1..60 => return format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3_600 => (seconds / 60, seconds % 60, ("m", "s")),
        3_600..86_400 => (seconds / 3_600, seconds % 3_600 / 60, ("h", "m")),
        _ => (seconds / 86_400, seconds % 86_400 / 3_600, ("d", "h")),
    };
    if rest == 0 { format!("{whole}{}", units.0) } else { format!("{whole}{} {rest}{}", units.0, units.1) }
}

/// The same for milliseconds as the records have them.
pub(super) fn milliseconds(milliseconds: i64) -> String {
    duration(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}

/// How long from `earlier` to `later`, nothing when the clock went back in between.
pub(super) fn between(earlier: Timestamp, later: Timestamp) -> String {
    duration(elapsed(earlier, later))
}

/// How far `at` is from `now`, in the largest unit that is not zero: `in 3 min`, `2 h ago`, `now`.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let distance: SignedDuration = at.duration_since(now);
    let (amount, unit) = match distance.unsigned_abs().as_secs() {
        0 => return "now".to_owned(),
        seconds @ 1..60 => (seconds, "s"),
        seconds @ 60..3_600 => (seconds / 60, "min"),
        seconds @ 3_600..86_400 => (seconds / 3_600, "h"),
        seconds => (seconds / 86_400, "d"),
    };
    if distance.is_negative() { format!("{amount} {unit} ago") } else { format!("in {amount} {unit}") }
}

/// A time in a zone, to the second: `2026-11-23 02:00:00 EST`. In UTC where the zone is not known here.
pub(super) fn local(at: Timestamp, zone: &str) -> String {
    TimeZone::get(zone).map_or_else(|_| local_in(at, &TimeZone::UTC), |rules| local_in(at, &rules))
}

/// The same in a zone whose rules are at hand.
pub(super) fn local_in(at: Timestamp, rules: &TimeZone) -> String {
    at.to_zoned_datetime(rules.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A bar of `done` out of `all`: `[#####---------------]`.
pub(super) fn bar(done: u32, all: u32) -> String {
    let filled = if all == 0 { BAR_WIDTH } else { BAR_WIDTH * (done.min(all) as usize) / all as usize };
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR_WIDTH - filled))
}

/// An amount of bytes: `512 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// `1 partial`, `3 partials`.
pub(super) fn count(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(super) fn elapsed(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (ms, shown) in [
            (0, "0ms"),
            (85, "85ms"),
            (1_234, "1.2s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (83_000, "1m 23s"),
            (7_500_000, "2h 5m"),
            (273_600_000, "3d 4h"),
            (-5, "0ms"),
        ] {
            assert_eq!(milliseconds(ms), shown);
        }
    }

    #[test]
    fn distances_have_a_direction() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        for (at, shown) in [
            ("2026-11-23T12:00:00.4Z", "now"),
            ("2026-11-23T12:00:30Z", "in 30 s"),
            ("2026-11-23T12:03:59Z", "in 3 min"),
            ("2026-11-23T10:00:00Z", "2 h ago"),
            ("2026-11-26T10:00:00Z", "in 2 d"),
        ] {
            assert_eq!(distance(at.parse().expect("a time"), now), shown);
        }
    }

    #[test]
    fn times_are_local_to_the_zone() {
        let at: Timestamp = "2026-11-23T07:00:00Z".parse().expect("a time");
        assert_eq!(local(at, "America/New_York"), "2026-11-23 02:00:00 EST");
        assert_eq!(local(at, "Mars/Olympus"), "2026-11-23 07:00:00 UTC");
    }

    #[test]
    fn bars_fill_up() {
        assert_eq!(bar(10, 40), "[#####---------------]");
        assert_eq!(bar(0, 0), "[####################]");
        assert_eq!(bar(7, 5), "[####################]");
    }
}
