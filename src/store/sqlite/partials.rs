//! Partials as they are read, wherever they are: in a row of their own, or in one with their neighbours; with a target of their own,
//! or that of the plan.

use jiff::Timestamp;
use rusqlite::{Result, Row, params};
use serde_json::Value;
use serde_json::value::RawValue;

use super::listed::{Listed, PlannedTargets};
use super::reader::MAX_PAGE;
use super::streak::{self, Columns};
use super::{Reader, fault, values};
use crate::engine::{Outcome, PartialResult, RunKey};
use crate::store::{PartialView, StoreError};

const PARTIAL_COLUMNS: &str = "idx, target, coalesce(outcome, retrying), attempt, started, ended, duration_us, exit_code, signal, \
                               result, error, cpu_us, max_rss";

/// The streak that has the place ?2, or the first behind it, and all that follow.
const FROM_PLACE: &str = "
    SELECT first, began, partials FROM streak
    WHERE run = ?1 AND first >= coalesce((SELECT first FROM streak WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1), 0)
    ORDER BY first";

/// What is made of a partial that is read.
trait Recorded: Sized {
    /// The columns are [`PARTIAL_COLUMNS`].
    fn of_row(row: &Row<'_>) -> Result<Self>;
    fn of_streak(columns: &Columns<'_>) -> Result<Self>;
    fn index(&self) -> u32;
    /// Of a partial that has no other target: that of the plan.
    fn has_target(&self) -> bool;
    fn set_target(&mut self, target: Listed<'_>) -> Result<()>;
}

impl Reader {
    /// A page of the run's recorded partials in index order, from the first after `after`. With `failed`, only those that ended
    /// otherwise than succeeded or cancelled.
    pub fn partials(&self, run: RunKey, failed: bool, after: Option<u32>, limit: u32) -> Result<Vec<PartialView>, StoreError> {
        let limit = limit.min(MAX_PAGE);
        let mut page: Vec<PartialView> =
            if failed { self.partials_alone(run, true, after, u32::MAX, limit)? } else { self.all_partials(run, after, limit)? };
        page.truncate(limit as usize);
        self.add_planned_targets(run, &mut page)?;
        Ok(page)
    }

    /// The run's recorded partials from the first after `after` on, in index order: about `enough`, so that those which share a row
    /// are together. Whoever reads them all reads each row once.
    pub fn next_partials(&self, run: RunKey, after: Option<u32>, enough: u32) -> Result<Vec<PartialView>, StoreError> {
        let mut page = self.all_partials(run, after, enough)?;
        self.add_planned_targets(run, &mut page)?;
        Ok(page)
    }

    /// The same for a gather in this process.
    pub fn next_results(&self, run: RunKey, after: Option<u32>, enough: u32) -> Result<Vec<PartialResult>, StoreError> {
        let mut page = self.all_partials(run, after, enough)?;
        self.add_planned_targets(run, &mut page)?;
        Ok(page)
    }

    /// The `count` partials whose last attempt took longest, longest first. Those under a millisecond are not ranked.
    pub fn slowest(&self, run: RunKey, count: u32) -> Result<Vec<PartialView>, StoreError> {
        let mut slowest: Vec<PartialView> = self.all(&slowest_question(), params![run.0, count.min(MAX_PAGE)], Recorded::of_row)?;
        self.add_planned_targets(run, &mut slowest)?;
        Ok(slowest)
    }

    /// Without planned targets.
    fn all_partials<T: Recorded>(&self, run: RunKey, after: Option<u32>, enough: u32) -> Result<Vec<T>, StoreError> {
        let Some(from) = after.map_or(Some(0), |after| after.checked_add(1)) else { return Ok(Vec::new()) };
        let mut page: Vec<T> = self.partials_of_streaks(run, from, enough as usize).map_err(|error| fault(&self.path, error))?;
        // Behind the last of a full page there may be more of its kind.
        let last = page.last().filter(|_| page.len() >= enough as usize).map_or(u32::MAX, T::index);
        let alone = self.partials_alone(run, false, after, last, enough)?;
        let last = alone.last().filter(|_| alone.len() >= enough as usize).map_or(last, T::index);
        if !alone.is_empty() {
            page.extend(alone);
            page.sort_unstable_by_key(T::index);
            page.truncate(page.partition_point(|partial| partial.index() <= last));
        }
        Ok(page)
    }

    /// Those with a row of their own, up to the index `last`.
    fn partials_alone<T: Recorded>(
        &self,
        run: RunKey,
        failed: bool,
        after: Option<u32>,
        last: u32,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        self.all(&partials_question(failed), params![run.0, after.map_or(-1, i64::from), last, limit], T::of_row)
    }

    /// Those of streaks, from the place `from` on: `enough`, if there are, and the others of the last row.
    fn partials_of_streaks<T: Recorded>(&self, run: RunKey, from: u32, enough: usize) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(FROM_PLACE)?;
        let mut rows = statement.query(params![run.0, from])?;
        let mut found: Vec<T> = Vec::with_capacity(enough.min(streak::MAX_PARTIALS));
        while found.len() < enough
            && let Some(row) = rows.next()?
        {
            streak::each(row, |columns| {
                if columns.index >= from {
                    found.push(T::of_streak(&columns)?);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn add_planned_targets<T: Recorded>(&self, run: RunKey, partials: &mut [T]) -> Result<(), StoreError> {
        let mut nameless: Vec<_> = partials.iter_mut().filter(|partial| !partial.has_target()).collect();
        // The slowest do not come in the order of their targets.
        nameless.sort_unstable_by_key(|partial| partial.index());
        let nameless = nameless.into_iter().map(|partial| (partial.index(), partial));
        let named = PlannedTargets::of(&self.connection, run, self.version).look_up(nameless, T::set_target);
        named.map_err(|error| fault(&self.path, error))
    }
}

impl Recorded for PartialView {
    fn of_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            index: row.get(0)?,
            target: values::optional_json(row, 1)?,
            outcome: values::named(row, 2, Outcome::from_name)?,
            attempts: row.get(3)?,
            started: values::time(row, 4)?,
            ended: values::time(row, 5)?,
            duration_ms: fractional(row.get(6)?),
            cpu_ms: row.get::<_, Option<_>>(11)?.map(fractional),
            max_rss: row.get::<_, Option<i64>>(12)?.map(i64::unsigned_abs),
            exit_code: row.get(7)?,
            signal: row.get(8)?,
            result: values::optional_json(row, 9)?,
            error: row.get(10)?,
        })
    }

    fn of_streak(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            index: columns.index,
            target: columns.target.map(ToOwned::to_owned),
            outcome: Outcome::Succeeded,
            attempts: 1,
            started: time(columns.started)?,
            ended: time(columns.ended)?,
            duration_ms: fractional(columns.took),
            cpu_ms: None,
            max_rss: None,
            exit_code: None,
            signal: None,
            result: columns.result.map(ToOwned::to_owned),
            error: None,
        })
    }

    fn index(&self) -> u32 {
        self.index
    }

    fn has_target(&self) -> bool {
        self.target.is_some()
    }

    fn set_target(&mut self, target: Listed<'_>) -> Result<()> {
        self.target = Some(target.json()?);
        Ok(())
    }
}

impl Recorded for PartialResult {
    fn of_row(row: &Row<'_>) -> Result<Self> {
        let PartialView { index, target, outcome, attempts, started, ended, duration_ms, result, error, .. } = PartialView::of_row(row)?;
        let (target, result) = (value(target.as_deref())?, value(result.as_deref())?);
        Ok(Self { index, target, outcome, attempts, started, ended, duration_ms, result, error })
    }

    fn of_streak(columns: &Columns<'_>) -> Result<Self> {
        Ok(Self {
            index: columns.index,
            target: value(columns.target)?,
            outcome: Outcome::Succeeded,
            attempts: 1,
            started: time(columns.started)?,
            ended: time(columns.ended)?,
            duration_ms: fractional(columns.took),
            result: value(columns.result)?,
            error: None,
        })
    }

    fn index(&self) -> u32 {
        self.index
    }

    fn has_target(&self) -> bool {
        !self.target.is_null()
    }

    fn set_target(&mut self, target: Listed<'_>) -> Result<()> {
        self.target = target.value()?;
        Ok(())
    }
}

fn value(json: Option<&RawValue>) -> Result<Value> {
    json.map_or(Ok(Value::Null), |json| values::parsed(json.get()))
}

fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(1, micros))
}

pub(super) fn partials_question(failed: bool) -> String {
    let (index, only) =
        if failed { ("INDEXED BY partial_not_succeeded", "AND outcome IS NOT 'succeeded' AND outcome <> 'cancelled'") } else { ("", "") };
    format!("SELECT {PARTIAL_COLUMNS} FROM partial {index} WHERE run = ?1 AND idx > ?2 AND idx <= ?3 {only} ORDER BY idx LIMIT ?4")
}

pub(super) fn slowest_question() -> String {
    format!(
        "SELECT {PARTIAL_COLUMNS} FROM partial INDEXED BY partial_slow
         WHERE run = ?1 AND duration_us >= 1000 ORDER BY duration_us DESC, idx DESC LIMIT ?2"
    )
}

#[expect(clippy::cast_precision_loss, reason = "285 years in microseconds are still exact")]
fn fractional(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}
