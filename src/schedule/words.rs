//! A schedule in English: `30 2 * * MON-FRI` is "at 02:30, Monday to Friday".

use super::Schedule;
use super::cron::Cron;
use super::dst::{Change, Dst, Fold, Gap};
use super::search::bits;

/// More times of day than this are described by their fields instead of listed.
const MAX_LISTED_TIMES: usize = 6;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// What a schedule means, in English, lowercase and without a full stop.
pub fn describe(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron(cron) => {
            let parts = [times(cron), days(cron), months(cron)];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join(", ")
        }
        Schedule::Every(interval) => {
            format!("every {} of elapsed time, counted from 1970-01-01 00:00 UTC", humantime::format_duration(*interval))
        }
        Schedule::Reboot => "once after each boot of the machine".into(),
    }
}

/// What a change of the zone's clocks does to a schedule, in English.
pub fn describe_change(schedule: &Schedule, dst: Dst, change: &Change) -> String {
    let Schedule::Cron(cron) = schedule else { return "it is not moved: it does not follow the wall clock".into() };
    let moved = cron.is_fixed_time() && change.is_small();
    let Some(wall) = cron.within(change) else {
        return format!("no time of it is {}", if change.is_gap() { "skipped" } else { "repeated" });
    };
    let wall = wall.strftime(if wall.second() == 0 { "%H:%M" } else { "%H:%M:%S" });
    match (change.is_gap(), dst.gap, dst.fold) {
        (true, Gap::RunAfter, _) if moved => format!("{wall} does not exist; runs at {}", change.wall_after().strftime("%H:%M")),
        (true, ..) if moved => format!("{wall} does not exist; does not run (`gap = \"skip\"`)"),
        (true, ..) => format!("{wall} does not exist; skipped, as it follows the clock"),
        (false, _, Fold::First) if moved => format!("{wall} comes twice; runs at the first"),
        (false, _, Fold::Second) if moved => format!("{wall} comes twice; runs at the second"),
        (false, ..) => format!("{wall} comes twice; runs both times"),
    }
}

fn times(cron: &Cron) -> String {
    let (hours, minutes, seconds) = (members(cron.hours.into()), members(cron.minutes), members(cron.seconds));
    if hours.len() * minutes.len() * seconds.len() <= MAX_LISTED_TIMES {
        let mut listed = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                listed.extend(seconds.iter().map(|second| match (seconds.as_slice(), second) {
                    ([0], _) => format!("{hour:02}:{minute:02}"),
                    _ => format!("{hour:02}:{minute:02}:{second:02}"),
                }));
            }
        }
        return format!("at {}", and(&listed));
    }
    let mut parts = Vec::new();
    if seconds != [0] {
        parts.push(cadence(&seconds, 60, "second"));
    }
    if minutes.len() < 60 || seconds == [0] {
        parts.push(match minutes.as_slice() {
            [0] if hours.len() == 24 && seconds == [0] => return "every hour, on the hour".into(),
            [0] if seconds == [0] => "on the hour".into(),
            _ => cadence(&minutes, 60, "minute"),
        });
    }
    if hours.len() < 24 {
        parts.push(match (hours.as_slice(), is_run(&hours)) {
            ([hour], _) => format!("from {hour:02}:00 to {hour:02}:59"),
            ([first, .., last], true) => format!("in the hours {first:02} to {last:02}"),
            _ => cadence(&hours, 24, "hour"),
        });
    } else if !parts.last().is_some_and(|part| part.starts_with("every")) {
        parts.push("of every hour".into());
    }
    parts.join(" ").replace("on the hour every", "on the hour, every")
}

/// "every 15 minutes", "every minute", or "at minutes 5 and 35".
fn cadence(values: &[i8], cycle: i8, unit: &str) -> String {
    let step = values.get(1).map_or(cycle, |second| second - values[0]);
    let steady = values.windows(2).all(|pair| pair[1] - pair[0] == step) && usize::try_from(cycle / step) == Ok(values.len());
    match (steady && cycle % step == 0 && values.len() > 1, values[0]) {
        (true, 0) if step == 1 => format!("every {unit}"),
        (true, 0) => format!("every {step} {unit}s"),
        (true, first) => format!("every {step} {unit}s from {unit} {first}"),
        (false, _) if values.len() > 2 && is_run(values) => format!("at {unit}s {} to {}", values[0], values[values.len() - 1]),
        (false, _) => format!("at {unit}{} {}", if values.len() == 1 { "" } else { "s" }, and_numbers(values)),
    }
}

fn days(cron: &Cron) -> String {
    let of_month = days_of_month(cron);
    let of_week = days_of_week(cron);
    match (of_month.is_empty(), of_week.is_empty()) {
        (true, _) => of_week,
        (false, true) => of_month,
        (false, false) if cron.both_days => format!("{of_month}, but only if that is {}", of_week.replacen("every ", "a ", 1)),
        (false, false) => format!("{of_month} and also {of_week}"),
    }
}

/// Empty when every day is allowed.
fn days_of_month(cron: &Cron) -> String {
    let plain = members(cron.days.into());
    if plain.len() == 31 {
        return String::new();
    }
    let mut parts = Vec::new();
    match plain.as_slice() {
        [] => {}
        [day] => parts.push(format!("day {day}")),
        [first, .., last] if plain.len() > 2 && is_run(&plain) => parts.push(format!("days {first} to {last}")),
        _ => parts.push(format!("days {}", and_numbers(&plain))),
    }
    parts.extend(bits(cron.from_last.into()).map(|back| match back {
        0 => "the last day".into(),
        1 => "the day before the last".into(),
        _ => format!("the day {back} days before the last"),
    }));
    parts.extend(bits(cron.nearest.into()).map(|day| match day {
        0 => "the last weekday (Monday to Friday)".into(),
        _ => format!("the weekday (Monday to Friday) nearest to day {day}"),
    }));
    format!("on {} of the month", and(&parts))
}

/// Empty when every weekday is allowed.
fn days_of_week(cron: &Cron) -> String {
    const NTH: [&str; 6] = ["last", "first", "second", "third", "fourth", "fifth"];
    let plain = members(cron.weekdays.into());
    let name = |day: &i8| WEEKDAYS[usize::from(day.unsigned_abs())];
    let mut parts = Vec::new();
    match plain.as_slice() {
        [] => {}
        _ if plain.len() == 7 => return String::new(),
        [0, 6] => parts.push("on Saturday and Sunday".to_owned()),
        [first, .., last] if plain.len() > 2 && is_run(&plain) => parts.push(format!("{} to {}", name(first), name(last))),
        _ => parts.push(format!("on every {}", and(&plain.iter().map(name).collect::<Vec<_>>()))),
    }
    for (weekday, mask) in WEEKDAYS.iter().zip(cron.nth) {
        parts.extend(bits(mask.into()).map(|n| format!("on the {} {weekday} of the month", NTH[usize::from(n.unsigned_abs())])));
    }
    and(&parts)
}

fn months(cron: &Cron) -> String {
    let months = members(cron.months.into());
    let name = |month: &i8| MONTHS[usize::from(month.unsigned_abs()) - 1];
    match months.as_slice() {
        _ if months.len() == 12 => String::new(),
        [first, .., last] if months.len() > 2 && is_run(&months) => format!("{} to {}", name(first), name(last)),
        _ => format!("in {}", and(&months.iter().map(name).collect::<Vec<_>>())),
    }
}

fn members(set: u64) -> Vec<i8> {
    bits(set).collect()
}

fn is_run(values: &[i8]) -> bool {
    values.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

fn and_numbers(values: &[i8]) -> String {
    and(&values.iter().map(i8::to_string).collect::<Vec<_>>())
}

fn and<T: AsRef<str>>(parts: &[T]) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: &str) {
        assert_eq!(describe(&Schedule::parse(expression).expect("a valid schedule")), expected, "{expression}");
    }

    #[test]
    fn times_of_day() {
        check("* * * * *", "every minute");
        check("*/15 * * * *", "every 15 minutes");
        check("5-59/15 * * * *", "every 15 minutes from minute 5");
        check("@hourly", "every hour, on the hour");
        check("20 * * * *", "at minute 20 of every hour");
        check("30 2 * * *", "at 02:30");
        check("0,30 8,20 * * *", "at 08:00, 08:30, 20:00 and 20:30");
        check("*/10 9-17 * * *", "every 10 minutes in the hours 09 to 17");
        check("0 */2 * * *", "on the hour, every 2 hours");
        check("*/10 2 * * *", "at 02:00, 02:10, 02:20, 02:30, 02:40 and 02:50");
        check("5,20 * * * *", "at minutes 5 and 20 of every hour");
        check("* * * * * *", "every second");
        check("15 30 2 * * *", "at 02:30:15");
    }

    #[test]
    fn days_and_months() {
        check("30 2 * * MON-FRI", "at 02:30, Monday to Friday");
        check("30 2 1 * MON", "at 02:30, on day 1 of the month and also on every Monday");
        check(
            "0 6 L-2,15W * *",
            "at 06:00, on the day 2 days before the last and the weekday (Monday to Friday) nearest to day 15 of the month",
        );
        check("0 6 * 1-3 MON#2,5L", "at 06:00, on the second Monday of the month and on the last Friday of the month, January to March");
        check(
            "0 0 */2 * TUE",
            "at 00:00, on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month, but only if that is on a Tuesday",
        );
        check("@yearly", "at 00:00, on day 1 of the month, in January");
    }

    #[test]
    fn other_schedules() {
        check("@every 90m", "every 1h 30m of elapsed time, counted from 1970-01-01 00:00 UTC");
        check("@reboot", "once after each boot of the machine");
    }
}
