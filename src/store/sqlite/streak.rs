//! Quick successes side by side, many in one row of the table `streak`: a row each would cost several times what the work did.

use std::ops::Range;

use jiff::Timestamp;
use rusqlite::{Connection, Result, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Reader, values};
use crate::config::TargetValue;
use crate::engine::{Outcome, PartialRecord, RunKey};
use crate::store::{PartialView, StoreError};

/// Fewer neighbours than this have a row each.
pub(super) const FEWEST: usize = 8;

/// A row ends after so many bytes, or so many partials: whoever wants one of them reads them all.
pub(super) const MAX_BYTES: usize = 64 << 10;
pub(super) const MAX_PARTIALS: usize = 4_096;

/// Longer attempts are ranked by how long they took, which takes a row.
const RANKED_US: i64 = 1_000;

/// The streak that has the place ?2, or the first behind it, and all that follow.
const FROM_PLACE: &str = "
    SELECT first, began, partials FROM streak
    WHERE run = ?1 AND first >= coalesce((SELECT first FROM streak WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
    ORDER BY first";

/// One partial as it is written: an array of these, times in microseconds.
#[derive(Serialize)]
pub(super) struct Written<'a>(i64, i64, i64, Option<&'a TargetValue>, Option<&'a str>, Option<&'a RawValue>);

/// The same as it is read.
#[derive(Deserialize)]
pub(super) struct Read(i64, i64, i64, Option<Box<RawValue>>, Option<String>, Option<Box<RawValue>>);

/// Whether nothing would be lost of the partial.
pub(super) fn fits(partial: &PartialRecord) -> bool {
    let PartialRecord { outcome, attempt, retry, exit_code, signal, error, output, usage, .. } = partial;
    (*outcome, *attempt, *retry) == (Outcome::Succeeded, 1, None)
        && exit_code.or(*signal).is_none()
        && error.is_none()
        && output.is_none()
        && usage.is_none()
        && partial.duration.as_micros() < RANKED_US.unsigned_abs().into()
}

impl<'a> Written<'a> {
    pub(super) fn new(partial: &'a PartialRecord, began: i64) -> Self {
        let target = partial.target.as_ref().filter(|_| !partial.planned);
        let (target, key) = (target.map(|target| &target.value), target.and_then(values::target_key));
        let (started, ended) = (values::micros(partial.started), values::micros(partial.ended));
        let took = i64::try_from(partial.duration.as_micros()).unwrap_or(i64::MAX);
        Self(started - began, ended - started, took, target, key, partial.result.as_deref())
    }
}

/// A row of the table.
pub(super) struct Streak {
    pub(super) first: u32,
    began: i64,
    partials: Vec<Read>,
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

impl Streak {
    /// The columns `first`, `began` and `partials`.
    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self { first: row.get(0)?, began: row.get(1)?, partials: values::from_json(row, 2)? })
    }

    pub(super) fn into_columns(self) -> impl Iterator<Item = Columns> {
        let began = self.began;
        (self.first..).zip(self.partials).map(move |(index, Read(start, length, took, target, key, result))| {
            let started = began.saturating_add(start);
            Columns { index, started, ended: started.saturating_add(length), took, target, key, result }
        })
    }
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

    /// The first partials of the run, at most `limit`, that streaks have from the place `from` on; those with a planned target without it.
    pub(super) fn partials_of_streaks(&self, run: RunKey, from: u32, limit: usize) -> Result<Vec<PartialView>> {
        let mut statement = self.connection.prepare_cached(FROM_PLACE)?;
        let mut rows = statement.query(params![run.0, from])?;
        let mut found: Vec<Columns> = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let left = limit - found.len();
            found.extend(Streak::read(row)?.into_columns().skip_while(|columns| columns.index < from).take(left));
        }
        found.into_iter().map(view).collect()
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
