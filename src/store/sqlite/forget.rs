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

/// Bytes of captured output that one step cuts.
const STEP_OUTPUT: i64 = 16 << 20;

/// `SQLite` numbers them as they come.
const OLDEST_OUTPUTS: &str = "SELECT rowid, length(head) + length(tail) FROM output WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
const CUT_OUTPUTS: &str = "
    UPDATE output SET cut = cut + length(head) + length(tail), head = x'', tail = x''
    WHERE rowid > ?1 AND rowid <= ?2 AND length(head) + length(tail) > 0";

/// What a step came to.
pub(super) struct Step {
    /// Whether there may be more.
    pub(super) more: bool,
    /// Bytes of captured output that are left.
    pub(super) captured: u64,
}

/// One step. `fired`: the jobs that have got runs since their number was looked at.
pub(super) fn step(
    connection: &mut Connection,
    node: &str,
    epoch: Epoch,
    retention: &Retention,
    fired: &mut BTreeSet<String>,
) -> Result<Step, Refusal> {
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
    let captured = captured(&transaction)?;
    let over = captured - i64::try_from(retention.output).unwrap_or(i64::MAX);
    let more = more || over > 0 && cut_output(&transaction, over)?;
    let step = Step { more, captured: self::captured(&transaction)?.unsigned_abs() };
    transaction.commit()?;
    Ok(step)
}

fn captured(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT bytes FROM captured")?.query_row([], |row| row.get(0))
}

/// Cuts outputs to nothing, the oldest first, `over` bytes in all or as many as one step may: the rows stay, and say how much
/// they have lost. Whether there may be more to cut.
fn cut_output(connection: &Connection, over: i64) -> rusqlite::Result<bool> {
    let (captured, begin): (i64, i64) =
        connection.query_row("SELECT bytes, cut_upto FROM captured", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (mut bytes, mut upto, most) = (0, begin, over.min(STEP_OUTPUT));
    let mut statement = connection.prepare_cached(OLDEST_OUTPUTS)?;
    let mut rows = statement.query(params![begin, STEP])?;
    while bytes < most
        && let Some(row) = rows.next()?
    {
        (bytes, upto) = (bytes + row.get::<_, i64>(1)?, row.get(0)?);
    }
    drop(rows);
    connection.prepare_cached(CUT_OUTPUTS)?.execute([begin, upto])?;
    // Nothing came after: what is left has been passed, because `SQLite` uses numbers again, or there is none at all.
    let (left, next) = match upto == begin {
        true if begin == 0 => (0, 0),
        true => (captured, 0),
        false => (captured - bytes, upto),
    };
    connection.execute("UPDATE captured SET bytes = max(0, ?1), cut_upto = ?2", [left, next])?;
    Ok(bytes < over && left > 0)
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
    if forget_outputs(connection, run)? == STEP as usize {
        return Ok(());
    }
    let partials = "DELETE FROM partial WHERE run = ?1 AND idx IN (SELECT idx FROM partial WHERE run = ?1 LIMIT ?2)";
    let planned = "DELETE FROM planned WHERE run = ?1 AND idx IN (SELECT idx FROM planned WHERE run = ?1 LIMIT ?2)";
    for rows in [partials, planned] {
        if connection.prepare_cached(rows)?.execute(params![run, STEP])? == STEP as usize {
            return Ok(());
        }
    }
    connection.prepare_cached("DELETE FROM run WHERE key = ?1")?.execute([run])?;
    Ok(())
}

/// How many rows went.
fn forget_outputs(connection: &Connection, run: i64) -> rusqlite::Result<usize> {
    let outputs = "DELETE FROM output WHERE run = ?1 AND (idx, attempt) IN (SELECT idx, attempt FROM output WHERE run = ?1 LIMIT ?2)
                   RETURNING length(head) + length(tail)";
    let mut statement = connection.prepare_cached(outputs)?;
    let lengths: Vec<i64> = statement.query_map(params![run, STEP], |row| row.get(0))?.collect::<Result<_, _>>()?;
    connection.execute("UPDATE captured SET bytes = max(0, bytes - ?1)", [lengths.iter().sum::<i64>()])?;
    Ok(lengths.len())
}

/// The oldest decisions, and accountings that have none any more.
fn forget_decisions(connection: &Connection, retention: &Retention) -> rusqlite::Result<bool> {
    let before = values::micros(retention.before);
    let decisions = "DELETE FROM decision WHERE at < ?1 AND rowid IN (SELECT rowid FROM decision ORDER BY rowid LIMIT ?2)";
    let gone = connection.prepare_cached(decisions)?.execute(params![before, STEP])?;
    let told =
        "DELETE FROM outbox WHERE key IN (SELECT key FROM outbox INDEXED BY outbox_ended WHERE ended IS NOT NULL AND ended < ?1 LIMIT ?2)";
    let told = connection.prepare_cached(told)?.execute(params![before, STEP])?;
    if gone == 0 {
        return Ok(told == STEP as usize);
    }
    if connection.execute("UPDATE pruned SET before = max(before, ?1)", [before])? == 0 {
        connection.execute("INSERT INTO pruned (before) VALUES (?1)", [before])?;
    }
    connection.execute("DELETE FROM accounting WHERE upto < ?1", [before])?;
    Ok(gone == STEP as usize)
}
