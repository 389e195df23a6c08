//! `OnCalendar=` as cron expressions, after systemd.time(7).

/// A calendar event as it is said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// A cron expression of five or six fields.
    pub schedule: String,
    /// The zone that the event names.
    pub timezone: Option<String>,
}

const NICKNAMES: [(&str, &str); 10] = [
    ("minutely", "* * * * *"),
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * MON"),
    ("monthly", "0 0 1 * *"),
    ("quarterly", "0 0 1 1,4,7,10 *"),
    ("semiannually", "0 0 1 1,7 *"),
    ("semi-annually", "0 0 1 1,7 *"),
    ("yearly", "0 0 1 1 *"),
    ("annually", "0 0 1 1 *"),
];

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const FULL_WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Which days of a month the nth weekday of it falls on.
const WEEKS: [(u64, &str); 5] =
    [(0b1111_1110, "#1"), (0b1111_1110 << 7, "#2"), (0b1111_1110 << 14, "#3"), (0b1111_1110 << 21, "#4"), (0b1110 << 28, "#5")];

/// The parts of a date: months, and days of the month.
struct Date {
    months: Component,
    days: Days,
}

enum Days {
    Of(Component),
    /// The nth last, from 1; with a step of a day from there to the end.
    FromLast {
        day: u32,
        to_end: bool,
    },
}

/// The values of one part, and how cron writes them.
#[derive(Clone, Debug)]
struct Component {
    text: String,
    values: u64,
    is_any: bool,
}

/// Reads a calendar event.
///
/// # Errors
/// Why it cannot be said as a cron expression.
pub fn calendar(event: &str) -> Result<Calendar, String> {
    let mut words: Vec<&str> = event.split_whitespace().collect();
    let timezone = words.last().filter(|word| is_zone(word)).map(|word| (*word).to_owned());
    if timezone.is_some() {
        words.pop();
    }
    if let [word] = words.as_slice()
        && let Some((_, schedule)) = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))
    {
        return Ok(Calendar { schedule: (*schedule).to_owned(), timezone });
    }
    let mut words = words.into_iter().peekable();
    let weekdays = match words.peek().filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic())) {
        Some(_) => Some(weekdays(words.next().unwrap_or_default())?),
        None => None,
    };
    let date = match words.peek().filter(|word| !word.contains(':')) {
        Some(_) => Some(date(words.next().unwrap_or_default())?),
        None => None,
    };
    let time = words.next();
    if words.next().is_some() || (weekdays.is_none() && date.is_none() && time.is_none()) {
        return Err(format!("`{event}` is no calendar event"));
    }
    let time = time_of_day(time.unwrap_or("00:00"))?;
    let date = date.unwrap_or_else(|| Date { months: any(1, 12), days: Days::Of(any(1, 31)) });
    let (days, weekdays) = both_days(&date.days, weekdays.as_deref())?;
    Ok(Calendar { schedule: format!("{time} {days} {} {weekdays}", date.months.text), timezone })
}

/// `UTC`, `Asia/Seoul`: neither a weekday nor a number.
fn is_zone(word: &str) -> bool {
    let starts = word.starts_with(|first: char| first.is_ascii_alphabetic());
    starts && (word == "UTC" || word.contains('/') && !word.contains("..")) && weekdays(word).is_err()
}

/// `Mon..Fri,Sun` as numbers from Monday 0; also the older `Mon-Fri`.
fn weekdays(text: &str) -> Result<Vec<usize>, String> {
    let day = |name: &str| {
        let found = WEEKDAYS.iter().chain(&FULL_WEEKDAYS).position(|known| known.eq_ignore_ascii_case(name)).map(|at| at % 7);
        found.ok_or_else(|| format!("`{name}` is no weekday"))
    };
    let mut days = Vec::new();
    for item in text.trim_end_matches(',').split(',') {
        match item.split_once("..").or_else(|| item.split_once('-')) {
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                if first > last {
                    return Err(format!("the weekdays `{item}` run backwards"));
                }
                days.extend(first..=last);
            }
            None => days.push(day(item)?),
        }
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

fn date(text: &str) -> Result<Date, String> {
    let (rest, from_last) = match text.split_once('~') {
        Some((rest, day)) => (rest, Some(day)),
        None => (text, None),
    };
    let mut parts: Vec<&str> = rest.split('-').collect();
    let day = match from_last {
        Some(_) => None,
        None => parts.pop(),
    };
    let (year, month) = match parts.as_slice() {
        [year, month] => (*year, *month),
        [month] => ("*", *month),
        _ => return Err(format!("`{text}` is no date")),
    };
    if year != "*" {
        return Err(format!("the year `{year}`: cron has no years"));
    }
    let days = match (from_last, day) {
        (Some(text), _) => from_last_day(text)?,
        (None, Some(day)) => Days::Of(component(day, 1, 31)?),
        (None, None) => return Err(format!("`{text}` is no date")),
    };
    Ok(Date { months: component(month, 1, 12)?, days })
}

/// Behind the `~`: `1` is the last day, `07/1` the last seven.
fn from_last_day(text: &str) -> Result<Days, String> {
    let (day, step) = text.split_once('/').map_or((text, None), |(day, step)| (day, Some(step)));
    let day = day.parse::<u32>().ok().filter(|day| (1..=31).contains(day));
    match (day, step) {
        (Some(day), None) => Ok(Days::FromLast { day, to_end: false }),
        (Some(day), Some("1")) => Ok(Days::FromLast { day, to_end: true }),
        _ => Err(format!("cron cannot say the days `~{text}`")),
    }
}

fn time_of_day(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (*hour, *minute, "0"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return Err(format!("`{text}` is no time of day")),
    };
    if text.contains('.') && text.replace("..", "").contains('.') {
        return Err(format!("`{text}`: cron has no parts of seconds"));
    }
    let (hour, minute, second) = (component(hour, 0, 23)?, component(minute, 0, 59)?, component(second, 0, 59)?);
    let seconds = if second.text == "0" { String::new() } else { format!("{} ", second.text) };
    Ok(format!("{seconds}{} {}", minute.text, hour.text))
}

/// `*`, `5`, `1..5`, `0/15`, `8..18/2`, and lists of these.
fn component(text: &str, lowest: u64, highest: u64) -> Result<Component, String> {
    if text == "*" {
        return Ok(any(lowest, highest));
    }
    let refuse = || format!("cron cannot say `{text}` of {lowest} to {highest}");
    let value = |text: &str| text.parse::<u64>().ok().filter(|value| (lowest..=highest).contains(value)).ok_or_else(refuse);
    let (mut items, mut values) = (Vec::new(), 0_u64);
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step = step.map(|step| step.parse::<u64>().ok().filter(|step| *step > 0 && *step <= highest).ok_or_else(refuse)).transpose()?;
        let (first, last) = match range.split_once("..") {
            Some((first, last)) => (value(first)?, value(last)?),
            None if range == "*" => (lowest, highest),
            None => (value(range)?, if step.is_some() { highest } else { value(range)? }),
        };
        if first > last {
            return Err(refuse());
        }
        for value in (first..=last).filter(|value| (value - first) % step.unwrap_or(1) == 0) {
            values |= 1 << value;
        }
        items.push(match (first == last, step) {
            (true, _) => first.to_string(),
            (false, None | Some(1)) => format!("{first}-{last}"),
            (false, Some(step)) if (first, last) == (lowest, highest) => format!("*/{step}"),
            (false, Some(step)) => format!("{first}-{last}/{step}"),
        });
    }
    let all = any(lowest, highest);
    if values == all.values { Ok(all) } else { Ok(Component { text: items.join(","), values, is_any: false }) }
}

fn any(least: u64, most: u64) -> Component {
    Component { text: "*".to_owned(), values: (least..=most).fold(0, |values, value| values | 1 << value), is_any: true }
}

/// The two day fields of cron. systemd wants both to match, cron either, unless one begins with `*`.
fn both_days(days: &Days, weekdays: Option<&[usize]>) -> Result<(String, String), String> {
    let names = |weekdays: &[usize], suffix: &str| {
        weekdays.iter().map(|day| format!("{}{suffix}", WEEKDAYS[*day].to_uppercase())).collect::<Vec<_>>().join(",")
    };
    let restricted = weekdays.filter(|weekdays| weekdays.len() < 7);
    match (days, restricted) {
        (Days::Of(days), None) => Ok((days.text.clone(), "*".to_owned())),
        (Days::Of(days), Some(weekdays)) if days.is_any || days.text.starts_with('*') => Ok((days.text.clone(), run_of(weekdays, &names))),
        (Days::Of(days), Some(weekdays)) => {
            let weeks: Vec<&(u64, &str)> = WEEKS.iter().filter(|(week, _)| days.values & week == *week).collect();
            if weeks.iter().fold(0, |all, (week, _)| all | week) != days.values {
                let days = &days.text;
                return Err(format!("the days `{days}` and a weekday at once: cron runs when either matches, and cannot say both"));
            }
            Ok(("*".to_owned(), weeks.iter().map(|(_, suffix)| names(weekdays, suffix)).collect::<Vec<_>>().join(",")))
        }
        (Days::FromLast { day: 1, .. }, None) => Ok(("L".to_owned(), "*".to_owned())),
        (Days::FromLast { day, to_end: false }, None) => Ok((format!("L-{}", day - 1), "*".to_owned())),
        (Days::FromLast { day, to_end: true }, None) => {
            let days = (0..*day).rev().map(|back| if back == 0 { "L".to_owned() } else { format!("L-{back}") });
            Ok((days.collect::<Vec<_>>().join(","), "*".to_owned()))
        }
        (Days::FromLast { day: 7, to_end: true }, Some(weekdays)) => Ok(("*".to_owned(), names(weekdays, "L"))),
        (Days::FromLast { .. }, Some(_)) => Err("a day from the end and a weekday at once: cron runs when either matches".to_owned()),
    }
}

/// Weekdays that follow each other as a range.
fn run_of(weekdays: &[usize], names: &impl Fn(&[usize], &str) -> String) -> String {
    match weekdays {
        [first, .., last] if weekdays.len() > 2 && last - first + 1 == weekdays.len() => {
            format!("{}-{}", names(&[*first], ""), names(&[*last], ""))
        }
        _ => names(weekdays, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_events_are_cron_expressions() {
        for (event, schedule) in [
            ("hourly", "0 * * * *"),
            ("Weekly", "0 0 * * MON"),
            ("quarterly", "0 0 1 1,4,7,10 *"),
            ("Mon..Fri *-*-* 02:30:00", "30 2 * * MON-FRI"),
            ("Mon,Wed 2:30", "30 2 * * MON,WED"),
            ("*-*-01", "0 0 1 * *"),
            ("*-*-01 04:00", "0 4 1 * *"),
            ("12-24 18:00", "0 18 24 12 *"),
            ("*:0/15", "*/15 * * * *"),
            ("*:5/10", "5-59/10 * * * *"),
            ("8..18/2:00", "0 8-18/2 * * *"),
            ("*-*-* *:*:00", "* * * * *"),
            ("*:*:0/10", "*/10 * * * * *"),
            ("*-*-* 00,12:00:00", "0 0,12 * * *"),
            ("Sat *-*-1..7 18:00", "0 18 * * SAT#1"),
            ("Sun *-*-8..21", "0 0 * * SUN#2,SUN#3"),
            ("Mon *-*-1/2", "0 0 */2 * MON"),
            ("*-*~01", "0 0 L * *"),
            ("*-02~03", "0 0 L-2 2 *"),
            ("Mon *-05~07/1", "0 0 * 5 MONL"),
            ("*-*-1..31 05:00", "0 5 * * *"),
        ] {
            assert_eq!(calendar(event), Ok(Calendar { schedule: schedule.to_owned(), timezone: None }), "{event}");
        }
    }

    #[test]
    fn zones_come_last() {
        let zone = |event: &str| calendar(event).map(|read| read.timezone);
        assert_eq!(zone("*-*-* 03:00:00 Europe/Berlin"), Ok(Some("Europe/Berlin".to_owned())));
        assert_eq!(zone("daily UTC"), Ok(Some("UTC".to_owned())));
        assert_eq!(zone("Mon 03:00"), Ok(None));
    }

    #[test]
    fn what_cron_cannot_say_is_named() {
        for (event, reason) in [
            ("2027-*-* 03:00", "the year `2027`: cron has no years"),
            ("*:*:00.5", "`*:*:00.5`: cron has no parts of seconds"),
            ("Fri *-*-13", "the days `13` and a weekday at once: cron runs when either matches, and cannot say both"),
            ("Fri *-*~13", "a day from the end and a weekday at once: cron runs when either matches"),
            ("Sat..Mon 12:00", "the weekdays `Sat..Mon` run backwards"),
            ("25:00", "cron cannot say `25` of 0 to 23"),
            ("someday", "`someday` is no weekday"),
            ("", "`` is no calendar event"),
        ] {
            assert_eq!(calendar(event), Err(reason.to_owned()), "{event}");
        }
    }
}
