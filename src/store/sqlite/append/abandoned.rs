//! The ends of runs whose process has died, and that nobody takes up again.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::super::values;
use super::{END_RETRYING, Refusal, refuse_fenced};
use crate::engine::{RunId, RunOutcome};
use crate::store::Epoch;

/// What was claimed and not recorded is lost, what waited for another attempt has failed, the rest was never started.
const END_ABANDONED: &str = "
    WITH open AS (
        SELECT key,
            max(0, claimed - (SELECT count(*) FROM partial WHERE run = key AND idx < claimed)
                - (SELECT coalesce(sum(count), 0) FROM streak WHERE run = key))
            + (SELECT count(*) FROM partial INDEXED BY partial_not_succeeded
               WHERE run = key AND outcome IS NOT 'succeeded' AND outcome IS NULL) AS unfinished
        FROM run WHERE node = ?1 AND ended IS NULL
    )
    UPDATE run SET ended = max(fired, ?2), outcome = ?3, reason = 'its process has died', failed = failed + unfinished,
        cancelled = max(0, partials - succeeded - failed - unfinished)
    FROM open WHERE run.key = open.key RETURNING run.key, id";

/// End the unfinished runs of dead nodes as interrupted. What was not recorded of them never will be.
pub(in crate::store::sqlite) fn finish_abandoned(
    connection: &mut Connection,
    node: &str,
    epoch: Epoch,
    at: Timestamp,
    is_alive: &dyn Fn(u32, &str) -> bool,
) -> Result<Vec<RunId>, Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_fenced(&transaction, node, epoch)?;
    let mut finished = Vec::new();
    for other in dead_nodes(&transaction, node, is_alive)? {
        let mut statement = transaction.prepare_cached(END_ABANDONED)?;
        let mut rows = statement.query(params![other, values::micros(at), RunOutcome::Interrupted.name()])?;
        while let Some(row) = rows.next()? {
            transaction.prepare_cached(END_RETRYING)?.execute([row.get::<_, i64>(0)?])?;
            finished.push(RunId(row.get(1)?));
        }
    }
    transaction.commit()?;
    Ok(finished)
}

fn dead_nodes(transaction: &Transaction<'_>, node: &str, is_alive: &dyn Fn(u32, &str) -> bool) -> Result<Vec<String>, Refusal> {
    let mut statement = transaction.prepare_cached(
        "SELECT name, pid, boot_id FROM node
         WHERE name <> ?1 AND name IN (SELECT node FROM run WHERE ended IS NULL) ORDER BY name",
    )?;
    let mut rows = statement.query([node])?;
    let mut dead = Vec::new();
    while let Some(row) = rows.next()? {
        if !is_alive(row.get(1)?, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?) {
            dead.push(row.get(0)?);
        }
    }
    Ok(dead)
}
