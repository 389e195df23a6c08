//! The definition of a schedule's set, as slow and as plain as possible: every wall-clock time of a day is tested against the
//! text of the expression and then placed on the time line. Shares nothing with the search it judges.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::dst::Dst;
use super::scan::place;

/// All members from `first` to `last`, both wall-clock dates inclusive.
pub(super) fn members(expression: &str, zone: &TimeZone, dst: Dst, first: Date, last: Date) -> BTreeSet<Timestamp> {
    let mut fields: Vec<&str> = expression.split(' ').collect();
    if fields.len() == 5 {
        fields.insert(0, "0");
    }
    let six = expression.split(' ').count() == 6;
    let wildcard = fields[1].starts_with('*') || fields[2].starts_with('*') || six && fields[0].starts_with('*');
    let allowed = |field: usize, top: i8| -> Vec<i8> { (0..top).filter(|value| plain(fields[field], *value, top - 1)).collect() };
    let (seconds, minutes, hours) = (allowed(0, 60), allowed(1, 60), allowed(2, 24));
    let mut found = BTreeSet::new();
    let mut date = first;
    while date <= last {
        if plain(fields[4], date.month(), 12) && day_matches(fields[3], fields[5], date) {
            for &hour in &hours {
                for &minute in &minutes {
                    for &second in &seconds {
                        found.extend(place(date.at(hour, minute, second, 0), zone, wildcard, dst).into_iter().flatten());
                    }
                }
            }
        }
        date = date.tomorrow().expect("inside the calendar");
    }
    found
}

fn day_matches(day: &str, weekday: &str, date: Date) -> bool {
    let by_day = day.split(',').any(|item| day_item(item, date));
    let by_weekday = weekday.split(',').any(|item| weekday_item(item, date));
    if day.starts_with(['*', '?']) || weekday.starts_with(['*', '?']) { by_day && by_weekday } else { by_day || by_weekday }
}

fn day_item(item: &str, date: Date) -> bool {
    let last = date.last_of_month();
    match item {
        "?" => true,
        "L" => date == last,
        "LW" => date == nearest(last),
        _ => match (item.strip_prefix("L-"), item.strip_suffix('W')) {
            (Some(back), _) => last.day() - number(back) == date.day(),
            (_, Some(day)) => number(day) <= last.day() && nearest(date.first_of_month() + (i32::from(number(day)) - 1).days()) == date,
            _ => plain(item, date.day(), 31),
        },
    }
}

fn nearest(wanted: Date) -> Date {
    let distance = |date: &Date| (date.day() - wanted.day()).abs();
    let month = (0..wanted.days_in_month()).map(|day| wanted.first_of_month() + i32::from(day).days());
    // On a tie (it cannot come: Saturday and Sunday have one neighbour each) the earlier would win.
    month.filter(|date| date.weekday().to_monday_one_offset() <= 5).min_by_key(distance).expect("a month has weekdays")
}

fn weekday_item(item: &str, date: Date) -> bool {
    let weekday = date.weekday().to_sunday_zero_offset();
    if item == "?" {
        return true;
    }
    if let Some((day, nth)) = item.split_once('#') {
        return number(day) % 7 == weekday && (date.day() - 1) / 7 + 1 == number(nth);
    }
    if let Some(day) = item.strip_suffix('L') {
        return number(day) % 7 == weekday && date.day() + 7 > date.days_in_month();
    }
    plain(item, weekday, 7) || weekday == 0 && plain(item, 7, 7)
}

/// Whether a list of `*`, `n`, `n-m` with steps holds the value.
fn plain(field: &str, value: i8, top: i8) -> bool {
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').map_or((item, 1), |(range, step)| (range, number(step)));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (i8::from(top == 12 || top == 31), top),
            None => (number(range), number(range)),
        };
        (from..=to).contains(&value) && (value - from) % step == 0
    })
}

fn number(text: &str) -> i8 {
    text.parse().expect("the generator writes numbers")
}
