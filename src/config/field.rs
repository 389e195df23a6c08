//! One value of the file read as one type: the value, or a problem that says what was found and what to write.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::{Problem, Report, nearest, shown};

/// The longest single string, in bytes: what a Linux kernel takes as one argument is twice as much.
const MAX_STRING: usize = 64 << 10;

/// A key with its value.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// As messages name it: `timeout`, or `retry.delay` inside a table.
    pub(super) name: &'a str,
    pub(super) value: &'a Spanned<DeValue<'a>>,
    /// The whole file, which the spans refer to.
    pub(super) source: &'a str,
}

impl<'a> Field<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// The same key with another value: an element of its array.
    pub(super) fn with(&self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { value, ..*self }
    }

    pub(super) fn as_str(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    pub(super) fn as_table(&self) -> Option<&'a DeTable<'a>> {
        self.value.get_ref().as_table()
    }

    pub(super) fn as_array(&self) -> Option<&'a DeArray<'a>> {
        self.value.get_ref().as_array()
    }

    /// A string of any content that a process can be given: not longer than [`MAX_STRING`], without NUL.
    pub(super) fn text(&self, help: &str, report: &mut Report) -> Option<&'a str> {
        let Some(text) = self.as_str() else {
            self.wrong_type("a string", help, report);
            return None;
        };
        if text.len() > MAX_STRING {
            let message = format!("`{}` is too long: {} bytes, at most {MAX_STRING} are allowed", self.name, text.len());
            report.error(self.span(), message);
            return None;
        }
        if let Some(at) = text.find('\0') {
            report.error(self.inside(at..at + 1), format!("`{}` contains a NUL byte, which no process can be given", self.name));
            return None;
        }
        Some(text)
    }

    /// A string that is not blank.
    pub(super) fn filled(&self, help: &str, report: &mut Report) -> Option<&'a str> {
        let text = self.text(help, report)?;
        if text.trim().is_empty() {
            report.push(Problem::error(self.span(), format!("`{}` is empty", self.name)).help(help));
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        let found = self.value.get_ref().as_bool();
        if found.is_none() {
            let no = self.as_str().is_some_and(|text| ["no", "off", "false", "0"].contains(&text.to_lowercase().as_str()));
            let value = self.source.get(self.span()).is_some_and(|raw| raw == "0") || no;
            let help = format!("write `{} = {}` without quotes; true and false are the values", self.name, !value);
            self.wrong_type("a boolean, `true` or `false`", &help, report);
        }
        found
    }

    /// An integer inside `allowed`.
    pub(super) fn integer(&self, allowed: RangeInclusive<i64>, report: &mut Report) -> Option<i64> {
        let (least, most) = (*allowed.start(), *allowed.end());
        let DeValue::Integer(found) = self.value.get_ref() else {
            let unquoted = self.as_str().and_then(|text| text.trim().parse::<i64>().ok());
            let help = match unquoted {
                Some(number) => format!("remove the quotes: `{} = {number}`", self.name),
                None => format!("write a whole number from {least} to {most}, such as `{} = {}`", self.name, 3.clamp(least, most)),
            };
            self.wrong_type("an integer", &help, report);
            return None;
        };
        let number = i64::from_str_radix(found.as_str(), found.radix()).ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let message = format!("`{}` is out of range: found {}, allowed are {least} to {most}", self.name, shown(&found.to_string()));
            report.error(self.span(), message);
        }
        number
    }

    /// A number, whole or not, inside `allowed`.
    pub(super) fn number(&self, allowed: RangeInclusive<f64>, report: &mut Report) -> Option<f64> {
        let found = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong_type("a number", &format!("such as `{} = {:?}`", self.name, allowed.start()), report);
                return None;
            }
        };
        let number = found.filter(|number| allowed.contains(number));
        if number.is_none() {
            let found = self.source.get(self.span()).map(shown).unwrap_or_default();
            let (least, most) = (allowed.start(), allowed.end());
            report.error(self.span(), format!("`{}` is out of range: found {found}, allowed are {least:?} to {most:?}", self.name));
        }
        number
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)], report: &mut Report) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let allowed = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let Some(text) = self.as_str() else {
            self.wrong_type("a string", &format!("`{} = \"{}\"`; allowed are {allowed}", self.name, names[0]), report);
            return None;
        };
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        if text.is_empty() {
            report.push(Problem::error(self.span(), format!("`{}` is empty", self.name)).help(format!("allowed are {allowed}")));
            return None;
        }
        let help = match nearest(text, names.iter().copied()) {
            Some(name) => format!("did you mean \"{name}\"? allowed are {allowed}"),
            None => format!("allowed are {allowed}"),
        };
        report.push(Problem::error(self.span(), format!("unknown `{}` \"{}\"", self.name, shown(text))).help(help));
        None
    }

    pub(super) fn table(&self, example: &str, report: &mut Report) -> Option<&'a DeTable<'a>> {
        let table = self.as_table();
        if table.is_none() {
            self.wrong_type("a table", &format!("write `{} = {example}`", self.name), report);
        }
        table
    }

    /// A path, made absolute against the directory of the file.
    pub(super) fn path(&self, base: &Path, report: &mut Report) -> Option<PathBuf> {
        let help = format!("name a path, or omit `{}` for its default", self.name);
        Some(base.join(self.filled(&help, report)?))
    }

    pub(super) fn wrong_type(&self, expected: &str, help: &str, report: &mut Report) {
        let message = format!("`{}` must be {expected}, found {}", self.name, self.found());
        report.push(Problem::error(self.span(), message).help(help));
    }

    /// The value's type, and the value where it is short: `the integer 5`.
    pub(super) fn found(&self) -> String {
        let raw = || self.source.get(self.span()).map(shown).unwrap_or_default();
        match self.value.get_ref() {
            DeValue::String(text) => format!("the string \"{}\"", shown(text)),
            DeValue::Integer(_) => format!("the integer {}", raw()),
            DeValue::Float(_) => format!("the float {}", raw()),
            DeValue::Boolean(value) => format!("the boolean {value}"),
            DeValue::Datetime(_) => format!("the date-time {}", raw()),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// Where a part of the string stands in the file: exact unless the string was written with escapes.
    pub(super) fn inside(&self, part: Range<usize>) -> Range<usize> {
        let (span, text) = (self.span(), self.as_str().unwrap_or_default());
        let raw = self.source.get(span.clone()).unwrap_or_default();
        let lead =
            ["\"\"\"\r\n", "'''\r\n", "\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"].into_iter().find(|lead| raw.starts_with(lead));
        match lead {
            Some(lead) if raw[lead.len()..].starts_with(text) => {
                let start = span.start + lead.len();
                start + part.start..start + part.end.max(part.start)
            }
            _ => span,
        }
    }
}

/// The fields of a table, in the order of the file.
pub(super) fn fields<'a>(table: &'a DeTable<'a>) -> Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
    let mut fields: Vec<_> = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    fields.sort_by_key(|(_, span, _)| span.start);
    fields
}
