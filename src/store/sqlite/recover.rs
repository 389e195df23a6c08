//! What a restart reads back.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Result, Row};

use super::{streak, values};
use crate::config::JobName;
use crate::engine::{Cause, Outcome, RecoveredJob, RecoveredRun, Recovery, RunId, RunKey, Standing};

pub(super) fn recover(connection: &Connection, node: &str) -> Result<Recovery> {
    let mut recovery = Recovery {
        jobs: jobs(connection)?,
        runs: live_runs(connection, node)?,
        joined: joined(connection)?,
        last_key: last_key(connection)?,
    };
    for run in &mut recovery.runs {
        read_partials(connection, run)?;
    }
    Ok(recovery)
}

fn jobs(connection: &Connection) -> Result<Vec<RecoveredJob>> {
    let mut statement = connection.prepare(
        "SELECT name, watermark, fingerprint, boot_id, repeats_until, repeat,
            EXISTS (SELECT 1 FROM accounting WHERE job = name AND upto IS NULL), paused, failures, heard
         FROM job ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(RecoveredJob {
            name: row.get::<_, Arc<str>>(0)?,
            watermark: values::time(row, 1)?,
            fingerprint: row.get::<_, i64>(2)?.cast_unsigned(),
            boot_id: row.get(3)?,
            repeat: values::repeat(row, 4)?,
            accounting: row.get(6)?,
            paused: row.get(7)?,
            standing: values::optional_time(row, 9)?
                .map(|heard| Ok::<_, rusqlite::Error>(Standing { failures: row.get(8)?, heard }))
                .transpose()?,
        })
    })?;
    rows.collect()
}

fn joined(connection: &Connection) -> Result<Vec<(JobName, Timestamp, JobName)>> {
    let mut statement = connection.prepare("SELECT job, nominal, succeeded FROM joined ORDER BY job, nominal, succeeded")?;
    statement.query_map([], |row| Ok((row.get(0)?, values::time(row, 1)?, row.get(2)?)))?.collect()
}

fn live_runs(connection: &Connection, node: &str) -> Result<Vec<RecoveredRun>> {
    let mut statement = connection.prepare(
        "SELECT key, id, job, cause, nominal, fired, targets, claimed, args FROM run WHERE node = ?1 AND ended IS NULL ORDER BY key",
    )?;
    statement.query_map([node], live_run)?.collect()
}

fn live_run(row: &Row<'_>) -> Result<RecoveredRun> {
    Ok(RecoveredRun {
        key: RunKey(row.get(0)?),
        id: RunId(row.get(1)?),
        job: row.get(2)?,
        cause: values::named(row, 3, Cause::from_name)?,
        nominal: values::time(row, 4)?,
        fired: values::time(row, 5)?,
        targets: values::targets(row, 6)?,
        args: values::args(row, 8)?.into(),
        claimed: row.get(7)?,
        ended: Vec::new(),
        retrying: Vec::new(),
        retried: Vec::new(),
    })
}

fn read_partials(connection: &Connection, run: &mut RecoveredRun) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT idx, coalesce(outcome, retrying), attempt, retried, outcome IS NULL FROM partial WHERE run = ?1 ORDER BY idx",
    )?;
    let mut rows = statement.query([run.key.0])?;
    while let Some(row) = rows.next()? {
        let (index, outcome, attempt) = (row.get(0)?, values::named(row, 1, Outcome::from_name)?, row.get(2)?);
        match (row.get(3)?, row.get(4)?) {
            (Some(retried), _) => run.retried.push((index, retried)),
            (None, false) => push(&mut run.ended, (index..index + 1, outcome, attempt)),
            (None, true) => run.retrying.push((index, outcome, attempt)),
        }
    }
    let streaks = streak::places(connection, run.key)?;
    if !streaks.is_empty() {
        let mut all = mem::take(&mut run.ended);
        all.extend(streaks.into_iter().map(|indexes| (indexes, Outcome::Succeeded, 1)));
        all.sort_unstable_by_key(|(indexes, ..)| indexes.start);
        for alike in all {
            push(&mut run.ended, alike);
        }
    }
    Ok(())
}

/// Partials that ended alike: the outcome, and the number of the last attempt.
type Alike = (Range<u32>, Outcome, u32);

/// Joins them to those before, where they are neighbours that ended alike.
fn push(ended: &mut Vec<Alike>, (indexes, outcome, attempt): Alike) {
    match ended.last_mut() {
        Some((before, alike, last)) if before.end == indexes.start && (*alike, *last) == (outcome, attempt) => before.end = indexes.end,
        _ => ended.push((indexes, outcome, attempt)),
    }
}

/// The greatest key of all nodes. Keys are close to the time in microseconds, so two nodes do not meet.
fn last_key(connection: &Connection) -> Result<i64> {
    connection.query_row("SELECT coalesce(max(key), 0) FROM run", [], |row| row.get(0))
}
