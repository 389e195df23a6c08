//! The way out: read-only connections, beside a living writer or without one.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params_from_iter};
use serde_json::value::RawValue;

use super::sqlite::{self, GATHER_INDEX, instant, named};
use super::{DecisionView, OutputView, PartialCounts, PartialView, RunView, StoreError};
use crate::engine::{Cause, Decision, Outcome, RunId, RunKey, RunOutcome};

/// So many names are listed when one could mean several runs.
const MAX_CANDIDATES: usize = 5;

/// Results are read in pages of this many.
const PAGE: u32 = 1_000;

const RUN_COLUMNS: &str =
    "key, id, job, cause, nominal, zone, fired, started, ended, outcome, partials, succeeded, failed, cancelled, reason, result";
const PARTIAL_COLUMNS: &str = "idx, target, outcome, attempt, started, ended, duration, exit_code, signal, result, error";

/// Which runs, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub job: Option<String>,
    /// Only those that ended otherwise than succeeded.
    pub failed: bool,
    /// Fired no earlier.
    pub since: Option<Timestamp>,
    /// Fired earlier.
    pub until: Option<Timestamp>,
    /// Only those older than this one: the next page.
    pub before: Option<RunKey>,
    /// At most so many; 0 for no limit.
    pub limit: u32,
}

/// Which partials, in target order.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartialFilter {
    /// Only those that did not succeed.
    pub failed: bool,
}

/// A read-only connection.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the database; one that does not exist is [`StoreError::NoState`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::NoState(path.to_owned()));
        }
        let connection = sqlite::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        match sqlite::check_version(&connection, path)? {
            0 => Err(StoreError::NoState(path.to_owned())),
            _ => Ok(Self { connection, path: path.to_owned() }),
        }
    }

    /// The runs that pass the filter, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        let mut conditions = vec!["1"];
        let mut values: Vec<Value> = Vec::new();
        let mut add = |condition, value: Value| {
            conditions.push(condition);
            values.push(value);
        };
        if let Some(job) = &filter.job {
            add("job = ?", job.clone().into());
        }
        if let Some(before) = filter.before {
            add("key < ?", before.0.into());
        }
        if let Some(since) = filter.since {
            add("fired >= ?", since.as_microsecond().into());
        }
        if let Some(until) = filter.until {
            add("fired < ?", until.as_microsecond().into());
        }
        if filter.failed {
            conditions.push("outcome <> 'succeeded'");
        }
        let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
        let sql = format!("SELECT {RUN_COLUMNS} FROM run WHERE {} ORDER BY key DESC LIMIT {limit}", conditions.join(" AND "));
        self.query(&sql, values, run_view)
    }

    /// The latest run of each job.
    pub fn last_runs(&self) -> Result<Vec<RunView>, StoreError> {
        let names = "SELECT name FROM job UNION SELECT DISTINCT job FROM run";
        let latest = format!("SELECT (SELECT max(key) FROM run WHERE run.job = names.name) FROM ({names}) AS names");
        self.query(&format!("SELECT {RUN_COLUMNS} FROM run WHERE key IN ({latest}) ORDER BY job"), Vec::new(), run_view)
    }

    /// The run of that name: its id, an unambiguous beginning of it, or a job's name for its latest run.
    pub fn run(&self, name: &str) -> Result<RunView, StoreError> {
        let one = |condition: &str| {
            self.query(&format!("SELECT {RUN_COLUMNS} FROM run WHERE {condition}"), vec![name.to_owned().into()], run_view)
        };
        if let Some(run) = one("id = ?")?.into_iter().next() {
            return Ok(run);
        }
        if let Some(run) = one("job = ? ORDER BY key DESC LIMIT 1")?.into_iter().next() {
            return Ok(run);
        }
        // The names that begin so lie between it and it with the greatest character behind.
        let limit = MAX_CANDIDATES + 1;
        let sql = format!("SELECT {RUN_COLUMNS} FROM run WHERE id >= ?1 AND id < ?1 || char(1114111) ORDER BY key DESC LIMIT {limit}");
        let mut found = self.query(&sql, vec![name.to_owned().into()], run_view)?;
        match found.len() {
            0 => Err(StoreError::NoSuchRun(name.to_owned())),
            1 => Ok(found.remove(0)),
            more => {
                let mut candidates: Vec<_> = found.iter().take(MAX_CANDIDATES).map(|run| format!("`{}`", run.id)).collect();
                if more > MAX_CANDIDATES {
                    candidates.push("others".to_owned());
                }
                Err(StoreError::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }

    /// A page of a run's results in target order: those after the index `after`.
    pub fn partials(&self, run: RunKey, filter: &PartialFilter, after: Option<u32>, limit: u32) -> Result<Vec<PartialView>, StoreError> {
        let failed = if filter.failed { " AND outcome <> 'succeeded'" } else { "" };
        let sql = format!("SELECT {PARTIAL_COLUMNS} FROM partial WHERE run = ? AND idx > ?{failed} ORDER BY idx LIMIT ?");
        let after = after.map_or(-1, i64::from);
        self.query(&sql, vec![run.0.into(), after.into(), i64::from(limit).into()], partial_view)
    }

    /// The partials that took longest, slowest first.
    pub fn slowest(&self, run: RunKey, limit: u32) -> Result<Vec<PartialView>, StoreError> {
        let sql = format!("SELECT {PARTIAL_COLUMNS} FROM partial WHERE run = ? ORDER BY duration DESC LIMIT ?");
        self.query(&sql, vec![run.0.into(), i64::from(limit).into()], partial_view)
    }

    /// How many partials of a run have which outcome on record.
    pub fn partial_counts(&self, run: RunKey) -> Result<PartialCounts, StoreError> {
        let sql = "SELECT outcome, count(*) FROM partial WHERE run = ? GROUP BY outcome";
        let rows = self.query(sql, vec![run.0.into()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// The kept output of a partial's attempts, oldest first; of the gather command for no index.
    pub fn outputs(&self, run: RunKey, index: Option<u32>) -> Result<Vec<OutputView>, StoreError> {
        let sql = "SELECT attempt, head, tail, cut FROM output WHERE run = ? AND idx = ? ORDER BY attempt";
        let index = index.map_or(GATHER_INDEX, i64::from);
        self.query(sql, vec![run.0.into(), index.into()], |row| {
            Ok(OutputView { attempt: row.get(0)?, head: row.get(1)?, tail: row.get(2)?, cut: row.get::<_, i64>(3)?.cast_unsigned() })
        })
    }

    /// The decisions about a job's nominal times that touch `since` … `until`, oldest first.
    pub fn decisions(&self, job: &str, since: Timestamp, until: Timestamp) -> Result<Vec<DecisionView>, StoreError> {
        let sql =
            "SELECT job, first, last, count, decision, run, at FROM decision WHERE job = ? AND last >= ? AND first <= ? ORDER BY last";
        let values = vec![job.to_owned().into(), since.as_microsecond().into(), until.as_microsecond().into()];
        self.query(sql, values, decision_view)
    }

    /// The gathered results as JSON lines, one a partial, in target order; read page by page.
    pub fn result_lines(self, run: RunKey) -> Box<dyn FnMut() -> Option<Vec<u8>> + Send> {
        let mut page = Vec::new().into_iter();
        let mut after = None;
        Box::new(move || {
            if page.len() == 0 {
                page = self.partials(run, &PartialFilter::default(), after, PAGE).unwrap_or_default().into_iter();
            }
            let partial: PartialView = page.next()?;
            after = Some(partial.index);
            serde_json::to_vec(&partial).ok()
        })
    }

    fn query<T>(&self, sql: &str, values: Vec<Value>, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, StoreError> {
        let query = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params_from_iter(values), read)?.collect::<rusqlite::Result<Vec<T>>>()
        };
        query().map_err(|error| sqlite::explain(&self.path, error))
    }
}

fn run_view(row: &Row<'_>) -> rusqlite::Result<RunView> {
    let started = optional_instant(row, 7)?;
    let ended = optional_instant(row, 8)?;
    let duration = started.zip(ended).map(|(started, ended)| ended.as_millisecond() - started.as_millisecond());
    let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<u32>>(column)?.unwrap_or(0));
    Ok(RunView {
        key: RunKey(row.get(0)?),
        id: RunId(row.get::<_, String>(1)?.into()),
        job: row.get(2)?,
        cause: named(row, 3, Cause::from_name)?,
        nominal: instant(row, 4)?,
        zone: row.get(5)?,
        fired: instant(row, 6)?,
        started,
        ended,
        duration_ms: duration,
        outcome: row.get::<_, Option<String>>(9)?.and_then(|name| RunOutcome::from_name(&name)),
        partials: row.get(10)?,
        succeeded: count(11)?,
        failed: count(12)?,
        cancelled: count(13)?,
        reason: row.get(14)?,
        result: raw(row, 15)?,
    })
}

fn partial_view(row: &Row<'_>) -> rusqlite::Result<PartialView> {
    let duration: i64 = row.get(6)?;
    #[expect(clippy::cast_precision_loss, reason = "a duration of 285 years in microseconds is still exact")]
    let duration_ms = duration as f64 / 1_000.0;
    Ok(PartialView {
        index: row.get(0)?,
        target: raw(row, 1)?,
        outcome: named(row, 2, Outcome::from_name)?,
        attempts: row.get(3)?,
        started: instant(row, 4)?,
        ended: instant(row, 5)?,
        duration_ms,
        exit_code: row.get(7)?,
        signal: row.get(8)?,
        result: raw(row, 9)?,
        error: row.get(10)?,
    })
}

fn decision_view(row: &Row<'_>) -> rusqlite::Result<DecisionView> {
    Ok(DecisionView {
        job: row.get(0)?,
        first: instant(row, 1)?,
        last: instant(row, 2)?,
        count: row.get::<_, i64>(3)?.cast_unsigned(),
        decision: named(row, 4, Decision::from_name)?,
        run: row.get::<_, Option<i64>>(5)?.map(RunKey),
        at: instant(row, 6)?,
    })
}

fn optional_instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => instant(row, column).map(Some),
    }
}

/// JSON as it was recorded; what is not JSON is left out.
fn raw(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Box<RawValue>>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| RawValue::from_string(text).ok()))
}
