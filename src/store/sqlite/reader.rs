//! Questions about the records. A reader has a read-only connection of its own: it works beside a live daemon and without one,
//! and never holds up the writer. Each question reads through an index; none reads a run's partials whole.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, ToSql, params};

use super::open::{keep_statements, known_version, missing, refuse_cut_off};
use super::{BUSY_TIMEOUT, fault, values};
use crate::engine::{Cause, Decision, Outcome, RunId, RunKey, RunOutcome};
use crate::store::{DATABASE_FILE, DecisionView, LookupError, OutputView, PartialCounts, RunFilter, RunView, StoreError};

/// Rows of one page, at most.
pub const MAX_PAGE: u32 = 10_000;

/// Runs named when the beginning of a name fits several.
pub const MAX_CANDIDATES: usize = 5;

const RUN_COLUMNS: &str = "key, id, job, cause, nominal, zone, fired, started, ended, outcome, partials, succeeded, failed, \
                           cancelled, reason, result, args";

const COUNTS_QUESTION: &str = "SELECT outcome, count(*) FROM partial INDEXED BY partial_not_succeeded \
                               WHERE run = ?1 AND outcome IS NOT 'succeeded' GROUP BY outcome";

/// A reading connection. Not shared between threads: open one for each.
#[derive(Debug)]
pub struct Reader {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Of the schema, when it was opened.
    pub(super) version: i64,
}

impl Reader {
    /// Open the database in `state_dir`; [`StoreError::NoState`] where there has been none.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(DATABASE_FILE);
        if !path.exists() {
            return Err(missing(&path));
        }
        refuse_cut_off(&path)?;
        let failed = |error| fault(&path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        keep_statements(&connection).map_err(failed)?;
        let version = known_version(&connection, &path)?;
        Ok(Self { path, connection, version })
    }

    /// A page of runs, latest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        let (sql, values) = runs_question(filter);
        self.all(&sql, rusqlite::params_from_iter(values), run_view)
    }

    /// The run of this name; else the latest run of the job of this name; else the only run whose name begins so.
    pub fn run(&self, wanted: &str) -> Result<RunView, LookupError> {
        let by_name = format!("SELECT {RUN_COLUMNS} FROM run WHERE id = ?1");
        let by_job = format!("SELECT {RUN_COLUMNS} FROM run WHERE job = ?1 ORDER BY fired DESC, key DESC LIMIT 1");
        for sql in [by_name, by_job] {
            if let Some(run) = self.all(&sql, [wanted], run_view)?.pop() {
                return Ok(run);
            }
        }
        self.run_by_prefix(wanted)
    }

    /// The outputs of a partial (or, with `None`, of the gather command), in the order of attempts.
    pub fn outputs(&self, run: RunKey, index: Option<u32>) -> Result<Vec<OutputView>, StoreError> {
        let sql = "SELECT attempt, head, tail, cut FROM output WHERE run = ?1 AND idx = ?2 ORDER BY attempt";
        self.all(sql, params![run.0, index.map_or(-1, i64::from)], output_view)
    }

    /// Those of the ids that have a run, in their order.
    pub fn existing(&self, ids: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        let mut existing = Vec::new();
        for id in ids {
            let found = self.all("SELECT 1 FROM run WHERE id = ?1", [&*id.0], |_| Ok(()))?;
            existing.extend((!found.is_empty()).then(|| id.clone()));
        }
        Ok(existing)
    }

    /// The latest run of each job, by job name.
    pub fn last_runs(&self) -> Result<Vec<RunView>, StoreError> {
        // Steps from job to job through the index, however many runs each has.
        let sql = format!(
            "WITH RECURSIVE name(job) AS (
                 SELECT min(job) FROM run
                 UNION ALL SELECT (SELECT min(job) FROM run WHERE job > name.job) FROM name WHERE name.job IS NOT NULL
             )
             SELECT {RUN_COLUMNS} FROM run WHERE key IN (
                 SELECT (SELECT key FROM run WHERE job = name.job ORDER BY fired DESC, key DESC LIMIT 1) FROM name
             ) ORDER BY job"
        );
        self.all(&sql, [], run_view)
    }

    /// How far the run's partials are, by outcome.
    pub fn partial_counts(&self, run: RunKey) -> Result<PartialCounts, StoreError> {
        let succeeded = self
            .connection
            .prepare_cached("SELECT succeeded FROM run WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([run.0], |row| row.get(0)).optional())
            .map_err(|error| fault(&self.path, error))?;
        let mut counts = PartialCounts::new();
        counts.insert(Outcome::Succeeded.name().to_owned(), succeeded.unwrap_or(0));
        for (outcome, count) in self.all(COUNTS_QUESTION, [run.0], |row| Ok((row.get::<_, Option<String>>(0)?, row.get(1)?)))? {
            counts.insert(outcome.unwrap_or_else(|| "retrying".to_owned()), count);
        }
        counts.retain(|_, count| *count > 0);
        Ok(counts)
    }

    fn run_by_prefix(&self, wanted: &str) -> Result<RunView, LookupError> {
        let sql =
            format!("SELECT {RUN_COLUMNS} FROM run WHERE id >= ?1 AND id < ?1 || char(0x10ffff) ORDER BY id LIMIT {}", MAX_CANDIDATES + 1);
        let mut found = self.all(&sql, [wanted], run_view)?;
        match (found.len(), found.pop()) {
            (0, _) | (_, None) => Err(LookupError::NotFound { wanted: wanted.to_owned() }),
            _ if wanted.is_empty() => Err(LookupError::NotFound { wanted: wanted.to_owned() }),
            (1, Some(run)) => Ok(run),
            (many, Some(last)) => {
                let candidates = found.into_iter().chain([last]).map(|run| run.id).take(MAX_CANDIDATES).collect();
                Err(LookupError::Ambiguous { wanted: wanted.to_owned(), candidates, more: many > MAX_CANDIDATES })
            }
        }
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        view: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = || -> rusqlite::Result<Vec<T>> { self.connection.prepare_cached(sql)?.query_map(values, view)?.collect() };
        read().map_err(|error| fault(&self.path, error))
    }
}

/// The filter as SQL and the values of its `?`, in order.
fn runs_question(filter: &RunFilter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["true"];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut condition = |text, value: Box<dyn ToSql>| {
        conditions.push(text);
        values.push(value);
    };
    if let Some(job) = &filter.job {
        condition("job = ?", Box::new(job.clone()));
    }
    if let Some(since) = filter.since {
        condition("fired >= ?", Box::new(values::micros(since)));
    }
    if let Some(until) = filter.until {
        condition("fired < ?", Box::new(values::micros(until)));
    }
    if let Some(before) = filter.before {
        condition("(fired, key) < (SELECT fired, key FROM run WHERE key = ?)", Box::new(before.0));
    }
    if filter.failed {
        conditions.push("outcome <> 'succeeded'");
    }
    let conditions = conditions.join(" AND ");
    values.push(Box::new(filter.limit.min(MAX_PAGE)));
    (format!("SELECT {RUN_COLUMNS} FROM run WHERE {conditions} ORDER BY fired DESC, key DESC LIMIT ?"), values)
}

fn run_view(row: &Row<'_>) -> rusqlite::Result<RunView> {
    let started = values::optional_time(row, 7)?;
    let ended = values::optional_time(row, 8)?;
    Ok(RunView {
        key: RunKey(row.get(0)?),
        id: RunId(row.get(1)?),
        job: row.get(2)?,
        cause: values::named(row, 3, Cause::from_name)?,
        nominal: values::time(row, 4)?,
        zone: row.get(5)?,
        fired: values::time(row, 6)?,
        started,
        ended,
        outcome: values::optional_named(row, 9, RunOutcome::from_name)?,
        partials: row.get(10)?,
        succeeded: row.get(11)?,
        failed: row.get(12)?,
        cancelled: row.get(13)?,
        reason: row.get(14)?,
        result: values::optional_json(row, 15)?,
        args: values::args(row, 16)?,
        duration_ms: started.zip(ended).map(|(started, ended)| milliseconds(ended.as_microsecond() - started.as_microsecond())),
    })
}

fn output_view(row: &Row<'_>) -> rusqlite::Result<OutputView> {
    let text = |column| Ok::<_, rusqlite::Error>(String::from_utf8_lossy(row.get_ref(column)?.as_blob()?).into_owned());
    Ok(OutputView { attempt: row.get(0)?, head: text(1)?, tail: text(2)?, cut: row.get::<_, i64>(3)?.unsigned_abs() })
}

pub(super) fn decision_view(row: &Row<'_>) -> rusqlite::Result<DecisionView> {
    Ok(DecisionView {
        job: row.get(0)?,
        first: values::time(row, 1)?,
        last: values::time(row, 2)?,
        count: row.get::<_, i64>(3)?.unsigned_abs(),
        decision: values::named(row, 4, Decision::from_name)?,
        run: row.get::<_, Option<_>>(5)?.map(RunId),
        at: values::time(row, 6)?,
        accounting: row.get(7)?,
    })
}

/// A clock that was set back in between makes a negative difference; it is shown as none.
fn milliseconds(micros: i64) -> i64 {
    (micros / 1_000).max(0)
}

#[cfg(test)]
mod tests {
    use super::super::Sqlite;
    use super::super::partials::{partials_question, slowest_question};
    use super::*;

    /// The question is answered from an index, in its order: else its time would grow with the history.
    fn check(sql: &str) {
        let dir = tempfile::tempdir().expect("a directory");
        let _store = Sqlite::open(dir.path()).expect("opens");
        let connection = Reader::open(dir.path()).expect("opens").connection;
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("is SQL");
        let values = vec![1; explain.parameter_count()];
        let plan = explain.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).and_then(Iterator::collect);
        let plan: Vec<String> = plan.expect("explains");
        assert!(["INDEX", "PRIMARY KEY"].iter().any(|index| plan[0].contains(index)), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")), "{sql}: {plan:?}");
    }

    #[test]
    fn runs_are_read_through_an_index() {
        let all = RunFilter::default();
        let (job, since) = (Some("sync".to_owned()), Some(jiff::Timestamp::UNIX_EPOCH));
        for filter in [
            all.clone(),
            RunFilter { job: job.clone(), ..all.clone() },
            RunFilter { job, since, ..all.clone() },
            RunFilter { since, before: Some(RunKey(1)), ..all.clone() },
            RunFilter { failed: true, ..all.clone() },
            RunFilter { failed: true, since, ..all },
        ] {
            check(&runs_question(&filter).0);
        }
    }

    #[test]
    fn partials_are_read_through_an_index() {
        check(&partials_question(false));
        check(&partials_question(true));
        check(&slowest_question());
        check(COUNTS_QUESTION);
    }
}
