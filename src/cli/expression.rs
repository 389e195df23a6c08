//! What `next` and `explain` share: reading an expression, a zone and a time, refusing them, and showing times.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::schedule::{Change, ParseError, Schedule, Timetable, Zone, ZoneError, describe_change};

/// The most characters of an argument that a message repeats.
const MAX_ECHO: usize = 40;

/// How many coming changes of the clock are shown.
const CHANGES: usize = 2;

/// Why an argument cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", explain_refusal(self))]
pub(super) enum Refusal<'a> {
    Expression { text: &'a str, error: ParseError },
    Zone(ZoneError),
    Time { option: &'static str, text: &'a str },
}

/// Reads an expression and the zone to see it in: the system's when none is given.
pub(super) fn read<'a>(expression: &'a str, timezone: Option<&str>) -> Result<(Schedule, Zone), Refusal<'a>> {
    let schedule = Schedule::parse(expression).map_err(|error| Refusal::Expression { text: expression, error })?;
    let zone = match timezone {
        Some(name) => Zone::lookup(name).map_err(Refusal::Zone)?,
        None => TimeZone::system().iana_name().and_then(|name| Zone::lookup(name).ok()).unwrap_or_else(Zone::utc),
    };
    Ok((schedule, zone))
}

/// Reads an instant, or a local date or time in the zone.
pub(super) fn instant<'a>(text: &'a str, zone: &Zone, option: &'static str) -> Result<Timestamp, Refusal<'a>> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(zoned) = text.parse::<ZonedDateTime>() {
        return Ok(zoned.timestamp());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok().and_then(|local| zone.rules.to_timestamp(local).ok());
    local.ok_or(Refusal::Time { option, text })
}

/// The refusal as people read it: the message, a caret under the column, the fix.
pub(super) fn explain_refusal(refusal: &Refusal<'_>) -> String {
    match refusal {
        Refusal::Zone(error) => error.to_string(),
        Refusal::Time { option, text } => {
            let shown: String = text.chars().take(MAX_ECHO).flat_map(char::escape_debug).collect();
            format!("`{option} {shown}` is not a time; write `2026-03-08T02:30:00Z` or a local `2026-03-08T02:30`")
        }
        Refusal::Expression { text, error } => {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
            format!("{}{}{help}", error.message, excerpt(text, &error.range))
        }
    }
}

/// The expression with carets under a range of it; nothing for one too long or too odd to repeat.
pub(super) fn excerpt(text: &str, range: &std::ops::Range<usize>) -> String {
    /// One line of a terminal.
    const MAX_EXCERPT: usize = 120;
    if text.is_empty() || text.len() > MAX_EXCERPT || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return String::new();
    }
    format!("\n  {text}\n  {}{}", " ".repeat(range.start), "^".repeat(range.len().max(1)))
}

/// A time with offset and zone, as programs read it.
pub(super) fn local(instant: Timestamp, zone: &Zone) -> String {
    instant.to_zoned_datetime(zone.rules.clone()).to_string()
}

/// A time with the abbreviation of its zone, as people read it.
pub(super) fn local_for_people(instant: Timestamp, zone: &Zone) -> String {
    instant.to_zoned_datetime(zone.rules.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z (%:z)").to_string()
}

/// The coming changes of the clocks of a timetable's zone, each with what it does to every schedule.
pub(super) fn changes(timetable: &Timetable, after: Timestamp) -> Vec<(Change, Vec<String>)> {
    let effects = |change: &Change| timetable.schedules.iter().map(|schedule| describe_change(schedule, timetable.dst, change)).collect();
    Change::following(&timetable.zone.rules, after).take(CHANGES).map(|change| (change, effects(&change))).collect()
}

/// "2026-03-08 02:00 → 03:00".
pub(super) fn jump(change: &Change) -> String {
    let (before, after) = (change.wall_before(), change.wall_after());
    format!(
        "{} → {}",
        before.strftime("%Y-%m-%d %H:%M"),
        after.strftime(if before.date() == after.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_points_at_the_column() {
        let refusal = read("0 5/15 * * *", Some("UTC")).expect_err("refused");
        insta::assert_snapshot!(explain_refusal(&refusal), @r#"
        hour `5` has a step `15` without a range
          0 5/15 * * *
            ^
          help: write `5-23/15`
        "#);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let refusal = instant("to\u{202e}morrow", &Zone::utc(), "--after").expect_err("refused");
        insta::assert_snapshot!(explain_refusal(&refusal), @r#"`--after to\u{202e}morrow` is not a time; write `2026-03-08T02:30:00Z` or a local `2026-03-08T02:30`"#);
    }
}
