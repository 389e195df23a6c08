//! What other crons make of a schedule that means another thing here, or nothing.

use crate::schedule::Schedule;

/// A schedule as it is said here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) schedule: String,
    /// A range of minutes to draw from, as cronie's `0~30`, is a delay here.
    pub(super) jitter_minutes: Option<u32>,
    /// What cron did instead, where it is not the same.
    pub(super) differences: Vec<String>,
}

/// Reads the fields of an entry.
pub(super) fn read(schedule: &str) -> Read {
    let mut read = Read { schedule: schedule.to_owned(), jitter_minutes: None, differences: Vec::new() };
    if schedule == "@reboot" {
        let message =
            "cron runs `@reboot` when it starts after a boot; here it runs when the daemon first starts after one, never at a restart";
        read.differences.push(message.to_owned());
    }
    if schedule.starts_with('@') {
        return read;
    }
    if let Some(rest) = read.schedule.strip_prefix('-') {
        read.schedule = String::from(rest);
        read.differences.push("the `-` in front keeps cronie from logging the start; here every start is logged".to_owned());
    }
    random_minute(&mut read);
    let fields: Vec<String> = read.schedule.split(' ').map(str::to_owned).collect();
    let is_valid = Schedule::parse(&read.schedule).is_ok();
    for (at, field) in fields.iter().enumerate() {
        for item in field.split(',') {
            read.differences.extend(misread(at, item, is_valid));
        }
    }
    if let [_, _, day, _, weekday] = fields.as_slice()
        && is_valid
        && ![day, weekday].iter().any(|field| field.starts_with('*'))
    {
        let message = "day of month and weekday are both restricted: it runs when either matches, as in cron, not only when both do";
        read.differences.push(message.to_owned());
    }
    read
}

/// `0~30 2 * * *` becomes `0 2 * * *` with a delay of up to half an hour.
fn random_minute(read: &mut Read) {
    let Some((minute, rest)) = read.schedule.split_once(' ') else { return };
    let Some((from, to)) = minute.split_once('~') else { return };
    let bound = |text: &str, default| if text.is_empty() { Some(default) } else { text.parse::<u32>().ok().filter(|minute| *minute < 60) };
    let (Some(from), Some(to)) = (bound(from, 0), bound(to, 59)) else { return };
    if from < to {
        let message = format!("cronie draws a minute of `{minute}` when it reads the table; here the delay is drawn for each nominal time");
        (read.schedule, read.jitter_minutes) = (format!("{from} {rest}"), Some(to - from));
        read.differences.push(message);
    }
}

/// What Debian's cron makes of an item that it accepts and misreads.
fn misread(field: usize, item: &str, is_valid: bool) -> Option<String> {
    const DAY: usize = 2;
    const WEEKDAY: usize = 4;
    let range = item.split('/').next().unwrap_or_default();
    if let Some((first, last)) = range.split_once('-').filter(|(first, last)| is_value(first) && is_value(last)) {
        let is_sunday = |text: &str| text.eq_ignore_ascii_case("sun") || text == "0";
        return if field == WEEKDAY && is_sunday(last) && !is_sunday(first) {
            Some(format!("Debian's cron accepted `{item}` and never ran it; here it is `{first}` to Sunday"))
        } else if !is_valid && runs_backwards(first, last) {
            Some(format!("Debian's cron accepted `{item}` and never ran it"))
        } else {
            None
        };
    }
    if is_valid && matches!(field, DAY | WEEKDAY) {
        let value = item.split(['#', 'L', 'l', 'W', 'w']).next().filter(|value| is_value(value) && *value != item)?;
        return Some(match field {
            WEEKDAY => format!("Debian's cron ran `{item}` on every `{value}`, cronie refused it; here it means what it says"),
            _ => format!("Debian's cron read `{item}` as `{value}`, cronie refused it; here it means what it says"),
        });
    }
    let junk = item.find(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '-' | '/' | '*' | '~'))?;
    let value = Some(&item[..junk]).filter(|value| !is_valid && is_value(value))?;
    Some(format!("Debian's cron read `{item}` as `{value}`"))
}

fn is_value(text: &str) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number || (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn runs_backwards(first: &str, last: &str) -> bool {
    match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(first), Ok(last)) => first > last,
        // Names are told apart by the parser, which has refused this range.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: &str, here: &str, differences: &[&str]) {
        let read = read(schedule);
        assert_eq!((read.schedule.as_str(), read.differences), (here, differences.iter().map(|text| (*text).to_owned()).collect()));
    }

    #[test]
    fn what_crons_agree_on_is_no_difference() {
        for schedule in ["*/15 9-17 * * MON-FRI", "0 0 */2 * MON", "0,30 2 1-5 * *", "@daily", "5-59/15 * * * *", "* * * * 5-7"] {
            check(schedule, schedule, &[]);
        }
    }

    #[test]
    fn what_debian_accepts_and_misreads() {
        check(
            "0 5 * * MON#2",
            "0 5 * * MON#2",
            &["Debian's cron ran `MON#2` on every `MON`, cronie refused it; here it means what it says"],
        );
        check("0 5 * * 5L", "0 5 * * 5L", &["Debian's cron ran `5L` on every `5`, cronie refused it; here it means what it says"]);
        check("0 5 15W * *", "0 5 15W * *", &["Debian's cron read `15W` as `15`, cronie refused it; here it means what it says"]);
        check("0 5 * * FRI-SUN", "0 5 * * FRI-SUN", &["Debian's cron accepted `FRI-SUN` and never ran it; here it is `FRI` to Sunday"]);
        check("0 22-2 * * *", "0 22-2 * * *", &["Debian's cron accepted `22-2` and never ran it"]);
        check("0 5$ * * *", "0 5$ * * *", &["Debian's cron read `5$` as `5`"]);
    }

    #[test]
    fn what_cronie_adds() {
        check("-*/5 * * * *", "*/5 * * * *", &["the `-` in front keeps cronie from logging the start; here every start is logged"]);
        let read = read("10~40 2 * * *");
        assert_eq!((read.schedule.as_str(), read.jitter_minutes), ("10 2 * * *", Some(30)));
        check("0 2~4 * * *", "0 2~4 * * *", &[]);
    }

    #[test]
    fn two_day_fields() {
        let message = "day of month and weekday are both restricted: it runs when either matches, as in cron, not only when both do";
        check("0 5 13 * FRI", "0 5 13 * FRI", &[message]);
    }
}
