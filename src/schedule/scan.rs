//! The nominal times of a stretch by the definition and not by search: every wall-clock time of every day is tested, and placed
//! on the time line. Slow and plain; an audit recomputes with it what the search has decided, so it shares nothing with that
//! but the bit sets of the parsed expression.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use super::dst::{Dst, Fold, Gap};
use super::{Schedule, Timetable};

/// Larger jumps of a zone's clocks are none that the DST policy knows.
const THREE_HOURS: i32 = 3 * 3600;

/// A jump moves no time further than this.
const MARGIN: SignedDuration = SignedDuration::from_hours(48);

/// So many days are looked at in one go, to bound what is held in memory.
const DAYS_AT_ONCE: i64 = 16;

/// All nominal times later than `after` and not later than `upto`, ascending.
pub fn scan(timetable: &Timetable, after: Timestamp, upto: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
    let stretch = SignedDuration::from_hours(24 * DAYS_AT_ONCE);
    let stretches = std::iter::successors(Some(after), move |from| from.checked_add(stretch).ok()).take_while(move |from| *from < upto);
    stretches.flat_map(move |from| {
        let to = from.checked_add(stretch).map_or(upto, |to| to.min(upto));
        let mut found = BTreeSet::new();
        for schedule in &timetable.schedules {
            match schedule {
                Schedule::Cron(cron) => scan_cron(cron, &timetable.zone.rules, timetable.dst, from, to, &mut found),
                Schedule::Every(interval) => scan_interval(interval.as_secs(), from, to, &mut found),
                Schedule::Reboot => {}
            }
        }
        found.into_iter()
    })
}

fn scan_interval(seconds: u64, after: Timestamp, upto: Timestamp, found: &mut BTreeSet<Timestamp>) {
    let Ok(seconds) = i64::try_from(seconds) else { return };
    let mut second = after.as_second() / seconds * seconds - seconds;
    while let Ok(instant) = Timestamp::from_second(second) {
        if instant > upto {
            return;
        }
        if instant > after {
            found.insert(instant);
        }
        second += seconds;
    }
}

fn scan_cron(cron: &Cron, rules: &TimeZone, dst: Dst, after: Timestamp, upto: Timestamp, found: &mut BTreeSet<Timestamp>) {
    let date = |instant: Option<Timestamp>, end: Date| instant.map_or(end, |instant| rules.to_datetime(instant).date());
    let last = date(upto.checked_add(MARGIN).ok(), Date::MAX);
    let mut day = date(after.checked_sub(MARGIN).ok(), Date::MIN);
    loop {
        if cron.names_day(day) {
            for wall in cron.times_of(day) {
                for instant in place(wall, rules, cron.wildcard, dst).into_iter().flatten() {
                    if after < instant && instant <= upto {
                        found.insert(instant);
                    }
                }
            }
        }
        match day.tomorrow() {
            Ok(next) if next <= last => day = next,
            _ => return,
        }
    }
}

/// The instants at which a wall-clock time runs: one as a rule, none or one in a gap, one or two in a fold.
pub(super) fn place(wall: DateTime, rules: &TimeZone, wildcard: bool, dst: Dst) -> [Option<Timestamp>; 2] {
    let instant = |offset: Offset| offset.to_timestamp(wall).ok();
    match rules.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => [instant(offset), None],
        AmbiguousOffset::Gap { before, after } => {
            let moved = !wildcard && dst.gap == Gap::RunAfter && after.seconds() - before.seconds() < THREE_HOURS;
            let bounds = instant(after).zip(instant(before)).filter(|_| moved);
            [bounds.map(|(low, high)| first_after_gap(rules, low, high, after)), None]
        }
        AmbiguousOffset::Fold { before, after } => {
            let both = wildcard || before.seconds() - after.seconds() > THREE_HOURS;
            let first = (both || dst.fold != Fold::Second).then(|| instant(before)).flatten();
            let second = (both || dst.fold != Fold::First).then(|| instant(after)).flatten();
            [first, second]
        }
    }
}

/// The second at which the offset becomes `after`, by bisection.
fn first_after_gap(rules: &TimeZone, mut low: Timestamp, mut high: Timestamp, after: Offset) -> Timestamp {
    while high.as_second() - low.as_second() > 1 {
        let middle = low + SignedDuration::from_secs((high.as_second() - low.as_second()) / 2);
        if rules.to_offset(middle) == after { high = middle } else { low = middle }
    }
    if rules.to_offset(low) == after { low } else { high }
}

impl Cron {
    fn names_day(&self, date: Date) -> bool {
        if self.months >> date.month() & 1 == 0 {
            return false;
        }
        let (by_day, by_weekday) = (self.names_day_of_month(date), self.names_weekday(date));
        if self.both_days { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn names_day_of_month(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        let wanted = |bit: i8| self.nearest >> bit & 1 == 1;
        let nearest = || {
            let plain = (1..=length).filter(|wished| wanted(*wished)).any(|wished| is_nearest_weekday(date, wished));
            plain || wanted(0) && is_nearest_weekday(date, length)
        };
        self.days >> day & 1 == 1 || self.from_last >> (length - day) & 1 == 1 || self.nearest != 0 && nearest()
    }

    fn names_weekday(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let nth = usize::try_from(weekday).map_or(0, |weekday| self.nth[weekday]);
        let which = (date.day() - 1) / 7 + 1;
        let is_last = date.day() + 7 > date.days_in_month();
        self.weekdays >> weekday & 1 == 1 || nth >> which & 1 == 1 || nth & 1 == 1 && is_last
    }

    /// The matching times of a day, in order.
    fn times_of(&self, date: Date) -> impl Iterator<Item = DateTime> + '_ {
        let members = |set: u64, below: i8| (0..below).filter(move |member| set >> member & 1 == 1);
        members(u64::from(self.hours), 24).flat_map(move |hour| {
            let seconds = move |minute| members(self.seconds, 60).map(move |second| date.at(hour, minute, second, 0));
            members(self.minutes, 60).flat_map(seconds)
        })
    }
}

/// Whether `date` is the day from Monday to Friday that is nearest to the `wished` day of its month.
fn is_nearest_weekday(date: Date, wished: i8) -> bool {
    let works = |day: &i8| Date::new(date.year(), date.month(), *day).is_ok_and(|date| date.weekday().to_monday_zero_offset() < 5);
    let nearest = (1..=date.days_in_month()).filter(works).min_by_key(|day| (day - wished).abs());
    nearest == Some(date.day())
}
