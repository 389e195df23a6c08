//! What is never wrong but often not meant: the traps of the dialect and of the zone.

use std::ops::Range;

use jiff::Timestamp;

use super::cron::{Cron, pieces};
use super::dst::Change;
use super::field::{Piece, Unit};
use super::{Schedule, Zone};

/// How many coming changes of the zone are looked at for a fixed time inside a gap.
const CHANGES_AHEAD: usize = 4;

/// A suspicion about a valid expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The bytes of the expression it is about.
    pub range: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// The suspicions about a valid expression in its zone; none for an invalid one. `after` bounds the search for a gap.
pub fn warnings(expression: &str, zone: &Zone, after: Timestamp) -> Vec<Warning> {
    let Ok(Schedule::Cron(cron)) = Schedule::parse(expression) else { return Vec::new() };
    let pieces = pieces(expression).unwrap_or_default();
    let mut found: Vec<Warning> = pieces.iter().flat_map(|piece| piece.items()).filter_map(uneven_step).collect();
    found.extend(every_second(&pieces));
    found.extend(two_day_fields(&pieces, &cron));
    found.extend(inside_gap(expression, &cron, zone, after));
    found
}

/// `*/60`, which is the first value only, and `*/23`, whose last step is shorter.
fn uneven_step(item: Piece<'_>) -> Option<Warning> {
    let step: u16 = item.text.strip_prefix("*/")?.parse().ok()?;
    let (lowest, highest) = item.unit.limits();
    // A weekday is a cycle of seven although 7 may be written.
    let cycle = if item.unit == Unit::Weekday { 7 } else { u16::from(highest - lowest) + 1 };
    let unit = item.unit.name();
    let (message, help) = if step >= cycle {
        (format!("{unit} `*/{step}` matches only {lowest}"), format!("write `{lowest}`"))
    } else if cycle % step != 0 || item.unit == Unit::Day {
        let rest = "the steps start over at the end of each round, so the last one is shorter";
        (format!("{unit} `*/{step}` is uneven: {rest}"), "for a steady interval use `@every`".to_owned())
    } else {
        return None;
    };
    Some(Warning { range: item.range_in_expression(), message, help: Some(help) })
}

fn every_second(pieces: &[Piece<'_>]) -> Option<Warning> {
    let first = pieces.first().filter(|piece| piece.unit == Unit::Second && piece.text == "*")?;
    let message = "six fields with `*` for the seconds run every second of each matching minute".to_owned();
    Some(Warning { range: first.range_in_expression(), message, help: Some("write `0` for once a minute, or five fields".into()) })
}

fn two_day_fields(pieces: &[Piece<'_>], cron: &Cron) -> Option<Warning> {
    let restricted = |piece: &&Piece<'_>| piece.unit.is_day() && piece.text != "*" && piece.text != "?";
    let days: Vec<&Piece<'_>> = pieces.iter().filter(restricted).collect();
    let [day, weekday] = days.as_slice() else { return None };
    let range = day.start..weekday.range_in_expression().end;
    let (message, help) = if cron.both_days {
        ("day of month and weekday must both match, because one of them begins with `*`", "write the days as a list or range for either")
    } else {
        ("runs when either day of month or weekday matches, not only when both do", "for both, let one of them begin with `*`")
    };
    Some(Warning { range, message: message.into(), help: Some(help.into()) })
}

fn inside_gap(expression: &str, cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Warning> {
    if !cron.is_fixed_time() {
        return None;
    }
    let mut gaps = Change::following(&zone.rules, after).take(CHANGES_AHEAD).filter(Change::is_gap);
    let (change, wall) = gaps.find_map(|change| Some((change, cron.within(&change)?)))?;
    let message = format!(
        "{} does not exist in {} on {}, when the clock goes from {} to {}",
        wall.strftime("%H:%M"),
        zone.name,
        wall.date(),
        change.wall_before().strftime("%H:%M"),
        change.wall_after().strftime("%H:%M"),
    );
    let help = "it then runs once right after the jump (`dst.gap`); choose another time, or the zone `UTC`".to_owned();
    Some(Warning { range: 0..expression.len(), message, help: Some(help) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, zone: &str, expected: &[&str]) {
        let zone = Zone::lookup(zone).expect("a known zone");
        let after = "2026-01-01T00:00:00Z".parse().expect("an instant");
        let found = warnings(expression, &zone, after);
        let shown: Vec<String> =
            found.iter().map(|warning| format!("{}: {}", &expression[warning.range.clone()], warning.message)).collect();
        assert_eq!(shown, expected, "{expression}");
    }

    #[test]
    fn an_ordinary_schedule_has_no_warning() {
        check("*/15 9-17 * * MON-FRI", "America/New_York", &[]);
        check("30 4 1 * *", "America/New_York", &[]);
        check("30 2 * * *", "UTC", &[]);
        check("@every 7m", "UTC", &[]);
    }

    #[test]
    fn steps() {
        check("*/60 * * * *", "UTC", &["*/60: minute `*/60` matches only 0"]);
        check(
            "*/23 * * * *",
            "UTC",
            &["*/23: minute `*/23` is uneven: the steps start over at the end of each round, so the last one is shorter"],
        );
    }

    #[test]
    fn two_day_fields() {
        check("0 4 1 * MON", "UTC", &["1 * MON: runs when either day of month or weekday matches, not only when both do"]);
        check("0 4 *,1 * MON", "UTC", &["*,1 * MON: day of month and weekday must both match, because one of them begins with `*`"]);
    }

    #[test]
    fn seconds() {
        check("* 0 4 * * *", "UTC", &["*: six fields with `*` for the seconds run every second of each matching minute"]);
    }

    #[test]
    fn a_fixed_time_inside_a_gap_names_the_date() {
        let message = "30 2 * * *: 02:30 does not exist in America/New_York on 2026-03-08, when the clock goes from 02:00 to 03:00";
        check("30 2 * * *", "America/New_York", &[message]);
        check("*/30 2 * * *", "America/New_York", &[]);
    }
}
