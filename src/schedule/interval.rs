//! `@every INTERVAL`: whole multiples of the interval since the epoch in elapsed time, so that a restart does not move them.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use super::{ParseError, shown};

/// The words of a duration whose length is not fixed.
const CALENDAR_UNITS: [&str; 6] = ["month", "months", "M", "year", "years", "y"];

/// Reads what follows `@every`; `whole` is where nickname and interval stand in the expression.
pub(super) fn parse(text: &str, whole: &Range<usize>) -> Result<Duration, ParseError> {
    let text = text.trim_matches([' ', '\t']);
    let range = if text.is_empty() { whole.clone() } else { whole.end - text.len()..whole.end };
    let refuse = |message: String, help: &str| Err(ParseError { range: range.clone(), message, help: Some(help.into()) });
    let mut units = text.split(|character: char| !character.is_ascii_alphabetic());
    if units.any(|unit| CALENDAR_UNITS.contains(&unit)) {
        return refuse(
            format!("`@every {}` has no fixed length: months and years vary", shown(text)),
            "use days or weeks, or `@monthly` or `@yearly`",
        );
    }
    match humantime::parse_duration(text) {
        Ok(interval) if interval.subsec_nanos() == 0 && interval.as_secs() >= 1 => Ok(interval),
        Ok(_) => refuse(format!("`@every {}` is not a whole number of seconds, at least 1", shown(text)), "write `@every 1s` or more"),
        Err(_) => refuse(format!("`@every {}` has no valid interval", shown(text)), "write `@every 90s`, `@every 15m` or `@every 1h30m`"),
    }
}

/// The first multiple later than `after`; `None` past the end of the calendar.
pub(super) fn next(interval: Duration, after: Timestamp) -> Option<Timestamp> {
    let interval = i64::try_from(interval.as_secs()).ok()?;
    let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
    let multiple = second.checked_div_euclid(interval)?.checked_add(1)?.checked_mul(interval)?;
    Timestamp::from_second(multiple).ok()
}

/// How many multiples are later than `after` and not later than `upto`.
pub(super) fn count(interval: Duration, after: Timestamp, upto: Timestamp) -> u64 {
    let Ok(interval) = i64::try_from(interval.as_secs()) else { return 0 };
    let multiples = |at: Timestamp| (at.as_second() - i64::from(at.subsec_nanosecond() < 0)).div_euclid(interval);
    u64::try_from(multiples(upto) - multiples(after)).unwrap_or(0)
}
