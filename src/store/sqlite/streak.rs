//! Quick successes side by side, many in one row of the table `streak`: a row each would cost several times what the work did.

use std::ops::Range;

use jiff::Timestamp;
use rusqlite::{Connection, Result, Row, params};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reader, values};
use crate::config::Target;
use crate::engine::{Outcome, RunKey, Success};
use crate::store::{PartialView, StoreError};

/// Fewer neighbours than this have a row each.
pub(super) const FEWEST: usize = 8;

/// A row ends after so many bytes, or so many partials: whoever wants one of them reads them all.
pub(super) const MAX_BYTES: usize = 32 << 10;
pub(super) const MAX_PARTIALS: usize = 512;

/// Longer attempts are ranked by how long they took, which takes a row.
pub(super) const RANKED_US: u128 = 1_000;

/// The streak that has the place ?2, or the first behind it, and all that follow.
const FROM_PLACE: &str = "
    SELECT first, began, partials FROM streak
    WHERE run = ?1 AND first >= coalesce((SELECT first FROM streak WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
    ORDER BY first";

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
pub(super) struct Columns {
    pub(super) index: u32,
    pub(super) started: i64,
    pub(super) ended: i64,
    pub(super) took: i64,
    pub(super) target: Option<Box<RawValue>>,
    pub(super) key: Option<String>,
    pub(super) result: Option<Box<RawValue>>,
}

/// The partials of a row, of which these are the columns `first`, `began` and `partials`; `made` makes something of each.
pub(super) fn read<T>(row: &Row<'_>, made: fn(Columns) -> Result<T>) -> Result<Vec<T>> {
    let (first, began): (u32, i64) = (row.get(0)?, row.get(1)?);
    let partials: Vec<Read<'_>> = values::borrowed_json(row, 2)?;
    let one = |(index, Read(start, took, length, result, target, key)): (u32, Read<'_>)| {
        let started = began.saturating_add(start);
        let (target, result) = (target.map(ToOwned::to_owned), result.map(ToOwned::to_owned));
        made(Columns { index, started, ended: started.saturating_add(length), took, target, key, result })
    };
    let mut all = Vec::with_capacity(partials.len());
    for partial in (first..).zip(partials) {
        all.push(one(partial)?);
    }
    Ok(all)
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

    /// The first partials of the run that streaks have from the place `from` on: `enough`, if there are, and the others of the last row.
    /// Those with a planned target are without it.
    pub(super) fn partials_of_streaks(&self, run: RunKey, from: u32, enough: usize) -> Result<Vec<PartialView>> {
        let mut statement = self.connection.prepare_cached(FROM_PLACE)?;
        let mut rows = statement.query(params![run.0, from])?;
        let mut found: Vec<PartialView> = Vec::new();
        while found.len() < enough
            && let Some(row) = rows.next()?
        {
            let partials = read(row, view)?;
            let skipped = partials.partition_point(|partial| partial.index < from);
            if found.is_empty() && skipped == 0 {
                found = partials;
            } else {
                found.extend(partials.into_iter().skip(skipped));
            }
        }
        Ok(found)
    }
}

fn view(columns: Columns) -> Result<PartialView> {
    let Columns { index, started, ended, took, target, result, .. } = columns;
    let time = |micros| Timestamp::from_microsecond(micros).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(1, micros));
    Ok(PartialView {
        index,
        target,
        outcome: Outcome::Succeeded,
        attempts: 1,
        started: time(started)?,
        ended: time(ended)?,
        duration_ms: super::reader::fractional(took),
        cpu_ms: None,
        max_rss: None,
        exit_code: None,
        signal: None,
        result,
        error: None,
    })
}
