//! Quick successes side by side, many in one row of the table `streak`: a row each would cost several times what the work did.

use std::ops::Range;

use rusqlite::{Connection, Result, Row};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reader, values};
use crate::config::Target;
use crate::engine::{RunKey, Success};
use crate::store::StoreError;

/// Fewer neighbours than this have a row each.
pub(super) const FEWEST: usize = 8;

/// A row ends after so many bytes, or so many partials: whoever wants one of them reads them all.
pub(super) const MAX_BYTES: usize = 32 << 10;
pub(super) const MAX_PARTIALS: usize = 512;

/// Longer attempts are ranked by how long they took, which takes a row.
pub(super) const RANKED_US: u128 = 1_000;

/// One partial as it is read: times in microseconds. What is missing at the end is null.
#[derive(Deserialize)]
struct Read<'a>(
    /// From when the row began to the start.
    i64,
    /// How long it took, on the monotonic clock.
    i64,
    /// From the start to the end.
    i64,
    #[serde(borrow, default)] Option<&'a RawValue>,
    #[serde(borrow, default)] Option<&'a RawValue>,
    #[serde(default)] Option<String>,
);

/// Writes one partial behind `text`: the fields of [`Read`], without the nulls at the end.
pub(super) fn write(text: &mut Vec<u8>, success: &Success<Option<&str>>, target: Option<&Target>, began: i64) -> Result<()> {
    let (started, ended) = (values::micros(success.started), values::micros(success.ended));
    let took = i64::try_from(success.duration.as_micros()).unwrap_or(i64::MAX);
    let mut number = itoa::Buffer::new();
    for (separator, time) in [(b'[', started - began), (b',', took), (b',', ended - started)] {
        text.push(separator);
        text.extend_from_slice(number.format(time).as_bytes());
    }
    if success.result.is_some() || target.is_some() {
        text.push(b',');
        text.extend_from_slice(success.result.unwrap_or("null").as_bytes());
    }
    if let Some(target) = target {
        text.push(b',');
        values::push_json(text, &target.value)?;
    }
    if let Some(key) = target.and_then(values::target_key) {
        text.push(b',');
        values::push_json(text, &key)?;
    }
    text.push(b']');
    Ok(())
}

/// One of its partials, in the columns of a row of its own.
pub(super) struct Columns<'a> {
    pub(super) index: u32,
    pub(super) started: i64,
    pub(super) ended: i64,
    pub(super) took: i64,
    pub(super) target: Option<&'a RawValue>,
    pub(super) key: Option<String>,
    pub(super) result: Option<&'a RawValue>,
}

/// Has `seen` see the partials of a row, of which these are the columns `first`, `began` and `partials`.
pub(super) fn each(row: &Row<'_>, mut seen: impl FnMut(Columns<'_>) -> Result<()>) -> Result<()> {
    let (first, began): (u32, i64) = (row.get(0)?, row.get(1)?);
    let partials: Vec<Read<'_>> = values::borrowed_json(row, 2)?;
    for (index, Read(start, took, length, result, target, key)) in (first..).zip(partials) {
        let started = began.saturating_add(start);
        seen(Columns { index, started, ended: started.saturating_add(length), took, target, key, result })?;
    }
    Ok(())
}

/// The places of the run that streaks have, ascending; neighbours may touch.
pub(super) fn places(connection: &Connection, run: RunKey) -> Result<Vec<Range<u32>>> {
    let mut statement = connection.prepare_cached("SELECT first, first + count FROM streak WHERE run = ?1 ORDER BY first")?;
    statement.query_map([run.0], |row| Ok(row.get(0)?..row.get(1)?))?.collect()
}

impl Reader {
    /// The places of the run that streaks have, ascending.
    pub(super) fn streaks(&self, run: RunKey) -> std::result::Result<Vec<Range<u32>>, StoreError> {
        places(&self.connection, run).map_err(|error| super::fault(&self.path, error))
    }
}
