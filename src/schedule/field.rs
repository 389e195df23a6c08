//! One field of a cron expression: its text becomes a bit set, and every refusal says where, what and how to fix it.

use std::ops::Range;

use super::{ParseError, shown};

/// The most digits of a value or step; more cannot be meant.
const MAX_DIGITS: usize = 4;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Which field a text stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of month",
            Self::Month => "month",
            Self::Weekday => "weekday",
        }
    }

    /// The values that may be written. A weekday may be 7, which is Sunday again.
    pub(super) fn limits(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
        }
    }

    /// The value of a three-letter name, in any case.
    fn value_of_name(self, text: &str) -> Option<u8> {
        let (names, first): (&[&str], u8) = match self {
            Self::Month => (&MONTHS, 1),
            Self::Weekday => (&WEEKDAYS, 0),
            _ => return None,
        };
        (first..).zip(names).find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(value, _)| value)
    }

    pub(super) fn is_day(self) -> bool {
        matches!(self, Self::Day | Self::Weekday)
    }
}

/// The text of one field and where it starts in the expression.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) unit: Unit,
    pub(super) text: &'a str,
    pub(super) start: usize,
}

/// What a field allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// Bit n: the plain value n.
    pub(super) values: u64,
    /// The field begins with `*` or is `?`: the two day fields must then both match, and a time field makes a schedule wildcard.
    pub(super) starred: bool,
    /// Day of month. Bit n: `L-n`, bit 0: `L`.
    pub(super) from_last: u32,
    /// Day of month. Bit n: `nW`, bit 0: `LW`.
    pub(super) nearest: u32,
    /// Weekday. For each day of the week, bit n: its nth occurrence in the month (`x#n`), bit 0: its last (`xL`, `x#L`).
    pub(super) nth: [u8; 7],
}

impl<'a> Piece<'a> {
    /// Reads the whole field.
    pub(super) fn parse(self) -> Result<Field, ParseError> {
        let mut field = Field { starred: self.text.starts_with('*'), ..Field::default() };
        if self.text == "?" && self.unit.is_day() {
            field.starred = true;
            field.values = span(self.unit.limits().0, self.unit.limits().1, 1);
        } else {
            self.items().try_for_each(|item| item.add_to(&mut field))?;
        }
        if self.unit == Unit::Weekday {
            // 7 is Sunday again.
            field.values = (field.values | field.values >> 7) & 0x7f;
        }
        Ok(field)
    }

    /// The items between the commas.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(',').map(move |text| {
            let item = Self { text, start, ..self };
            start += text.len() + 1;
            item
        })
    }

    fn add_to(self, field: &mut Field) -> Result<(), ParseError> {
        if self.text.is_empty() {
            return Err(self.refuse(format!("{} has an empty list item", self.unit.name()), Some("remove the extra comma".into())));
        }
        if self.special(field)? {
            return Ok(());
        }
        let (base, step) = match self.text.split_once('/') {
            Some((base, step)) => (self.part(0, base), Some(self.part(base.len() + 1, step).step()?)),
            None => (self, None),
        };
        let (first, last) = base.range(step)?;
        field.values |= span(first, last, step.unwrap_or(1));
        Ok(())
    }

    /// The bounds of `*`, `n` or `n-m`.
    fn range(self, step: Option<u16>) -> Result<(u8, u8), ParseError> {
        let (lowest, highest) = self.unit.limits();
        if self.text == "*" {
            return Ok((lowest, highest));
        }
        let Some((from, to)) = self.text.split_once('-') else {
            let value = self.value()?;
            return step.map_or(Ok((value, value)), |step| Err(self.step_without_range(value, step)));
        };
        let first = self.part(0, from).value()?;
        let mut last = self.part(from.len() + 1, to).value()?;
        if self.unit == Unit::Weekday && last == 0 && first > 0 {
            last = 7;
        }
        if first <= last {
            return Ok((first, last));
        }
        let top = if self.unit == Unit::Weekday { 6 } else { highest };
        let wrapped = if step.is_some() {
            "start is after end; write the two parts as a list".to_owned()
        } else {
            format!("start is after end; for a wrap-round write `{first}-{top},{lowest}-{last}`")
        };
        Err(self.refuse(format!("{} range `{}` runs backwards", self.unit.name(), shown(self.text)), Some(wrapped)))
    }

    /// Quartz reads `5/15` as 5, 20, 35, 50, cron refuses it: say which spelling everyone agrees on.
    fn step_without_range(self, value: u8, step: u16) -> ParseError {
        let top = if self.unit == Unit::Weekday { 6 } else { self.unit.limits().1 };
        let message = format!("{} `{}` has a step `{step}` without a range", self.unit.name(), shown(self.text));
        self.refuse(message, Some(format!("write `{value}-{top}/{step}`")))
    }

    fn value(self) -> Result<u8, ParseError> {
        if let Some(value) = self.unit.value_of_name(self.text) {
            return Ok(value);
        }
        let (lowest, highest) = self.unit.limits();
        let unit = self.unit.name();
        if self.text.is_empty() || self.text.len() > MAX_DIGITS || !self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.not_a_value());
        }
        let found = self.text.parse::<u16>().unwrap_or(u16::MAX);
        u8::try_from(found).ok().filter(|value| (lowest..=highest).contains(value)).ok_or_else(|| {
            let help = match self.unit {
                Unit::Weekday if found > 1969 => Some("there is no year field; it looks like Quartz: remove the year".to_owned()),
                Unit::Hour if found == 24 => Some("midnight is `0`".to_owned()),
                Unit::Minute | Unit::Second if found == 60 => Some("the full hour or minute is `0`".to_owned()),
                _ => None,
            };
            self.refuse(format!("{unit} `{found}` is out of range {lowest}-{highest}"), help)
        })
    }

    /// The refusal of something that is neither a number nor a name of this field.
    fn not_a_value(self) -> ParseError {
        let (lowest, highest) = self.unit.limits();
        let unit = self.unit.name();
        let found = shown(self.text);
        if self.text.is_empty() {
            return self.refuse(format!("{unit} has an incomplete range, allowed are values {lowest}-{highest}"), None);
        }
        if self.text == "?" {
            return self.refuse(
                format!("{unit} `?` is allowed only in day of month and weekday, and only alone"),
                Some("it looks like Quartz: write `*` instead of `?`".into()),
            );
        }
        let names = match self.unit {
            Unit::Month => " or a name JAN-DEC",
            Unit::Weekday => " or a name SUN-SAT",
            _ => "",
        };
        let help = match self.text.as_bytes() {
            [b'*', ..] => Some("after `*` only a step may follow, such as `*/5`".to_owned()),
            [b'H' | b'h', ..] => Some("`H` is Jenkins'; choose a value, or use `jitter`".to_owned()),
            text if text.contains(&b'~') => Some("random ranges are not supported; choose a value, or use `jitter`".to_owned()),
            _ => self.shortened_name().map(|name| format!("write `{name}`")),
        };
        self.refuse(format!("{unit} `{found}` is not a number {lowest}-{highest}{names}"), help)
    }

    /// `Monday` is refused, but it is clear what was meant.
    fn shortened_name(self) -> Option<&'a str> {
        self.text.get(..3).filter(|start| self.unit.value_of_name(start).is_some())
    }

    fn step(self) -> Result<u16, ParseError> {
        let unit = self.unit.name();
        let digits = !self.text.is_empty() && self.text.len() <= MAX_DIGITS && self.text.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.parse::<u16>() {
            Ok(0) if digits => Err(self.refuse(format!("{unit} step `0` is out of range, it must be at least 1"), None)),
            Ok(step) if digits => Ok(step),
            _ => Err(self.refuse(format!("{unit} step `{}` is not a number 1-9999", shown(self.text)), None)),
        }
    }

    /// Reads `L`, `LW`, `L-n`, `nW`, `xL`, `x#L` and `x#n`; `false` when the item is none of them.
    fn special(self, field: &mut Field) -> Result<bool, ParseError> {
        let upper = self.text.to_ascii_uppercase();
        match self.unit {
            Unit::Day if upper.contains(['L', 'W', '#']) => self.special_day(&upper, field).map(|()| true),
            Unit::Weekday if upper.contains('#') || upper.ends_with('L') => self.special_weekday(&upper, field).map(|()| true),
            Unit::Second | Unit::Minute | Unit::Hour if upper.contains('#') || upper.ends_with(['L', 'W']) => {
                let message = format!("{} `{}` is not allowed here", self.unit.name(), shown(self.text));
                Err(self.refuse(message, Some("`L` and `W` belong in day of month, `xL` and `x#n` in weekday".into())))
            }
            _ => Ok(false),
        }
    }

    fn special_day(self, upper: &str, field: &mut Field) -> Result<(), ParseError> {
        match upper {
            "L" => field.from_last |= 1,
            "LW" => field.nearest |= 1,
            _ => {
                if let Some(days) = upper.strip_prefix("L-") {
                    let Some(days) = number(days).filter(|days| (1..=30).contains(days)) else {
                        return Err(self.refuse(format!("day of month `{}` is out of range L-1 to L-30", shown(self.text)), None));
                    };
                    field.from_last |= 1 << days;
                } else if let Some(day) = upper.strip_suffix('W').and_then(number).filter(|day| (1..=31).contains(day)) {
                    field.nearest |= 1 << day;
                } else {
                    let message = format!("day of month `{}` is not one of L, LW, L-1 to L-30, 1W to 31W", shown(self.text));
                    let help = upper.contains('#').then(|| "`x#n` belongs in the weekday field".to_owned());
                    return Err(self.refuse(message, help));
                }
            }
        }
        Ok(())
    }

    fn special_weekday(self, upper: &str, field: &mut Field) -> Result<(), ParseError> {
        let (day, occurrence) = match (upper.split_once('#'), upper.strip_suffix('L')) {
            (Some((day, "L")), _) | (None, Some(day)) => (day, Some(0)),
            (Some((day, nth)), _) => (day, number(nth).filter(|nth| (1..=5).contains(nth))),
            (None, None) => (upper, None),
        };
        let value = self.unit.value_of_name(day).or_else(|| number(day).filter(|value| *value <= 7));
        let (Some(value), Some(occurrence)) = (value, occurrence) else {
            let help = match upper {
                "L" => "for the last day of the month write `L` in day of month; for the last Friday write `5L`",
                _ if upper.ends_with('W') => "`W` belongs in day of month",
                _ => "write `5L` for the last Friday, `1#2` for the second Monday",
            };
            let message = format!("weekday `{}` is not one of 0L to 7L, 0#1 to 7#5", shown(self.text));
            return Err(self.refuse(message, Some(help.into())));
        };
        field.nth[usize::from(value % 7)] |= 1 << occurrence;
        Ok(())
    }

    fn part(self, offset: usize, text: &'a str) -> Self {
        Self { text, start: self.start + offset, ..self }
    }

    pub(super) fn range_in_expression(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn refuse(self, message: String, help: Option<String>) -> ParseError {
        ParseError { range: self.range_in_expression(), message, help }
    }
}

/// A number of one to four digits that fits a field.
fn number(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The values from `first` to `last` in steps.
pub(super) fn span(first: u8, last: u8, step: u16) -> u64 {
    (first..=last).step_by(usize::from(step)).fold(0, |bits, value| bits | 1 << value)
}
