//! Days out of a file: a holiday calendar (`.ics`, RFC 5545) or a plain list. What is not understood is an error, since a day
//! that is left out by mistake is a run on a holiday.

use jiff::civil::Date;
use jiff::{Span, ToSpan};

use super::problem::shown;
use crate::schedule::parse_dates;

/// How far a day that comes every year without an end is written out.
const LAST_YEAR: i16 = 2100;

/// The most ranges of days of one file.
const MAX_RANGES: usize = 100_000;

/// The days of a calendar file: `.ics`, else a date or range a line, `#` comments and empty lines left out.
pub(super) fn read(bytes: &[u8], is_ics: bool) -> Result<Vec<(Date, Date)>, String> {
    let bytes = bytes.strip_prefix(super::BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
    let ranges = if is_ics { events(text)? } else { lines(text)? };
    if ranges.len() > MAX_RANGES {
        return Err(format!("it names {} ranges of days, at most {MAX_RANGES} are allowed", ranges.len()));
    }
    Ok(ranges)
}

fn lines(text: &str) -> Result<Vec<(Date, Date)>, String> {
    let dates = text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()));
    let dates = dates.filter(|(_, line)| !line.is_empty());
    dates.map(|(number, line)| parse_dates(line).map_err(|reason| format!("line {number}: {reason}"))).collect()
}

/// A line of a calendar, unfolded: `NAME;PARAMETER=VALUE:VALUE`.
struct Property<'a> {
    name: String,
    value: &'a str,
}

/// What an event says about its days.
#[derive(Default)]
struct Event {
    line: usize,
    first: Option<Date>,
    /// Exclusive for all-day events, as RFC 5545 has it.
    end: Option<Date>,
    duration: Option<Span>,
    yearly: Option<Yearly>,
    left_out: Vec<Date>,
    cancelled: bool,
}

/// `RRULE:FREQ=YEARLY` with its end.
struct Yearly {
    interval: i16,
    count: Option<usize>,
    until: Option<Date>,
}

fn events(text: &str) -> Result<Vec<(Date, Date)>, String> {
    let unfolded = unfold(text);
    if !unfolded.iter().any(|(_, line)| line.trim().eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err("it is no calendar: `BEGIN:VCALENDAR` is missing".to_owned());
    }
    let mut ranges = Vec::new();
    // Inside an event, and how deep inside its alarms.
    let mut event: Option<(Event, usize)> = None;
    for (line, content) in &unfolded {
        let Some(property) = property(content) else { continue };
        let component = property.value.trim().to_ascii_uppercase();
        match (property.name.as_str(), &mut event) {
            ("BEGIN", None) if component == "VEVENT" => event = Some((Event { line: *line, ..Event::default() }, 0)),
            ("BEGIN", Some((_, depth))) => *depth += 1,
            ("END", Some((_, depth))) if *depth > 0 => *depth -= 1,
            ("END", Some((done, _))) => {
                std::mem::take(done).add_to(&mut ranges)?;
                event = None;
            }
            (_, Some((event, 0))) => event.take(&property).map_err(|reason| format!("line {line}: {reason}"))?,
            _ => {}
        }
    }
    match event {
        Some((event, _)) => Err(format!("line {}: the event has no end", event.line)),
        None => Ok(ranges),
    }
}

/// Lines that begin with a blank go on with the one before; each with the number of its first line.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let mut unfolded: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.strip_prefix([' ', '\t']), unfolded.last_mut()) {
            (Some(rest), Some((_, before))) => before.push_str(rest),
            _ => unfolded.push((index + 1, line.to_owned())),
        }
    }
    unfolded
}

fn property(content: &str) -> Option<Property<'_>> {
    // A colon inside quotes belongs to a parameter.
    let mut quoted = false;
    let colon = content.find(|character| {
        quoted ^= character == '"';
        character == ':' && !quoted
    })?;
    let (head, value) = (&content[..colon], &content[colon + 1..]);
    let name = head.split(';').next().unwrap_or_default();
    Some(Property { name: name.trim().to_ascii_uppercase(), value })
}

impl Event {
    fn take(&mut self, property: &Property<'_>) -> Result<(), String> {
        let value = property.value.trim();
        match property.name.as_str() {
            "DTSTART" => self.first = Some(date(value)?),
            "DTEND" => self.end = Some(end(value)?),
            "DURATION" => self.duration = Some(value.parse().map_err(|_| format!("`{}` is not a duration", shown(value)))?),
            "EXDATE" => self.left_out.extend(value.split(',').map(date).collect::<Result<Vec<_>, _>>()?),
            "RRULE" => self.yearly = Some(yearly(value)?),
            "RDATE" => return Err("`RDATE` is not supported; write the days as events of their own".to_owned()),
            "STATUS" => self.cancelled = value.eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
        Ok(())
    }

    fn add_to(self, ranges: &mut Vec<(Date, Date)>) -> Result<(), String> {
        if self.cancelled {
            return Ok(());
        }
        let at_line = |reason: &str| format!("line {}: the event {reason}", self.line);
        let first = self.first.ok_or_else(|| at_line("has no `DTSTART`"))?;
        let last = match (self.end, self.duration) {
            (Some(end), _) => end.yesterday().unwrap_or(end).max(first),
            (None, Some(duration)) => {
                let end = first.at(0, 0, 0, 0).checked_add(duration).map_err(|_| at_line("lasts too long"))?;
                end.checked_sub(1.nanosecond()).map_or(first, jiff::civil::DateTime::date).max(first)
            }
            (None, None) => first,
        };
        let days = first.until(last).map_err(|_| at_line("lasts too long"))?;
        let starts: Vec<Date> = self.yearly.as_ref().map_or_else(|| vec![first], |yearly| yearly.starts(first));
        let starts = starts.into_iter().filter(|start| !self.left_out.contains(start));
        ranges.extend(starts.filter_map(|start| Some((start, start.checked_add(days).ok()?))));
        Ok(())
    }
}

impl Yearly {
    /// The same day of each year; 29 February only where there is one.
    fn starts(&self, first: Date) -> Vec<Date> {
        let years = (first.year()..=LAST_YEAR.max(first.year())).step_by(usize::try_from(self.interval).unwrap_or(1));
        let dates = years.filter_map(|year| Date::new(year, first.month(), first.day()).ok());
        let dates = dates.take_while(|date| self.until.is_none_or(|until| *date <= until));
        dates.take(self.count.unwrap_or(usize::MAX)).collect()
    }
}

/// The date of `20261225` or `20261225T080000Z`, as it stands there: a holiday has no zone.
fn date(value: &str) -> Result<Date, String> {
    let day = value.split('T').next().unwrap_or_default();
    let digits = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { jiff::civil::Date::strptime("%Y%m%d", day).ok() } else { None };
    parsed.ok_or_else(|| format!("`{}` is not a date", shown(value)))
}

/// The first day after the event. One that ends at a time of day lasts through that day.
fn end(value: &str) -> Result<Date, String> {
    let date = date(value)?;
    let midnight = value.split_once('T').is_none_or(|(_, time)| time.starts_with("000000"));
    if midnight { Ok(date) } else { date.tomorrow().map_err(|_| "it ends after the calendar".to_owned()) }
}

fn yearly(value: &str) -> Result<Yearly, String> {
    let mut yearly = Yearly { interval: 1, count: None, until: None };
    let mut every_year = false;
    for part in value.split(';').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let known = match name.to_ascii_uppercase().as_str() {
            "FREQ" => {
                every_year = value.eq_ignore_ascii_case("YEARLY");
                every_year
            }
            "INTERVAL" => value.parse().ok().filter(|interval| *interval >= 1).map(|interval| yearly.interval = interval).is_some(),
            "COUNT" => value.parse().ok().map(|count| yearly.count = Some(count)).is_some(),
            "UNTIL" => {
                yearly.until = Some(date(value)?);
                true
            }
            "WKST" => true,
            _ => false,
        };
        if !known {
            let part = shown(part);
            return Err(format!("the recurrence `{part}` is not supported: only the same day every year; write the days as events"));
        }
    }
    if every_year { Ok(yearly) } else { Err("the recurrence has no `FREQ=YEARLY`".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Except;

    fn check(file: &str, is_ics: bool, expected: &str) {
        let found = read(file.as_bytes(), is_ics).map(Except::new).map_or_else(|reason| reason, |except| except.to_string());
        assert_eq!(found, expected, "{file}");
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{lines}\r\nSUMMARY:a: b\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
    }

    #[test]
    fn a_list_of_days() {
        check("# holidays\n\n2026-12-25  # Christmas\r\n2026-12-31..2027-01-01\n", false, "2026-12-25, 2026-12-31..2027-01-01");
        check("2026-12-25\n25.12.2026\n", false, "line 2: \"25.12.2026\" is not a date");
    }

    #[test]
    fn events_of_a_calendar() {
        let ics = |lines: &str, expected: &str| check(&event(lines), true, expected);
        ics("DTSTART;VALUE=DATE:20261225", "2026-12-25");
        ics("DTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227", "2026-12-25..2026-12-26");
        ics("DTSTART;VALUE=DATE:20261225\r\nDURATION:P3D", "2026-12-25..2026-12-27");
        ics("DTSTART;TZID=\"a:b\":20261225T220000\r\nDTEND:20261226T020000", "2026-12-25..2026-12-26");
        ics("DTSTART:20261225T000000Z\r\nDTEND:20261226T000000Z", "2026-12-25");
        ics("DTSTART;VALUE=DATE:20261225\r\nSTATUS:CANCELLED", "");
        ics("DTSTART;VALUE=DATE:2026\r\n 1225", "2026-12-25");
        ics("DTSTART;VALUE=DATE:20261225\r\nBEGIN:VALARM\r\nTRIGGER:-P1D\r\nDURATION:junk\r\nEND:VALARM", "2026-12-25");
    }

    #[test]
    fn days_that_come_every_year() {
        let ics = |lines: &str, expected: &str| check(&event(lines), true, expected);
        ics("DTSTART;VALUE=DATE:20261225\r\nRRULE:FREQ=YEARLY;COUNT=2", "2026-12-25, 2027-12-25");
        ics("DTSTART;VALUE=DATE:20240229\r\nRRULE:FREQ=YEARLY;UNTIL=20300101T000000Z", "2024-02-29, 2028-02-29");
        ics("DTSTART;VALUE=DATE:20260101\r\nRRULE:FREQ=YEARLY;INTERVAL=2;COUNT=2\r\nEXDATE;VALUE=DATE:20280101", "2026-01-01");
        let all = read(event("DTSTART;VALUE=DATE:20261225\r\nRRULE:FREQ=YEARLY").as_bytes(), true).expect("is read");
        assert_eq!((all.len(), all.last().map(|(_, last)| last.year())), (75, Some(LAST_YEAR)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let ics = |lines: &str, expected: &str| check(&event(lines), true, expected);
        ics("DTSTART;VALUE=DATE:20261232", "line 4: `20261232` is not a date");
        ics("SUMMARY:no date", "line 3: the event has no `DTSTART`");
        let thanksgiving = "DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH";
        let reason = "the recurrence `BYMONTH=11` is not supported: only the same day every year; write the days as events";
        ics(thanksgiving, &format!("line 5: {reason}"));
        ics("DTSTART:20261225\r\nRDATE:20270101", "line 5: `RDATE` is not supported; write the days as events of their own");
        check("2026-12-25\n", true, "it is no calendar: `BEGIN:VCALENDAR` is missing");
        check("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\n", true, "line 2: the event has no end");
        assert_eq!(read(b"\xff", false), Err("it is not UTF-8 from byte 0 on".to_owned()));
    }
}
