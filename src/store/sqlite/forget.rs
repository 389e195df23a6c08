//! What is not kept goes, a little at a time: a run with a million partials takes a thousand steps, between which records are
//! written as ever.

use std::collections::BTreeSet;

use rusqlite::{Connection, TransactionBehavior, params};

use super::append::{Refusal, refuse_fenced};
use super::values;
use crate::store::{Epoch, Retention};

/// Rows that one step deletes, about.
const STEP: u32 = 1_000;

/// A row of many partials is as large as so many others, and one of many targets.
const STREAK_ROWS: u32 = 32;
const LISTED_ROWS: u32 = 8;

/// Bytes of captured output that one step cuts or deletes, about.
const STEP_OUTPUT: i64 = 16 << 20;

/// Jobs that one step counts the runs of.
const STEP_JOBS: usize = 16;

/// Runs that are older than is kept, the oldest first.
const TOO_OLD: &str = "SELECT key FROM run WHERE fired < ?1 AND ended IS NOT NULL ORDER BY fired LIMIT ?2";

/// Runs of the job beyond the number that is kept, the oldest first.
const TOO_MANY: &str = "
    SELECT key FROM run WHERE job = ?1 AND ended IS NOT NULL
        AND (fired, key) <= (SELECT fired, key FROM run WHERE job = ?1 ORDER BY fired DESC, key DESC LIMIT 1 OFFSET ?2)
    ORDER BY fired, key LIMIT ?3";

/// `SQLite` numbers them as they come.
const OLDEST_OUTPUTS: &str = "SELECT rowid, length(head) + length(tail) FROM output WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
const CUT_OUTPUTS: &str = "
    UPDATE output SET cut = cut + length(head) + length(tail), head = x'', tail = x''
    WHERE rowid > ?1 AND rowid <= ?2 AND length(head) + length(tail) > 0";

const PARTIALS: &str = "DELETE FROM partial WHERE run = ?1 AND idx IN (SELECT idx FROM partial WHERE run = ?1 LIMIT ?2)";
const PLANNED: &str = "DELETE FROM planned WHERE run = ?1 AND idx IN (SELECT idx FROM planned WHERE run = ?1 LIMIT ?2)";
const STREAKS: &str = "DELETE FROM streak WHERE run = ?1 AND first IN (SELECT first FROM streak WHERE run = ?1 LIMIT ?2)";
const LISTED: &str = "DELETE FROM listed WHERE run = ?1 AND first IN (SELECT first FROM listed WHERE run = ?1 LIMIT ?2)";

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
    let (mut left, mut more) = (Left { rows: STEP, bytes: STEP_OUTPUT }, true);
    let runs = doomed(&transaction, retention, fired)?;
    for run in &runs {
        if left.is_nothing() {
            break;
        }
        forget_run(&transaction, *run, &mut left)?;
    }
    if runs.is_empty() && fired.is_empty() {
        more = forget_decisions(&transaction, retention)?;
    }
    let captured = captured(&transaction)?;
    let over = captured - i64::try_from(retention.output).unwrap_or(i64::MAX);
    let more = more || over > 0 && cut_output(&transaction, over)?;
    let step = Step { more, captured: self::captured(&transaction)?.unsigned_abs() };
    transaction.commit()?;
    Ok(step)
}

/// What the step may still delete.
struct Left {
    rows: u32,
    bytes: i64,
}

impl Left {
    fn take(&mut self, rows: usize, bytes: i64) {
        self.rows = self.rows.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
        self.bytes -= bytes;
    }

    fn is_nothing(&self) -> bool {
        self.rows == 0 || self.bytes <= 0
    }
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

/// Runs that are not kept, as many as one step can delete. Of jobs that are in `fired` after that more may be found.
fn doomed(connection: &Connection, retention: &Retention, fired: &mut BTreeSet<String>) -> rusqlite::Result<Vec<i64>> {
    let mut too_old = connection.prepare_cached(TOO_OLD)?;
    let old: Vec<i64> = too_old.query_map(params![values::micros(retention.before), STEP], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if !old.is_empty() {
        return Ok(old);
    }
    let mut too_many = connection.prepare_cached(TOO_MANY)?;
    for _ in 0..STEP_JOBS {
        let Some(job) = fired.first() else { break };
        let many: Vec<i64> = too_many.query_map(params![job, retention.runs, STEP], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if !many.is_empty() {
            return Ok(many);
        }
        fired.pop_first();
    }
    Ok(Vec::new())
}

/// Its outputs and partials first, as many as may go; with the last of them the run itself.
fn forget_run(connection: &Connection, run: i64, left: &mut Left) -> rusqlite::Result<()> {
    forget_outputs(connection, run, left)?;
    if left.is_nothing() {
        return Ok(());
    }
    // That of the first partial tells a run that is whole from one that is being forgotten.
    for first in ["DELETE FROM partial WHERE run = ?1 AND idx = 0", "DELETE FROM streak WHERE run = ?1 AND first = 0"] {
        connection.prepare_cached(first)?.execute([run])?;
    }
    for (rows, weight) in [(PARTIALS, 1), (PLANNED, 1), (STREAKS, STREAK_ROWS), (LISTED, LISTED_ROWS)] {
        let gone = connection.prepare_cached(rows)?.execute(params![run, left.rows.div_ceil(weight)])?;
        left.take(gone * weight as usize, 0);
    }
    if !left.is_nothing() {
        left.take(connection.prepare_cached("DELETE FROM run WHERE key = ?1")?.execute([run])?, 0);
    }
    Ok(())
}

fn forget_outputs(connection: &Connection, run: i64, left: &mut Left) -> rusqlite::Result<()> {
    let mut outputs = connection.prepare_cached("SELECT rowid, length(head) + length(tail) FROM output WHERE run = ?1 LIMIT ?2")?;
    let outputs: Vec<(i64, i64)> =
        outputs.query_map(params![run, left.rows], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut gone = 0;
    for (output, length) in outputs {
        if left.is_nothing() {
            break;
        }
        connection.prepare_cached("DELETE FROM output WHERE rowid = ?1")?.execute([output])?;
        left.take(1, length);
        gone += length;
    }
    connection.prepare_cached("UPDATE captured SET bytes = max(0, bytes - ?1)")?.execute([gone])?;
    Ok(())
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
