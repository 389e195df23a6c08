//! The next wall-clock time that matches, on integers only: bit sets are scanned, months without a match skipped whole.

use jiff::civil::{Date, DateTime};

use super::cron::Cron;

/// After this many years the calendar repeats, weekdays included: what has not matched by then never will.
pub(super) const CYCLE_YEARS: i16 = 400;

const EVERY_DAY: u32 = 0xffff_fffe;
const EVERY_WEEKDAY: u8 = 0x7f;
/// The days 1, 8, 15, 22, 29.
const WEEKLY: u32 = 0x2040_8102;

impl Cron {
    /// The first matching wall-clock time at or after `from`, in a year up to `last_year`.
    pub(super) fn first_match(&self, from: DateTime, last_year: i16) -> Option<DateTime> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        let mut today = true;
        loop {
            match lowest(u64::from(self.months), month) {
                None if year >= last_year => return None,
                None => (year, month, day, today) = (year + 1, 1, 1, false),
                Some(next) => {
                    if next != month {
                        (month, day, today) = (next, 1, false);
                    }
                    let days = u64::from(self.days_of(year, month)?);
                    let mut found = lowest(days, day);
                    if today && found == Some(day) {
                        if let Some((hour, minute, second)) = self.time_from(from.hour(), from.minute(), from.second()) {
                            return DateTime::new(year, month, day, hour, minute, second, 0).ok();
                        }
                        found = lowest(days, day + 1);
                    }
                    if let Some(day) = found {
                        let (hour, minute, second) = self.time_from(0, 0, 0)?;
                        return DateTime::new(year, month, day, hour, minute, second, 0).ok();
                    }
                    (month, day, today) = (month + 1, 1, false);
                }
            }
        }
    }

    /// Whether a whole Gregorian cycle holds no match.
    pub(super) fn never_matches(&self) -> bool {
        let start = jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0);
        self.first_match(start, start.year() + CYCLE_YEARS).is_none()
    }

    /// The first matching time of a day at or after the given one.
    fn time_from(&self, hour: i8, minute: i8, second: i8) -> Option<(i8, i8, i8)> {
        let hours = u64::from(self.hours);
        let first_second = lowest(self.seconds, 0)?;
        if hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = lowest(self.seconds, second)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = lowest(self.minutes, minute + 1) {
                return Some((hour, minute, first_second));
            }
        }
        Some((lowest(hours, hour + 1)?, lowest(self.minutes, 0)?, first_second))
    }

    /// The matching days of a month as bits 1–31; `None` past the end of the calendar.
    pub(super) fn days_of(&self, year: i16, month: i8) -> Option<u32> {
        let first = Date::new(year, month, 1).ok()?;
        let length = first.days_in_month();
        let existing = EVERY_DAY >> (31 - length) & EVERY_DAY & (u32::MAX >> (31 - length));
        if self.days == EVERY_DAY && self.weekdays == EVERY_WEEKDAY {
            return Some(existing);
        }
        let first_weekday = first.weekday().to_sunday_zero_offset();
        let by_day = self.by_day_of_month(length, first_weekday);
        let by_weekday = self.by_weekday(existing, first_weekday);
        Some(existing & if self.both_days { by_day & by_weekday } else { by_day | by_weekday })
    }

    fn by_day_of_month(&self, length: i8, first_weekday: i8) -> u32 {
        let mut days = self.days;
        for back in bits(u64::from(self.from_last)).take_while(|back| *back < length) {
            days |= 1 << (length - back);
        }
        for day in bits(u64::from(self.nearest)) {
            let day = if day == 0 { length } else { day };
            if day <= length {
                days |= 1 << nearest_weekday(day, length, first_weekday);
            }
        }
        days
    }

    fn by_weekday(&self, existing: u32, first_weekday: i8) -> u32 {
        let mut days = 0;
        for (weekday, nth) in (0_i8..).zip(self.nth) {
            let plain = self.weekdays >> weekday & 1 == 1;
            if !plain && nth == 0 {
                continue;
            }
            let offset = (weekday - first_weekday).rem_euclid(7);
            let all = WEEKLY << offset & existing;
            if plain {
                days |= all;
            }
            for n in bits(u64::from(nth)) {
                days |= if n == 0 { 1 << all.ilog2() } else { all & 1_u32.checked_shl(nth_day(offset, n)).unwrap_or(0) };
            }
        }
        days
    }
}

/// The day on which a weekday, `offset` days after the first of the month, comes for the nth time; past 31 it does not.
fn nth_day(offset: i8, n: i8) -> u32 {
    u32::from((1 + offset + 7 * (n - 1)).unsigned_abs())
}

/// The Monday to Friday nearest to a day, without leaving the month.
fn nearest_weekday(day: i8, length: i8, first_weekday: i8) -> i8 {
    match (first_weekday + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

/// The lowest member at or above `from`, which is at most 63.
#[expect(clippy::cast_possible_truncation, reason = "trailing_zeros of 64 bits is at most 64")]
fn lowest(set: u64, from: i8) -> Option<i8> {
    let rest = set >> from << from;
    (rest != 0).then(|| rest.trailing_zeros() as i8)
}

/// The members in ascending order.
pub(super) fn bits(mut set: u64) -> impl Iterator<Item = i8> {
    std::iter::from_fn(move || {
        let member = lowest(set, 0)?;
        set &= set - 1;
        Some(member)
    })
}
