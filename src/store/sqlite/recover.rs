//! Rows into what a restart takes up again.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::Deserialize;

use crate::config::{Target, Targets};
use crate::engine::{Cause, Outcome, RecoveredJob, RecoveredRun, Recovery, RunId, RunKey};

pub(super) fn recover(connection: &Connection, node: &str) -> rusqlite::Result<Recovery> {
    let last_key = connection.query_row("SELECT coalesce(max(key), 0) FROM run", [], |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT name, watermark, schedule_fingerprint, boot_id FROM job")?;
    let jobs = statement.query_map([], job)?.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT key, id, job, cause, nominal, fired, targets, claimed FROM run WHERE node = ?1 AND ended IS NULL ORDER BY key";
    let mut statement = connection.prepare(sql)?;
    let mut runs = statement.query_map([node], run)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for run in &mut runs {
        read_partials(connection, run)?;
    }
    Ok(Recovery { jobs, runs, last_key })
}

fn job(row: &Row<'_>) -> rusqlite::Result<RecoveredJob> {
    Ok(RecoveredJob {
        name: row.get::<_, String>(0)?.into(),
        watermark: instant(row, 1)?,
        schedule_fingerprint: row.get::<_, i64>(2)?.cast_unsigned(),
        boot_id: row.get::<_, Option<String>>(3)?.map(Into::into),
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<RecoveredRun> {
    Ok(RecoveredRun {
        key: RunKey(row.get(0)?),
        id: RunId(row.get::<_, String>(1)?.into()),
        job: row.get::<_, String>(2)?.into(),
        cause: named(row, 3, Cause::from_name)?,
        nominal: instant(row, 4)?,
        fired: instant(row, 5)?,
        targets: targets(row, 6)?,
        claimed: row.get(7)?,
        ended: Vec::new(),
        retrying: Vec::new(),
        retried: Vec::new(),
    })
}

fn read_partials(connection: &Connection, run: &mut RecoveredRun) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT idx, outcome, attempt, retry IS NOT NULL, retried FROM partial WHERE run = ?1 ORDER BY idx")?;
    let mut rows = statement.query([run.key.0])?;
    while let Some(row) = rows.next()? {
        let (index, attempt) = (row.get(0)?, row.get(2)?);
        if let Some(attempt) = row.get(4)? {
            run.retried.push((index, attempt));
        } else if row.get(3)? {
            run.retrying.push((index, attempt));
        } else {
            run.ended.push((index, named(row, 1, Outcome::from_name)?, attempt));
        }
    }
    Ok(())
}

/// The inverse of what `append` writes.
fn targets(row: &Row<'_>, column: usize) -> rusqlite::Result<Targets> {
    #[derive(Deserialize)]
    struct List {
        list: Arc<[Target]>,
    }
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(Targets::None) };
    let parsed = if text.starts_with('[') {
        serde_json::from_str(&text).map(|(start, end)| Targets::Range { start, end })
    } else {
        serde_json::from_str::<List>(&text).map(|list| Targets::List(list.list))
    };
    parsed.map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

pub(in crate::store) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(column)?;
    Timestamp::from_microsecond(micros).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, micros))
}

pub(in crate::store) fn named<T>(row: &Row<'_>, column: usize, from_name: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name: String = row.get(column)?;
    from_name(&name).ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("unknown name `{name}`").into()))
}
