//! `except`: days written in the file, and files that name them.

use std::path::Path;

use jiff::civil::Date;
use toml::de::DeValue;

use super::calendar;
use super::field::Field;
use super::keys::unknown_in;
use super::problem::{Problem, Report, shown};
use super::{Context, field};
use crate::schedule::{Except, parse_dates};

const HELP: &str =
    "write dates and ranges, `except = [\"2026-12-25\", \"2026-12-31..2027-01-02\"]`, or `except = { file = \"holidays.ics\" }`";

/// The days of a list, whose elements are dates, ranges and `{ file = … }`, or of a single one of these.
pub(super) fn read(field: Field<'_>, context: &Context, report: &mut Report) -> Option<Except> {
    let elements: Vec<Field<'_>> = match field.as_array() {
        Some(array) => array.iter().map(|value| field.with(value)).collect(),
        None => vec![field],
    };
    let mut ranges = Vec::new();
    let mut usable = true;
    for element in elements {
        match element_days(element, context, report) {
            Some(days) => ranges.extend(days),
            None => usable = false,
        }
    }
    usable.then(|| Except::new(ranges))
}

fn element_days(field: Field<'_>, context: &Context, report: &mut Report) -> Option<Vec<(Date, Date)>> {
    if let Some(table) = field.as_table() {
        let mut days = None;
        for (key, span, value) in field::fields(table) {
            if key == "file" {
                days = file_days(Field { name: "except.file", value, source: field.source }, context, report);
            } else {
                unknown_in("except", &["file"], key, span, report);
            }
        }
        if table.is_empty() {
            report.push(Problem::error(field.span(), "`except` names no file").help(HELP));
        }
        return days;
    }
    let Some(text) = field.as_str() else {
        let quotes = matches!(field.value.get_ref(), DeValue::Datetime(_)).then_some("write the date in quotes: a range needs them too");
        field.wrong_type("an array of dates, or a table that names a file", quotes.unwrap_or(HELP), report);
        return None;
    };
    match parse_dates(text) {
        Ok(days) => Some(vec![days]),
        Err(reason) => {
            report.push(Problem::error(field.span(), format!("`except`: {reason}")).help(HELP));
            None
        }
    }
}

fn file_days(field: Field<'_>, context: &Context, report: &mut Report) -> Option<Vec<(Date, Date)>> {
    let path = field.path(&context.base, report)?;
    let is_ics = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ics"));
    match (context.files)(&path).and_then(|bytes| calendar::read(&bytes, is_ics).map_err(|reason| named(&path, &reason))) {
        Ok(days) => Some(days),
        Err(reason) => {
            let problem = Problem::error(field.span(), format!("`except.file`: {reason}"));
            report.push(problem.help("an iCalendar file (.ics), or a text file with a date such as 2026-12-25 or a range a line"));
            None
        }
    }
}

fn named(path: &Path, reason: &str) -> String {
    format!("`{}`: {reason}", shown(&path.to_string_lossy()))
}
