//! The cron expression: five or six fields, held as bit sets in a form that is copied rather than allocated.

use super::field::{Field, Piece, Unit};
use super::{ParseError, shown};

const FIVE: [Unit; 5] = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Weekday];
const SIX: [Unit; 6] = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Weekday];

/// A cron expression in its compact, parsed form. Bit n of a set stands for the value n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    /// Plain days of the month, 1–31.
    pub(super) days: u32,
    /// Bit n: `L-n`, bit 0: `L`.
    pub(super) from_last: u32,
    /// Bit n: `nW`, bit 0: `LW`.
    pub(super) nearest: u32,
    pub(super) months: u16,
    /// Plain weekdays, Sunday 0 to Saturday 6.
    pub(super) weekdays: u8,
    /// For each weekday, bit n: `x#n`, bit 0: `xL`.
    pub(super) nth: [u8; 7],
    /// A day field begins with `*` or is `?`: both day fields must match, not either.
    pub(super) both_days: bool,
    /// Minute, hour or a written seconds field begins with `*`: DST changes leave the cadence alone.
    pub(super) wildcard: bool,
}

impl Cron {
    /// Reads five or six fields, separated by blanks or tabs.
    pub(super) fn parse(expression: &str) -> Result<Self, ParseError> {
        let pieces = pieces(expression)?;
        let mut fields = [Field { values: 1, ..Field::default() }; 6];
        let skipped = SIX.len() - pieces.len();
        for (field, piece) in fields[skipped..].iter_mut().zip(&pieces) {
            *field = piece.parse()?;
        }
        let [second, minute, hour, day, month, weekday] = fields;
        Ok(Self {
            seconds: second.values,
            minutes: minute.values,
            hours: low_bits(hour.values),
            days: low_bits(day.values),
            from_last: day.from_last,
            nearest: day.nearest,
            months: u16::try_from(month.values).expect("a month is at most 12"),
            weekdays: u8::try_from(weekday.values).expect("a weekday is at most 6"),
            nth: weekday.nth,
            both_days: day.starred || weekday.starred,
            wildcard: second.starred || minute.starred || hour.starred,
        })
    }

    /// Whether DST changes move this schedule: neither minute nor hour (nor a written seconds field) begins with `*`.
    pub fn is_fixed_time(&self) -> bool {
        !self.wildcard
    }
}

/// The fields of an expression with their places.
pub(super) fn pieces(expression: &str) -> Result<Vec<Piece<'_>>, ParseError> {
    let mut texts = Vec::new();
    let mut start = 0;
    for text in expression.split([' ', '\t']) {
        if !text.is_empty() {
            texts.push((text, start));
        }
        start += text.len() + 1;
    }
    if let Some(error) = crontab_habit(&texts) {
        return Err(error);
    }
    let units: &[Unit] = match texts.len() {
        5 => &FIVE,
        6 => &SIX,
        found => return Err(wrong_count(expression, found, &texts)),
    };
    Ok(units.iter().zip(texts).map(|(&unit, (text, start))| Piece { unit, text, start }).collect())
}

fn wrong_count(expression: &str, found: usize, texts: &[(&str, usize)]) -> ParseError {
    let line_break = expression.contains(['\n', '\r']);
    let help = match found {
        _ if line_break => "it has a line break: for several schedules write a list, [\"0 2 * * *\", \"0 3 * * *\"]".to_owned(),
        0 => "write minute, hour, day of month, month, weekday: `30 2 * * *`".to_owned(),
        7 => {
            let cron: Vec<&str> = texts[..6].iter().map(|(text, _)| if *text == "?" { "*" } else { text }).collect();
            format!("it looks like Quartz: drop the year, write `{}`; Sunday is 0 here, not 1", shown(&cron.join(" ")))
        }
        1 | 3 if meant(texts).is_some() => format!("write `{}`", meant(texts).unwrap_or_default()),
        _ => "write minute, hour, day of month, month, weekday, with seconds in front for six".to_owned(),
    };
    let message = format!("found {found} field{}, expected 5 or 6", if found == 1 { "" } else { "s" });
    ParseError { range: 0..expression.len(), message, help: Some(help) }
}

/// The nickname or the interval that words stand for: `hourly`, `5m`, `every 5 minutes`.
fn meant(texts: &[(&str, usize)]) -> Option<String> {
    const NICKNAMES: [&str; 6] = ["yearly", "annually", "monthly", "weekly", "daily", "hourly"];
    let words: Vec<String> = texts.iter().map(|(text, _)| text.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_number = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    match words[..] {
        [word] if NICKNAMES.contains(&word) => Some(format!("@{word}")),
        [word] if word.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(is_number) => Some(format!("@every {word}")),
        ["every", number, unit] if is_number(number) => {
            let unit = ["second", "minute", "hour", "day"].into_iter().find(|known| unit.strip_suffix('s').unwrap_or(unit) == *known)?;
            Some(format!("@every {number}{}", &unit[..1]))
        }
        _ => None,
    }
}

/// What a crontab has in the line and a schedule has not: a zone before the fields, a command behind them.
fn crontab_habit(texts: &[(&str, usize)]) -> Option<ParseError> {
    let error = |(text, start): (&str, usize), message: String, help: &str| ParseError {
        range: start..start + text.len(),
        message,
        help: Some(help.to_owned()),
    };
    let first = *texts.first()?;
    if first.0.starts_with("TZ=") || first.0.starts_with("CRON_TZ=") {
        let message = format!("`{}` does not belong in the expression", shown(first.0));
        return Some(error(first, message, "write the zone as a key of its own: `timezone = \"Asia/Seoul\"`"));
    }
    let command = texts.iter().skip(FIVE.len()).find(|(text, _)| text.starts_with('/'))?;
    let message = format!("found the command `{}` behind the five fields", shown(command.0));
    Some(error(*command, message, "the expression holds the time only: write the rest as `command = [\"program\", \"argument\"]`"))
}

fn low_bits(values: u64) -> u32 {
    u32::try_from(values).expect("hours and days are at most 31")
}
