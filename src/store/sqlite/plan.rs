//! The plan of a run whose targets come from elsewhere: a row a target, its key unique in the run.
//!
//! Every reading has a number, and each row that of the reading which listed it last. So one statement compares a list of any
//! length with the one on record: what a reading leaves with an older number is listed no more.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, ffi, params};

use super::append::{Refusal, is_violation, refuse_fenced};
use super::{Reader, values};
use crate::config::{Target, TargetValue};
use crate::engine::{Indexes, RunKey};
use crate::store::{Epoch, PlanAnswer, PlanStep, StoreError};

/// Rows that one step clears away, at most.
const STEP: u32 = 1_000;

const CLEAR: &str = "
    DELETE FROM planned WHERE run = ?1 AND idx IN (
        SELECT idx FROM planned WHERE run = ?1 AND idx >= (SELECT partials FROM run WHERE key = ?1) LIMIT ?2)";

const LIST: &str = "INSERT INTO planned (run, idx, key, target, listing) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Gives the place back, an older one where the target was on record; nothing where this reading has listed it already.
const KEEP: &str = "
    INSERT INTO planned (run, idx, key, target, listing) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (run, key) DO UPDATE SET target = excluded.target, listing = excluded.listing WHERE listing <> excluded.listing
    RETURNING idx";

const REFRESH: &str = "UPDATE planned SET target = ?3, listing = ?4 WHERE run = ?1 AND key = ?2";

pub(super) fn step(connection: &mut Connection, node: &str, epoch: Epoch, step: &PlanStep) -> Result<PlanAnswer, Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_fenced(&transaction, node, epoch)?;
    let answer = match step {
        PlanStep::Begin { run } => begin(&transaction, *run),
        PlanStep::List { run, listing, next, targets } => list(&transaction, *run, *listing, *next, targets),
        PlanStep::Keep { run, listing, next, grows: true, targets } => keep(&transaction, *run, *listing, *next, targets),
        PlanStep::Keep { run, listing, next, grows: false, targets } => refresh(&transaction, *run, *listing, *next, targets),
    }?;
    if !matches!(answer, PlanAnswer::Duplicate { .. }) {
        transaction.commit()?;
    }
    Ok(answer)
}

fn begin(transaction: &Transaction<'_>, run: RunKey) -> Result<PlanAnswer, Refusal> {
    if transaction.prepare_cached(CLEAR)?.execute(params![run.0, STEP])? == STEP as usize {
        return Ok(PlanAnswer::Clearing);
    }
    let begun = "UPDATE run SET listing = listing + 1 WHERE key = ?1 AND ended IS NULL RETURNING listing, partials";
    let begun = transaction.prepare_cached(begun)?.query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (listing, recorded) = begun.ok_or(Refusal::Record(StoreError::UnknownRun { run }))?;
    Ok(PlanAnswer::Begun { listing, recorded })
}

fn list(transaction: &Transaction<'_>, run: RunKey, listing: i64, next: u32, targets: &[Target]) -> Result<PlanAnswer, Refusal> {
    let mut statement = transaction.prepare_cached(LIST)?;
    let mut place = next;
    for (position, target) in targets.iter().enumerate() {
        match statement.execute(params![run.0, place, &*target.key, value_text(target)?, listing]) {
            Err(error) if is_violation(&error, ffi::SQLITE_CONSTRAINT_UNIQUE) => return duplicate(transaction, run, target, position),
            inserted => drop(inserted?),
        }
        place += 1;
    }
    Ok(PlanAnswer::Kept { next: place })
}

fn duplicate(transaction: &Transaction<'_>, run: RunKey, target: &Target, position: usize) -> Result<PlanAnswer, Refusal> {
    let first = "SELECT idx FROM planned WHERE run = ?1 AND key = ?2";
    let first = transaction.prepare_cached(first)?.query_row(params![run.0, &*target.key], |row| row.get(0))?;
    Ok(PlanAnswer::Duplicate { position, first })
}

fn keep(transaction: &Transaction<'_>, run: RunKey, listing: i64, mut next: u32, targets: &[Target]) -> Result<PlanAnswer, Refusal> {
    let mut statement = transaction.prepare_cached(KEEP)?;
    for (position, target) in targets.iter().enumerate() {
        let columns = params![run.0, next, &*target.key, value_text(target)?, listing];
        let place: Option<u32> = statement.query_row(columns, |row| row.get(0)).optional()?;
        let Some(place) = place else { return duplicate(transaction, run, target, position) };
        next += u32::from(place == next);
    }
    Ok(PlanAnswer::Kept { next })
}

fn refresh(transaction: &Transaction<'_>, run: RunKey, listing: i64, next: u32, targets: &[Target]) -> Result<PlanAnswer, Refusal> {
    let mut statement = transaction.prepare_cached(REFRESH)?;
    for target in targets {
        statement.execute(params![run.0, &*target.key, value_text(target)?, listing])?;
    }
    Ok(PlanAnswer::Kept { next })
}

/// The `target` column: null for a text that is its own key.
fn value_text(target: &Target) -> Result<Option<String>, Refusal> {
    match &target.value {
        TargetValue::Text(text) if *text == target.key => Ok(None),
        value => Ok(Some(values::json_text(value)?)),
    }
}

impl Reader {
    /// The planned targets of a run with the places from `from` up to but not including `upto`, in order.
    pub fn planned(&self, run: RunKey, from: u32, upto: u32) -> Result<Vec<(u32, Target)>, StoreError> {
        let sql = "SELECT idx, key, target FROM planned WHERE run = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx";
        self.all(sql, params![run.0, from, upto], |row| Ok((row.get(0)?, values::planned_target(row, 1)?)))
    }

    /// The planned targets of a run that its latest reading did not list.
    pub fn unlisted(&self, run: RunKey, listing: i64) -> Result<Indexes, StoreError> {
        let mut unlisted = Indexes::default();
        let sql = "SELECT idx FROM planned WHERE run = ?1 AND listing <> ?2 ORDER BY idx";
        self.all(sql, params![run.0, listing], |row| {
            unlisted.insert(row.get(0)?);
            Ok(())
        })?;
        Ok(unlisted)
    }
}
