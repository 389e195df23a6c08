//! How many nominal times lie in a stretch, and the latest of them: a daemon that was down for years, or a clock that was set
//! ahead by years, must not look at each of millions.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use super::dst::{Change, Dst};
use super::{Schedule, Timetable, dst, interval};

/// No jump of a zone's clocks moves, skips or repeats a nominal time further away than this.
const REACH: SignedDuration = SignedDuration::from_hours(36);

impl Timetable {
    /// How many nominal times are later than `after` and not later than `upto`. For a single schedule the cost grows with the
    /// months and the zone's changes in between, for several with the nominal times.
    pub fn count(&self, after: Timestamp, upto: Timestamp) -> u64 {
        match &*self.schedules {
            [Schedule::Cron(cron)] => count(cron, &self.zone.rules, self.dst, after, upto),
            [Schedule::Every(every)] => interval::count(*every, after, upto),
            _ => walk(|from| self.next(from), after, upto),
        }
    }

    /// The latest nominal time that is later than `after` and not later than `upto`.
    pub fn latest(&self, after: Timestamp, upto: Timestamp) -> Option<Timestamp> {
        let mut back = SignedDuration::from_mins(1);
        loop {
            let from = upto.checked_sub(back).map_or(after, |from| from.max(after));
            let within = |from| self.next(from).filter(|next| *next <= upto);
            if let Some(found) = within(from) {
                return std::iter::successors(Some(found), |found| within(*found)).last();
            }
            if from == after {
                return None;
            }
            back *= 4;
        }
    }
}

fn walk(next: impl Fn(Timestamp) -> Option<Timestamp>, after: Timestamp, upto: Timestamp) -> u64 {
    std::iter::successors(next(after), |found| next(*found)).take_while(|found| *found <= upto).count() as u64
}

/// Near the changes of the zone each nominal time is looked up; in between, where a day is a day, they are counted.
fn count(cron: &Cron, rules: &TimeZone, dst: Dst, after: Timestamp, upto: Timestamp) -> u64 {
    let search = |from: Timestamp, to: Timestamp| walk(|at| dst::next(cron, rules, dst, at), from, to);
    let later = |instant: Timestamp| instant.checked_add(REACH).unwrap_or(Timestamp::MAX);
    let earlier = |instant: Timestamp| instant.checked_sub(REACH).unwrap_or(Timestamp::MIN);
    let mut total = 0;
    let mut from = after;
    for change in Change::following(rules, earlier(after)).take_while(|change| earlier(change.at) < upto) {
        let calm_until = earlier(change.at).clamp(from, upto);
        total += calm(cron, rules, from, calm_until, search);
        from = later(change.at).clamp(calm_until, upto);
        total += search(calm_until, from);
    }
    total + calm(cron, rules, from, upto, search)
}

/// The nominal times in a stretch without changes: whole days by their number, the two ends by search.
fn calm(cron: &Cron, rules: &TimeZone, after: Timestamp, upto: Timestamp, search: impl Fn(Timestamp, Timestamp) -> u64) -> u64 {
    let offset = rules.to_offset(after);
    let (first, last) = (offset.to_datetime(after).date().tomorrow(), offset.to_datetime(upto).date());
    // The midnight that begins a date belongs to it: the stretch before ends a nanosecond earlier.
    let before = |date: Date| offset.to_timestamp(date.at(0, 0, 0, 0)).ok()?.checked_sub(SignedDuration::from_nanos(1)).ok();
    match first.ok().and_then(|first| Some((first, before(first)?, before(last)?))) {
        Some((first, days_begin, days_end)) if first < last => {
            search(after, days_begin) + cron.days_between(first, last) * cron.times_a_day() + search(days_end, upto)
        }
        _ => search(after, upto),
    }
}

impl Cron {
    /// The matching wall-clock times of a matching day.
    fn times_a_day(&self) -> u64 {
        u64::from(self.seconds.count_ones()) * u64::from(self.minutes.count_ones()) * u64::from(self.hours.count_ones())
    }

    /// The matching dates from `first` up to but not including `end`.
    fn days_between(&self, first: Date, end: Date) -> u64 {
        let (mut total, mut month) = (0, first.first_of_month());
        while month < end {
            if self.months >> month.month() & 1 == 1 {
                let mut days = self.days_of(month.year(), month.month()).unwrap_or(0);
                if month < first {
                    days &= u32::MAX << first.day();
                }
                if month == end.first_of_month() {
                    days &= (1 << end.day()) - 1;
                }
                total += u64::from(days.count_ones());
            }
            let Ok(next) = month.last_of_month().tomorrow() else { break };
            month = next;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Zone;

    /// Compares with a walk from one nominal time to the next.
    fn check(schedules: &[&str], zone: &str, after: &str, days: i64) {
        let timetable = Timetable {
            schedules: schedules.iter().map(|text| Schedule::parse(text).expect("is valid")).collect(),
            zone: Zone::lookup(zone).expect("is known"),
            dst: Dst::default(),
            except: None,
        };
        let after: Timestamp = after.parse().expect("is a time");
        for seconds in [0, 59, 3_600, 5 * 3_600 + 7, 86_399] {
            let (after, upto) = (after + SignedDuration::from_secs(seconds), after + SignedDuration::from_hours(24 * days));
            let all: Vec<_> =
                std::iter::successors(timetable.next(after), |found| timetable.next(*found)).take_while(|found| *found <= upto).collect();
            assert_eq!(timetable.count(after, upto), all.len() as u64, "{schedules:?} {zone} after {after} up to {upto}");
            assert_eq!(timetable.latest(after, upto), all.last().copied(), "{schedules:?} {zone} after {after} up to {upto}");
        }
    }

    #[test]
    fn counts_are_those_of_a_walk() {
        let expressions =
            ["*/7 * * * *", "30 2 * * *", "0 0 L * *", "15 1-3 * * 0", "0 12 29 2 *", "*/20 0 2 * * 1#2", "0 0 */2 * MON", "59 23 31 12 *"];
        let zones = ["UTC", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca", "Asia/Kolkata"];
        for expression in expressions {
            for zone in zones {
                for (after, days) in [("2025-12-31T11:22:33Z", 0), ("2026-03-07T00:00:00Z", 3), ("2025-10-01T05:00:00Z", 400)] {
                    check(&[expression], zone, after, days);
                }
            }
        }
        check(&["0 0 * * *"], "Pacific/Apia", "2011-12-20T00:00:00Z", 30);
        check(&["@every 90m"], "UTC", "2026-01-01T00:00:01Z", 40);
        check(&["@every 90m", "0 3 * * *"], "Europe/Berlin", "2026-03-01T00:00:00Z", 60);
        check(&[], "UTC", "2026-03-01T00:00:00Z", 60);
    }

    #[test]
    fn ten_years_of_minutes_take_no_time() {
        let schedules = vec![Schedule::parse("* * * * *").expect("is valid")];
        let timetable = Timetable { schedules, zone: Zone::utc(), dst: Dst::default(), except: None };
        let after: Timestamp = "2026-01-01T00:00:00Z".parse().expect("is a time");
        let upto: Timestamp = "2036-01-01T00:00:00Z".parse().expect("is a time");
        assert_eq!(timetable.count(after, upto), (3_652) * 1_440);
        assert_eq!(timetable.latest(after, upto), Some(upto));
    }
}
