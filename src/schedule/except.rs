//! Days on which a job does not run: dates of its zone, whatever its schedule says.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Dates in ascending, disjoint ranges, both ends inclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Except(Box<[(Date, Date)]>);

impl Except {
    /// Joins ranges in any order; one that ends before it begins holds nothing.
    pub fn new(mut ranges: Vec<(Date, Date)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut joined: Vec<(Date, Date)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if end.tomorrow().map_or(true, |next| first <= next) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self(joined.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn ranges(&self) -> &[(Date, Date)] {
        &self.0
    }

    /// The last day of the range that holds `date`.
    pub fn last_day(&self, date: Date) -> Option<Date> {
        let at = self.0.partition_point(|(_, last)| *last < date);
        self.0.get(at).filter(|(first, _)| *first <= date).map(|(_, last)| *last)
    }

    /// The instant before the first one of the day after the range that holds `instant`, by the clocks of a zone: where a search
    /// for the next nominal time goes on. `None`: the instant is not excepted.
    pub(super) fn end(&self, instant: Timestamp, rules: &TimeZone) -> Option<Timestamp> {
        let last = self.last_day(rules.to_datetime(instant).date())?;
        let next_day = last.tomorrow().ok().and_then(|date| rules.to_timestamp(date.at(0, 0, 0, 0)).ok());
        let before = next_day.and_then(|start| start.checked_sub(SignedDuration::from_nanos(1)).ok());
        // Where clocks go back over midnight, the date comes twice: the search always goes forward.
        Some(before.map_or(Timestamp::MAX, |before| before.max(instant)))
    }
}

/// A date, or a range as `2026-12-31..2027-01-02`.
pub fn parse_dates(text: &str) -> Result<(Date, Date), String> {
    let date = |text: &str| {
        let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let parsed = if plain { text.parse::<Date>().ok() } else { None };
        parsed.ok_or_else(|| format!("\"{}\" is not a date", super::shown(text)))
    };
    let Some((first, last)) = text.split_once("..") else { return date(text).map(|date| (date, date)) };
    let (first, last) = (date(first)?, date(last)?);
    if last < first {
        return Err(format!("the range ends before it begins: {last} is earlier than {first}"));
    }
    Ok((first, last))
}

/// The ranges, as [`parse_dates`] reads them, with commas.
impl fmt::Display for Except {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}..{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Dst, Schedule, Timetable, Zone};

    fn except(texts: &[&str]) -> Except {
        Except::new(texts.iter().map(|text| parse_dates(text).expect("is valid")).collect())
    }

    #[test]
    fn ranges_are_joined() {
        let check = |texts: &[&str], expected: &str| assert_eq!(except(texts).to_string(), expected);
        check(&[], "");
        check(&["2026-12-25"], "2026-12-25");
        check(&["2026-12-26", "2026-12-25"], "2026-12-25..2026-12-26");
        check(&["2026-12-25..2026-12-31", "2026-12-27", "2027-01-01..2027-01-02"], "2026-12-25..2027-01-02");
        check(&["2026-02-28", "2026-03-02", "9999-12-31", "9999-12-30..9999-12-31"], "2026-02-28, 2026-03-02, 9999-12-30..9999-12-31");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "25.12.2026", "2026-12-32", "2026-1-1", "2026-12-25T00:00", "2026-12-25..", "2026-12-26..2026-12-25"] {
            assert!(parse_dates(text).is_err(), "{text}");
        }
    }

    /// The fires that are left of a daily schedule, as days of the month.
    fn check(schedule: &str, zone: &str, after: &str, texts: &[&str], expected: &[i8]) {
        let zone = Zone::lookup(zone).expect("is known");
        let schedules = vec![Schedule::parse(schedule).expect("is valid")];
        let timetable = Timetable { schedules, zone, dst: Dst::default(), except: Some(except(texts).into()) };
        let after: Timestamp = after.parse().expect("is a time");
        let fires = std::iter::successors(timetable.next_fire(after), |fire| timetable.next_fire(*fire));
        let days: Vec<i8> = fires.take(expected.len()).map(|fire| timetable.zone.rules.to_datetime(fire).day()).collect();
        assert_eq!(days, expected, "{schedule} {texts:?}");
    }

    #[test]
    fn the_days_are_those_of_the_zone() {
        check("0 2 * * *", "UTC", "2026-12-23T12:00:00Z", &["2026-12-25..2026-12-26", "2026-12-28"], &[24, 27, 29, 30]);
        // 02:00 in Seoul is the day before in UTC.
        check("0 2 * * *", "Asia/Seoul", "2026-12-23T12:00:00Z", &["2026-12-25"], &[24, 26, 27]);
        check("0 0 * * *", "America/Havana", "2026-03-06T12:00:00Z", &["2026-03-08"], &[7, 9]);
        check("*/30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", &["2018-02-17"], &[18, 18, 19]);
    }

    #[test]
    fn without_a_day_left_there_is_no_fire() {
        check("0 2 * * *", "UTC", "2026-12-23T12:00:00Z", &["2026-01-01..9999-12-31"], &[]);
        let all = except(&["2026-01-01..9999-12-31"]);
        let schedules = vec![Schedule::parse("0 2 * * *").expect("is valid")];
        let timetable = Timetable { schedules, zone: Zone::utc(), dst: Dst::default(), except: Some(all.into()) };
        assert_eq!(timetable.next_fire("2026-12-23T12:00:00Z".parse().expect("is a time")), None);
    }
}
