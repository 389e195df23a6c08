//! What is not kept goes, a little at a time: a run with a million partials takes a thousand steps, between which records are
//! written as ever.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::append::{Refusal, refuse_fenced};
use super::values;
use crate::store::{Epoch, Retention};

/// Rows that one step deletes from a table, at most.
const STEP: u32 = 1_000;

/// A run that is older than is kept.
const TOO_OLD: &str = "SELECT key FROM run WHERE fired < ?1 AND ended IS NOT NULL ORDER BY fired LIMIT 1";

/// A run of the job beyond the number that is kept.
const TOO_MANY: &str = "
    SELECT key FROM run WHERE ended IS NOT NULL AND key =
        (SELECT key FROM run WHERE job = ?1 ORDER BY fired DESC, key DESC LIMIT 1 OFFSET ?2)";

/// One step; whether there may be more. `fired`: the jobs that have got runs since their number was looked at.
pub(super) fn step(
    connection: &mut Connection,
    node: &str,
    epoch: Epoch,
    retention: &Retention,
    fired: &mut BTreeSet<String>,
) -> Result<bool, Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_fenced(&transaction, node, epoch)?;
    let run = match too_old(&transaction, retention)? {
        Some(run) => Some(run),
        None => too_many(&transaction, retention, fired)?,
    };
    let more = match run {
        Some(run) => forget_run(&transaction, run).map(|()| true),
        None => forget_decisions(&transaction, retention),
    }?;
    transaction.commit()?;
    Ok(more)
}

fn too_old(connection: &Connection, retention: &Retention) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(TOO_OLD)?.query_row([values::micros(retention.before)], |row| row.get(0)).optional()
}

fn too_many(connection: &Connection, retention: &Retention, fired: &mut BTreeSet<String>) -> rusqlite::Result<Option<i64>> {
    while let Some(job) = fired.first() {
        let found = connection.prepare_cached(TOO_MANY)?.query_row(params![job, retention.runs], |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
        fired.pop_first();
    }
    Ok(None)
}

/// Its outputs and partials first; with the last of them the run itself.
fn forget_run(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    let outputs = "DELETE FROM output WHERE run = ?1 AND (idx, attempt) IN (SELECT idx, attempt FROM output WHERE run = ?1 LIMIT ?2)";
    let partials = "DELETE FROM partial WHERE run = ?1 AND idx IN (SELECT idx FROM partial WHERE run = ?1 LIMIT ?2)";
    for rows in [outputs, partials] {
        if connection.prepare_cached(rows)?.execute(params![run, STEP])? == STEP as usize {
            return Ok(());
        }
    }
    connection.prepare_cached("DELETE FROM run WHERE key = ?1")?.execute([run])?;
    Ok(())
}

/// The oldest decisions, and accountings that have none any more.
fn forget_decisions(connection: &Connection, retention: &Retention) -> rusqlite::Result<bool> {
    let before = values::micros(retention.before);
    let decisions = "DELETE FROM decision WHERE at < ?1 AND rowid IN (SELECT rowid FROM decision ORDER BY rowid LIMIT ?2)";
    let gone = connection.prepare_cached(decisions)?.execute(params![before, STEP])?;
    if gone == 0 {
        return Ok(false);
    }
    if connection.execute("UPDATE pruned SET before = max(before, ?1)", [before])? == 0 {
        connection.execute("INSERT INTO pruned (before) VALUES (?1)", [before])?;
    }
    connection.execute("DELETE FROM accounting WHERE upto < ?1", [before])?;
    Ok(gone == STEP as usize)
}
