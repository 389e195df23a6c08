//! Records into rows: one transaction a batch, fenced.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::{GATHER_INDEX, explain};
use crate::config::Targets;
use crate::engine::{CapturedOutput, PartialRecord, Record, RunInfo, RunSummary};
use crate::store::{Epoch, StoreError};

/// What a statement came to: the error of the database, or a refusal of ours.
enum Refusal {
    Database(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

pub(super) fn append(connection: &mut Connection, path: &Path, node: &str, epoch: Epoch, records: &[Record]) -> Result<(), StoreError> {
    let result = write(connection, node, epoch, records);
    result.map_err(|refusal| match refusal {
        Refusal::Database(error) => explain(path, error),
        Refusal::Store(error) => error,
    })
}

fn write(connection: &mut Connection, node: &str, epoch: Epoch, records: &[Record]) -> Result<(), Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = "SELECT epoch FROM node WHERE name = ?1";
    let current: i64 = transaction.prepare_cached(sql)?.query_row([node], |row| row.get(0))?;
    if current != epoch.0 {
        return Err(Refusal::Store(StoreError::Fenced));
    }
    for record in records {
        write_one(&transaction, node, record)?;
    }
    Ok(transaction.commit()?)
}

fn write_one(transaction: &Transaction<'_>, node: &str, record: &Record) -> Result<(), Refusal> {
    match record {
        Record::Watermark { job, watermark, schedule_fingerprint, boot_id } => {
            let sql = "INSERT INTO job (name, watermark, schedule_fingerprint, boot_id) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (name) DO UPDATE SET watermark = ?2, schedule_fingerprint = ?3, boot_id = ?4";
            let fingerprint = schedule_fingerprint.cast_signed();
            transaction.prepare_cached(sql)?.execute(params![&**job, micros(*watermark), fingerprint, boot_id.as_deref()])?;
        }
        Record::Decided { job, first, last, count, decision, at } => {
            let sql = "INSERT INTO decision (job, first, last, count, decision, run, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let run = None::<i64>;
            let row = params![&**job, micros(*first), micros(*last), count.cast_signed(), decision.name(), run, micros(*at)];
            transaction.prepare_cached(sql)?.execute(row)?;
            let sql = "UPDATE job SET watermark = ?2 WHERE name = ?1";
            transaction.prepare_cached(sql)?.execute(params![&**job, micros(*last)])?;
        }
        Record::Fired { run, .. } => fire(transaction, node, run)?,
        Record::Claimed { run, upto, at } => {
            let sql = "UPDATE run SET claimed = ?2, started = coalesce(started, ?3) WHERE key = ?1";
            known(run.0, transaction.prepare_cached(sql)?.execute(params![run.0, upto, micros(*at)])?)?;
        }
        Record::Retried { run, index, attempt } => {
            let sql = "UPDATE partial SET retried = ?3 WHERE run = ?1 AND idx = ?2";
            known(run.0, transaction.prepare_cached(sql)?.execute(params![run.0, index, attempt])?)?;
        }
        Record::Partial(partial) => record_partial(transaction, partial)?,
        Record::Finished(summary) => finish(transaction, summary)?,
    }
    Ok(())
}

fn fire(transaction: &Transaction<'_>, node: &str, run: &RunInfo) -> Result<(), Refusal> {
    let sql = "INSERT INTO run (key, id, job, cause, nominal, zone, fired, targets, partials, node)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let targets = targets_json(&run.targets);
    let zone = &*run.job.timetable.zone.name;
    let (nominal, fired) = (micros(run.nominal), micros(run.fired));
    let row = params![run.key.0, &*run.id.0, &*run.job.name, run.cause.name(), nominal, zone, fired, targets, run.targets.partials(), node];
    match transaction.prepare_cached(sql)?.execute(row) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(Refusal::Store(StoreError::Exists(run.id.clone())))
        }
        result => Ok(drop(result?)),
    }
}

fn record_partial(transaction: &Transaction<'_>, partial: &PartialRecord) -> Result<(), Refusal> {
    let sql = "INSERT OR REPLACE INTO partial
                   (run, idx, target, outcome, attempt, retry, started, ended, duration, exit_code, signal, result, error)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let target = partial.target.as_ref().and_then(|target| serde_json::to_string(&target.value).ok());
    let row = params![
        partial.run.0,
        partial.index,
        target,
        partial.outcome.name(),
        partial.attempt,
        partial.retry.map(micros),
        micros(partial.started),
        micros(partial.ended),
        duration_micros(partial.duration),
        partial.exit_code,
        partial.signal,
        partial.result.as_ref().map(|result| result.get()),
        partial.error.as_deref(),
    ];
    transaction.prepare_cached(sql)?.execute(row)?;
    keep_output(transaction, partial.run.0, i64::from(partial.index), partial.attempt, partial.output.as_ref())
}

fn finish(transaction: &Transaction<'_>, summary: &RunSummary) -> Result<(), Refusal> {
    let sql = "UPDATE run SET ended = ?2, outcome = ?3, succeeded = ?4, failed = ?5, cancelled = ?6, reason = ?7, result = ?8
               WHERE key = ?1 AND ended IS NULL";
    let RunSummary { run, outcome, ended, succeeded, failed, cancelled, reason, result, output } = summary;
    let result = result.as_ref().map(|result| result.get());
    let row = params![run.0, micros(*ended), outcome.name(), succeeded, failed, cancelled, reason.as_deref(), result];
    known(run.0, transaction.prepare_cached(sql)?.execute(row)?)?;
    // Attempts that will not follow any more.
    let sql = "UPDATE partial SET retry = NULL WHERE run = ?1 AND retry IS NOT NULL";
    if *failed > 0 {
        transaction.prepare_cached(sql)?.execute([run.0])?;
    }
    keep_output(transaction, run.0, GATHER_INDEX, 1, output.as_ref())
}

fn keep_output(transaction: &Transaction<'_>, run: i64, index: i64, attempt: u32, output: Option<&CapturedOutput>) -> Result<(), Refusal> {
    let Some(CapturedOutput { head, tail, cut }) = output.filter(|output| !output.head.is_empty()) else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO output (run, idx, attempt, head, tail, cut) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(sql)?.execute(params![run, index, attempt, head, tail, cut.cast_signed()])?;
    Ok(())
}

fn known(run: i64, rows: usize) -> Result<(), Refusal> {
    if rows == 0 { Err(Refusal::Store(StoreError::UnknownRun(run))) } else { Ok(()) }
}

/// `NULL` for none, `[0, 5]` for a range, `{"list": [...]}` for a list.
fn targets_json(targets: &Targets) -> Option<String> {
    match targets {
        Targets::None => None,
        Targets::Range { start, end } => Some(format!("[{start},{end}]")),
        Targets::List(list) => serde_json::to_string(&serde_json::json!({ "list": list })).ok(),
    }
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
