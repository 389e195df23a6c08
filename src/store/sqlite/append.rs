//! Records become rows: one transaction for a whole batch, behind the fence.

mod abandoned;
mod jobs;
mod outbox;
mod outputs;
mod partials;
mod streaks;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, ffi, params};

pub(super) use self::abandoned::finish_abandoned;
use self::partials::{INSERT_PARTIAL, recorded_outcome, target_columns};
use self::streaks::Quick;
use super::{fault, values};
use crate::engine::{Decides, Decision, Follow, Indexes, Outcome, Record, RunInfo, RunKey, RunSummary};
use crate::store::{Epoch, StoreError};

/// The last attempt of a partial whose target is listed no more stays on record, as its end; attempt 0: there was none.
const DROP_PARTIAL: &str = "
    INSERT INTO partial (run, idx, target, target_key, outcome, attempt, started, ended, duration_us, error)
    VALUES (?1, ?2, ?3, ?4, 'cancelled', 0, ?5, ?5, 0, ?6)
    ON CONFLICT DO UPDATE SET outcome = excluded.outcome, retrying = NULL, retry_at = NULL, retried = NULL, error = excluded.error";

const DROPPED: &str = "its target was taken out of the list while the run was interrupted";

/// What waits for another attempt when its run ends, ends as its last attempt did. The index has no successes, so that
/// a million of them are not read.
const END_RETRYING: &str = "
    UPDATE partial INDEXED BY partial_not_succeeded SET outcome = retrying, retrying = NULL, retry_at = NULL, retried = NULL
    WHERE run = ?1 AND outcome IS NOT 'succeeded' AND outcome IS NULL";

/// Why a transaction was given up; the path is added above.
pub(super) enum Refusal {
    Sql(rusqlite::Error),
    Record(StoreError),
}

impl Refusal {
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sql(error) => fault(path, error),
            Self::Record(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Returns how many bytes of captured output there are now, if it is known. `short`: there is hardly any room on the disk.
pub(super) fn append(
    connection: &mut Connection,
    node: &str,
    epoch: Epoch,
    records: &[Record],
    short: bool,
) -> Result<Option<u64>, Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_fenced(&transaction, node, epoch)?;
    let insert_partial = transaction.prepare_cached(INSERT_PARTIAL)?;
    let mut append =
        Append { transaction: &transaction, node, insert_partial, tallies: BTreeMap::new(), quick: Quick::new(), captured: 0, short };
    for record in records {
        append.record(record)?;
    }
    append.write_quick()?;
    append.write_tallies()?;
    let captured = append.write_captured()?;
    drop(append);
    transaction.commit()?;
    Ok(captured)
}

pub(super) fn refuse_fenced(transaction: &Transaction<'_>, node: &str, epoch: Epoch) -> Result<(), Refusal> {
    let latest: Option<i64> =
        transaction.prepare_cached("SELECT epoch FROM node WHERE name = ?1")?.query_row([node], |row| row.get(0)).optional()?;
    match latest {
        Some(latest) if latest == epoch.0 => Ok(()),
        Some(latest) => Err(Refusal::Record(StoreError::Fenced { node: node.to_owned(), ours: epoch.0, latest })),
        None => Err(Refusal::Record(StoreError::NotJoined)),
    }
}

/// How a batch changes the counts of one run.
#[derive(Clone, Copy, Default)]
struct Tally {
    succeeded: i64,
    failed: i64,
    cancelled: i64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, by: i64) {
        match outcome {
            Outcome::Succeeded => self.succeeded += by,
            Outcome::Cancelled => self.cancelled += by,
            Outcome::Failed | Outcome::TimedOut | Outcome::Signalled | Outcome::SpawnFailed | Outcome::Lost => self.failed += by,
        }
    }
}

/// One transaction under way.
struct Append<'t, 'r> {
    transaction: &'t Transaction<'t>,
    node: &'t str,
    /// Held, because there may be a million of them.
    insert_partial: CachedStatement<'t>,
    /// One update a run instead of one a partial.
    tallies: BTreeMap<RunKey, Tally>,
    /// Quick successes, which are written together.
    quick: Quick<'r>,
    /// Bytes of output that have come.
    captured: i64,
    /// There is hardly any room on the disk: captured output is cut short.
    short: bool,
}

impl<'r> Append<'_, 'r> {
    fn record(&mut self, record: &'r Record) -> Result<(), Refusal> {
        if !matches!(record, Record::Partials(_) | Record::Streak(_) | Record::Claimed { .. }) {
            // What follows may look at them.
            self.write_quick()?;
        }
        match record {
            Record::Accounting { job, accounted, fingerprint, beginning, boot_id } => {
                self.start_accounting(job, *accounted, *fingerprint, *beginning, boot_id.as_deref())
            }
            Record::Removed { job } => self.remove_job(job),
            Record::Paused { job, paused } => self.change_job(job, "UPDATE job SET paused = ?2 WHERE name = ?1", params![&**job, paused]),
            Record::Decided { job, first, last, count, decision, at, tells } => {
                self.decide(job, (*first, *last), *count, *decision, None, *at)?;
                tells.iter().try_for_each(|tell| self.tell(tell))
            }
            Record::Fired { run, decides } => self.fired(run, decides),
            Record::Claimed { run, upto, at } => self.change_run(
                *run,
                "UPDATE run SET claimed = ?2, started = coalesce(started, ?3) WHERE key = ?1 AND ended IS NULL",
                params![run.0, upto, values::micros(*at)],
            ),
            Record::Retried { run, index, attempt } => {
                self.take_apart(*run, *index)?;
                let sql = "UPDATE partial SET retried = ?3 WHERE idx = ?2 AND run = (SELECT key FROM run WHERE key = ?1 AND ended IS NULL)";
                self.change_run(*run, sql, params![run.0, index, attempt])
            }
            Record::Released { run, index } => {
                let sql =
                    "UPDATE partial SET retried = NULL WHERE idx = ?2 AND run = (SELECT key FROM run WHERE key = ?1 AND ended IS NULL)";
                self.change_run(*run, sql, params![run.0, index])
            }
            Record::Planned { run } => self.planned(run),
            Record::Replanned { run, dropped, at } => self.replanned(run, dropped, *at),
            Record::Partials(partials) => partials.iter().try_for_each(|partial| self.partial(partial)),
            Record::Streak(streak) => {
                self.streak(streak);
                Ok(())
            }
            Record::Finished(summary) => self.finished(summary),
            Record::Told(tell) => self.tell(tell),
            Record::Standing { job, standing } => self.stands(job, *standing),
            Record::Posted(posted) => self.posted(posted),
        }
    }

    fn fired(&self, run: &RunInfo, decides: &Decides) -> Result<(), Refusal> {
        let inserted = self
            .transaction
            .prepare_cached(
                "INSERT INTO run (key, id, job, cause, nominal, zone, fired, targets, partials, node, args)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                run.key.0,
                &*run.id.0,
                &*run.job.name,
                run.cause.name(),
                values::micros(run.nominal),
                &*run.job.timetable.zone.name,
                values::micros(run.fired),
                values::targets_text(&run.targets)?,
                run.targets.partials(),
                self.node,
                values::args_text(&run.args),
            ]);
        match inserted {
            Err(error) if is_violation(&error, ffi::SQLITE_CONSTRAINT_UNIQUE) => {
                Err(Refusal::Record(StoreError::Exists { id: run.id.clone() }))
            }
            inserted => Ok(inserted.map(drop)?),
        }?;
        match decides {
            Decides::Nominal => self.decide(&run.job.name, (run.nominal, run.nominal), 1, Decision::Ran, Some(run.key), run.fired),
            Decides::Boot(boot) => {
                let job = &run.job.name;
                self.change_job(job, "UPDATE job SET boot_id = ?2 WHERE name = ?1", params![&**job, &**boot])
            }
            Decides::Nothing => Ok(()),
        }
    }

    fn planned(&self, run: &RunInfo) -> Result<(), Refusal> {
        let (targets, partials) = (values::targets_text(&run.targets)?, run.targets.partials());
        let plan = "UPDATE run SET targets = ?2, partials = ?3 WHERE key = ?1 AND ended IS NULL";
        self.change_run(run.key, plan, params![run.key.0, targets, partials])
    }

    fn replanned(&mut self, run: &RunInfo, dropped: &Indexes, at: Timestamp) -> Result<(), Refusal> {
        self.planned(run)?;
        for index in dropped.iter() {
            let earlier = recorded_outcome(self.transaction, run.key, index)?;
            let target = run.targets.get(index);
            let (target, key) = target_columns(target.as_ref())?;
            let columns = params![run.key.0, index, target, key, values::micros(at), DROPPED];
            self.transaction.prepare_cached(DROP_PARTIAL)?.execute(columns)?;
            let tally = self.tallies.entry(run.key).or_default();
            if let Some(earlier) = earlier {
                tally.count(earlier, -1);
            }
            tally.count(Outcome::Cancelled, 1);
        }
        Ok(())
    }

    fn finished(&mut self, summary: &RunSummary) -> Result<(), Refusal> {
        // The summary has the final counts.
        self.tallies.remove(&summary.run);
        self.change_run(
            summary.run,
            "UPDATE run SET outcome = ?2, ended = ?3, succeeded = ?4, failed = ?5, cancelled = ?6, reason = ?7, result = ?8
             WHERE key = ?1 AND ended IS NULL",
            params![
                summary.run.0,
                summary.outcome.name(),
                values::micros(summary.ended),
                summary.succeeded,
                summary.failed,
                summary.cancelled,
                summary.reason.as_deref(),
                summary.result.as_ref().map(|result| result.get()),
            ],
        )?;
        self.execute(END_RETRYING, params![summary.run.0])?;
        for follow in &summary.follows {
            self.follow(follow)?;
        }
        self.gather_output(summary.run, summary.output.as_ref())?;
        if let Some(standing) = summary.standing {
            self.run_stands(summary.run, standing)?;
        }
        summary.tells.iter().try_for_each(|tell| self.tell(tell))
    }

    fn follow(&self, follow: &Follow) -> Result<(), Refusal> {
        let (job, nominal) = match follow {
            Follow::Joined { job, nominal, succeeded } => {
                let insert = "INSERT OR IGNORE INTO joined (job, nominal, succeeded) VALUES (?1, ?2, ?3)";
                return self.execute(insert, params![&**job, values::micros(*nominal), &**succeeded]);
            }
            Follow::Run(run) => {
                self.fired(run, &Decides::Nothing)?;
                (&run.job.name, run.nominal)
            }
            Follow::Forgotten { job, nominal } => (job, *nominal),
        };
        self.execute("DELETE FROM joined WHERE job = ?1 AND nominal = ?2", params![&**job, values::micros(nominal)])
    }

    fn write_tallies(&mut self) -> Result<(), Refusal> {
        for (run, tally) in std::mem::take(&mut self.tallies) {
            self.change_run(
                run,
                "UPDATE run SET succeeded = succeeded + ?2, failed = failed + ?3, cancelled = cancelled + ?4
                 WHERE key = ?1 AND ended IS NULL",
                params![run.0, tally.succeeded, tally.failed, tally.cancelled],
            )?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, columns: &[&dyn rusqlite::ToSql]) -> Result<(), Refusal> {
        self.transaction.prepare_cached(sql)?.execute(columns)?;
        Ok(())
    }

    fn change_run(&self, run: RunKey, sql: &str, columns: &[&dyn rusqlite::ToSql]) -> Result<(), Refusal> {
        match self.transaction.prepare_cached(sql)?.execute(columns)? {
            0 => Err(Refusal::Record(StoreError::UnknownRun { run })),
            _ => Ok(()),
        }
    }

    fn change_job(&self, job: &str, sql: &str, columns: &[&dyn rusqlite::ToSql]) -> Result<(), Refusal> {
        match self.transaction.prepare_cached(sql)?.execute(columns)? {
            0 => Err(Refusal::Record(StoreError::UnknownJob { job: job.to_owned() })),
            _ => Ok(()),
        }
    }
}

fn unknown_run(run: RunKey, error: rusqlite::Error) -> Refusal {
    if is_violation(&error, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) {
        Refusal::Record(StoreError::UnknownRun { run })
    } else {
        Refusal::Sql(error)
    }
}

pub(super) fn is_violation(error: &rusqlite::Error, kind: i32) -> bool {
    error.sqlite_error().is_some_and(|inner| inner.code == ErrorCode::ConstraintViolation && inner.extended_code == kind)
}

/// `SQLite` integers are signed.
fn saturated(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
