//! The plan of a run whose targets come from elsewhere. What a first reading lists stands side by side (`listed.rs`); before a further
//! one compares, each target gets a row, its key unique in the run.
//!
//! Every reading has a number, and each row that of the reading which listed it last. So one statement compares a list of any
//! length with the one on record: what a reading leaves with an older number is listed no more.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::append::{Refusal, refuse_fenced};
use super::listed::{Listed, PackedTargets, PlannedTargets};
use super::{Reader, fault, values};
use crate::config::{Target, TargetValue};
use crate::engine::{Indexes, RunKey};
use crate::store::{Epoch, PlanAnswer, PlanStep, StoreError};

/// Rows that one step clears away, at most.
const STEP: u32 = 1_000;

/// Rows of many targets that one step clears away or unpacks, at most: some 4,000 targets.
const STEP_LISTED: u32 = 8;

/// The number of a reading before all others.
const EARLIER: i64 = 0;

const CLEAR: &str = "
    DELETE FROM planned WHERE run = ?1 AND idx IN (
        SELECT idx FROM planned WHERE run = ?1 AND idx >= (SELECT partials FROM run WHERE key = ?1) LIMIT ?2)";

const CLEAR_LISTED: &str = "
    DELETE FROM listed WHERE run = ?1 AND first IN (
        SELECT first FROM listed WHERE run = ?1 AND first >= (SELECT partials FROM run WHERE key = ?1) LIMIT ?2)";

const OLDEST_LISTED: &str = "SELECT first, targets FROM listed WHERE run = ?1 ORDER BY first LIMIT ?2";

const UNPACK: &str = "INSERT INTO planned (run, idx, key, target, listing) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Changes nothing where the key is on record. Two statements and their counts of changes: one with `RETURNING`, which makes a table of its
/// own for each row, takes several times as long.
const JOIN: &str = "INSERT INTO planned (run, idx, key, target, listing) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (run, key) DO NOTHING";

/// Changes nothing where this reading has listed it already.
const KEEP: &str = "UPDATE planned SET target = ?3, listing = ?4 WHERE run = ?1 AND key = ?2 AND listing <> ?4";

const REFRESH: &str = "UPDATE planned SET target = ?3, listing = ?4 WHERE run = ?1 AND key = ?2";

pub(super) fn step(connection: &mut Connection, node: &str, epoch: Epoch, step: &PlanStep) -> Result<PlanAnswer, Refusal> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_fenced(&transaction, node, epoch)?;
    let answer = match step {
        PlanStep::Begin { run } => begin(&transaction, *run),
        PlanStep::List { run, next, targets } => list(&transaction, *run, *next, targets),
        PlanStep::Unpack { run, listing } => {
            unpack(&transaction, *run, *listing).map(|more| if more { PlanAnswer::More } else { PlanAnswer::Unpacked })
        }
        PlanStep::Keep { run, listing, next, grows: true, targets } => keep(&transaction, *run, *listing, *next, targets),
        PlanStep::Keep { run, listing, next, grows: false, targets } => refresh(&transaction, *run, *listing, *next, targets),
    }?;
    if !matches!(answer, PlanAnswer::Duplicate { .. }) {
        transaction.commit()?;
    }
    Ok(answer)
}

fn begin(transaction: &Transaction<'_>, run: RunKey) -> Result<PlanAnswer, Refusal> {
    let clear = |rows, most: u32| Ok::<_, Refusal>(transaction.prepare_cached(rows)?.execute(params![run.0, most])? == most as usize);
    if clear(CLEAR, STEP)? || clear(CLEAR_LISTED, STEP_LISTED)? || unpack(transaction, run, EARLIER)? {
        return Ok(PlanAnswer::More);
    }
    let begun = "UPDATE run SET listing = listing + 1 WHERE key = ?1 AND ended IS NULL RETURNING listing, partials";
    let begun = transaction.prepare_cached(begun)?.query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (listing, recorded) = begun.ok_or(Refusal::Record(StoreError::UnknownRun { run }))?;
    Ok(PlanAnswer::Begun { listing, recorded })
}

fn list(transaction: &Transaction<'_>, run: RunKey, next: u32, targets: &PackedTargets) -> Result<PlanAnswer, Refusal> {
    targets.insert(transaction, run, next)?;
    Ok(PlanAnswer::Kept { next: next.saturating_add(targets.count()) })
}

/// Gives the targets of some rows of `listed` a row each; whether there may be more.
fn unpack(transaction: &Transaction<'_>, run: RunKey, listing: i64) -> Result<bool, Refusal> {
    let mut oldest = transaction.prepare_cached(OLDEST_LISTED)?;
    let rows = oldest.query_map(params![run.0, STEP_LISTED], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(u32, String)> = rows.collect::<Result<_, _>>()?;
    let mut insert = transaction.prepare_cached(UNPACK)?;
    let mut delete = transaction.prepare_cached("DELETE FROM listed WHERE run = ?1 AND first = ?2")?;
    for (first, targets) in &rows {
        for (index, target) in (*first..).zip(Listed::all(targets)?) {
            let (key, target) = target.columns()?;
            insert.execute(params![run.0, index, key, target, listing])?;
        }
        delete.execute(params![run.0, first])?;
    }
    Ok(rows.len() == STEP_LISTED as usize)
}

fn duplicate(transaction: &Transaction<'_>, run: RunKey, target: &Target, position: usize) -> Result<PlanAnswer, Refusal> {
    let first = "SELECT idx FROM planned WHERE run = ?1 AND key = ?2";
    let first = transaction.prepare_cached(first)?.query_row(params![run.0, &*target.key], |row| row.get(0))?;
    Ok(PlanAnswer::Duplicate { position, key: Arc::clone(&target.key), first })
}

fn keep(transaction: &Transaction<'_>, run: RunKey, listing: i64, mut next: u32, targets: &[Target]) -> Result<PlanAnswer, Refusal> {
    let (mut join, mut keep) = (transaction.prepare_cached(JOIN)?, transaction.prepare_cached(KEEP)?);
    for (position, target) in targets.iter().enumerate() {
        let (key, value) = (&*target.key, value_text(target)?);
        if join.execute(params![run.0, next, key, value, listing])? == 1 {
            next += 1;
        } else if keep.execute(params![run.0, key, value, listing])? == 0 {
            return duplicate(transaction, run, target, position);
        }
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
        let mut targets = Vec::new();
        self.each_planned(run, from..upto, |index, target| {
            targets.push((index, target.target()?));
            Ok(())
        })?;
        Ok(targets)
    }

    /// Has `seen` see the planned targets of a run at these places, in order.
    pub(super) fn each_planned(
        &self,
        run: RunKey,
        places: Range<u32>,
        mut seen: impl FnMut(u32, Listed<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let visited = PlannedTargets::of(&self.connection, run, self.version).visit(places.start, |index, target| {
            if index >= places.end {
                return Ok(None);
            }
            seen(index, target)?;
            Ok(index.checked_add(1).filter(|next| *next < places.end))
        });
        visited.map_err(|error| fault(&self.path, error))
    }

    /// The place of the planned target with this key. Reads them all: some milliseconds for a hundred thousand.
    pub fn place_of(&self, run: RunKey, key: &str) -> Result<Option<u32>, StoreError> {
        let mut place = None;
        self.each_planned(run, 0..u32::MAX, |index, target| {
            if place.is_none() && target.key()? == key {
                place = Some(index);
            }
            Ok(())
        })?;
        Ok(place)
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
