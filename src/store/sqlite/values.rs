//! How values are written into columns and read back.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::config::{Args, Selection, Target, TargetValue, Targets};
use crate::engine::Repeat;

/// A value in the database that no release writes.
#[derive(Debug, thiserror::Error)]
#[error("unreadable {what} `{}`", found.escape_debug())]
struct Unreadable {
    what: &'static str,
    found: String,
}

/// The `targets` column: `"none"`, `{"list":[…]}`, `{"range":[start,end]}`, `{"unplanned":"all"}` or `{"planned":count}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTargets {
    None,
    List(Arc<[Target]>),
    Range(i64, i64),
    Unplanned(Selection),
    /// How many; they are in the table `planned`.
    Planned(u32),
}

pub(super) fn targets_text(targets: &Targets) -> Result<String> {
    let stored = match targets {
        Targets::None => StoredTargets::None,
        Targets::List(list) => StoredTargets::List(list.clone()),
        Targets::Range { start, end } => StoredTargets::Range(*start, *end),
        // What a job has; a run of it begins unplanned.
        Targets::Source(_) => StoredTargets::Unplanned(Selection::All),
        Targets::Unplanned(selection) => StoredTargets::Unplanned(selection.clone()),
        Targets::Planned { count } => StoredTargets::Planned(*count),
    };
    json_text(&stored)
}

pub(super) fn json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

/// The `target_key` column: the key of a target that is a table, for a text is its own.
pub(super) fn target_key(target: &Target) -> Option<&str> {
    matches!(target.value, TargetValue::Table(_)).then_some(&*target.key)
}

/// Puts the same behind `text`, which stays UTF-8.
pub(super) fn push_json(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    serde_json::to_writer(text, value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn targets(row: &Row<'_>, column: usize) -> Result<Targets> {
    let text = row.get_ref(column)?.as_str()?;
    match serde_json::from_str(text) {
        Ok(StoredTargets::None) => Ok(Targets::None),
        Ok(StoredTargets::List(list)) => Ok(Targets::List(list)),
        Ok(StoredTargets::Range(start, end)) => Ok(Targets::Range { start, end }),
        Ok(StoredTargets::Unplanned(selection)) => Ok(Targets::Unplanned(selection)),
        Ok(StoredTargets::Planned(count)) => Ok(Targets::Planned { count }),
        Err(_) => Err(unreadable(column, "targets", text)),
    }
}

/// Whole microseconds, so that a time reads back as it was written to that precision.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    let micros: i64 = row.get(column)?;
    Timestamp::from_microsecond(micros).map_err(|_| unreadable(column, "time", &micros.to_string()))
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    if row.get::<_, Option<i64>>(column)?.is_none() { Ok(None) } else { time(row, column).map(Some) }
}

/// The `repeats_until` column: null where nothing comes again.
pub(super) fn repeats_until(repeat: Repeat) -> Option<i64> {
    (repeat != Repeat::NONE).then(|| micros(repeat.until))
}

/// What was written as `repeats_until` and `repeat`, in this order.
pub(super) fn repeat(row: &Row<'_>, column: usize) -> Result<Repeat> {
    let Some(until) = optional_time(row, column)? else { return Ok(Repeat::NONE) };
    Ok(Repeat { until, number: row.get(column + 1)? })
}

/// A value of one of the closed lists.
pub(super) fn named<T>(row: &Row<'_>, column: usize, from_name: fn(&str) -> Option<T>) -> Result<T> {
    let name = row.get_ref(column)?.as_str()?;
    from_name(name).ok_or_else(|| unreadable(column, "name", name))
}

pub(super) fn optional_named<T>(row: &Row<'_>, column: usize, from_name: fn(&str) -> Option<T>) -> Result<Option<T>> {
    if row.get_ref(column)?.as_str_or_null()?.is_none() { Ok(None) } else { named(row, column, from_name).map(Some) }
}

pub(super) fn optional_json(row: &Row<'_>, column: usize) -> Result<Option<Box<RawValue>>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    RawValue::from_string(text).map(Some).map_err(|error| unreadable(column, "JSON", &error.to_string()))
}

/// The arguments of a run, `None` for none.
pub(super) fn args_text(args: &Args) -> Option<String> {
    (!args.is_empty()).then(|| serde_json::to_value(args).unwrap_or_default().to_string())
}

pub(super) fn args(row: &Row<'_>, column: usize) -> Result<Args> {
    if row.get_ref(column)?.as_str_or_null()?.is_none() { Ok(Args::new()) } else { from_json(row, column) }
}

/// A part of such a value.
pub(super) fn parsed<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|_| unreadable(1, "JSON", json))
}

/// A value that was written by [`json_text`].
pub(super) fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    borrowed_json(row, column)
}

/// The same, of which parts may be of the row.
pub(super) fn borrowed_json<'r, T: Deserialize<'r>>(row: &'r Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|_| unreadable(column, "JSON", text))
}

/// Whether the database answered, but with what cannot have been written.
pub(super) fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..))
}

pub(super) fn unreadable(column: usize, what: &'static str, found: &str) -> Error {
    /// Enough to recognise it by.
    const SHOWN: usize = 60;
    let found = found.chars().take(SHOWN).collect();
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(Unreadable { what, found }))
}
