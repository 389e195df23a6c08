//! Quick successes are gathered until something else is recorded, then written side by side; a further attempt of one takes its
//! streak apart.

use std::collections::BTreeMap;
use std::mem;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};
use serde_json::value::RawValue;

use super::super::streak::{self, Columns, FEWEST, MAX_BYTES, MAX_PARTIALS, RANKED_US};
use super::super::values;
use super::{Append, Refusal, saturated, unknown_run};
use crate::config::Target;
use crate::engine::{Outcome, RunKey, Streak, Success};

const INSERT: &str = "INSERT INTO streak (run, first, count, began, partials) VALUES (?1, ?2, ?3, ?4, ?5)";

/// That of the partial ?2, if one has it.
const AT: &str = "
    SELECT first FROM (SELECT first, count FROM streak WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1) WHERE first + count > ?2";

const INSERT_ALONE: &str = "
    INSERT INTO partial (run, idx, target, target_key, outcome, attempt, started, ended, duration_us, result)
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9)";

/// Those of one transaction that have not been written.
pub(super) type Quick<'r> = BTreeMap<RunKey, Vec<&'r Streak>>;

/// One of them.
#[derive(Clone, Copy)]
struct One<'r> {
    streak: &'r Streak,
    place: usize,
    index: u32,
    is_quick: bool,
}

impl<'r> One<'r> {
    fn all(streak: &'r Streak) -> impl Iterator<Item = Self> {
        (streak.first..).zip(0..streak.ends.len()).map(move |(index, place)| {
            // Longer attempts are ranked by how long they took, which takes a row.
            let is_quick = streak.ends.get(place).is_some_and(|success| success.duration.as_micros() < RANKED_US);
            Self { streak, place, index, is_quick }
        })
    }

    fn goes_with(&self, next: &Self) -> bool {
        self.index + 1 == next.index && self.is_quick && next.is_quick
    }

    fn success(&self) -> Option<Success<Option<&'r str>>> {
        self.streak.ends.get(self.place)
    }

    /// The target, where the plan of the run does not have it.
    fn target(&self) -> Option<&'r Target> {
        self.streak.targets.get(self.place)?.as_ref().filter(|_| !self.streak.planned)
    }
}

impl<'r> Append<'_, 'r> {
    pub(super) fn streak(&mut self, streak: &'r Streak) {
        self.quick.entry(streak.run).or_default().push(streak);
        self.tallies.entry(streak.run).or_default().count(Outcome::Succeeded, saturated(streak.ends.len()));
    }

    pub(super) fn write_quick(&mut self) -> Result<(), Refusal> {
        for mut streaks in mem::take(&mut self.quick).into_values() {
            streaks.sort_unstable_by_key(|streak| streak.first);
            let all: Vec<One<'_>> = streaks.into_iter().flat_map(One::all).collect();
            for neighbours in all.chunk_by(One::goes_with) {
                self.write_neighbours(neighbours)?;
            }
        }
        Ok(())
    }

    fn write_neighbours(&mut self, mut left: &[One<'_>]) -> Result<(), Refusal> {
        if left.len() >= FEWEST && !self.is_any_on_record(left)? {
            while !left.is_empty() {
                left = &left[self.write_streak(left)?..];
            }
        }
        left.iter().filter_map(|one| one.streak.partial(one.place)).try_for_each(|partial| self.write_alone(&partial))
    }

    /// Targets that were dropped from a list and have come back have a row, though none of their attempts does.
    fn is_any_on_record(&self, neighbours: &[One<'_>]) -> Result<bool, Refusal> {
        let (first, last) = (neighbours[0], neighbours[neighbours.len() - 1]);
        let any = "SELECT EXISTS (SELECT 1 FROM partial WHERE run = ?1 AND idx BETWEEN ?2 AND ?3)";
        Ok(self.transaction.prepare_cached(any)?.query_row(params![first.streak.run.0, first.index, last.index], |row| row.get(0))?)
    }

    /// Writes the first of `neighbours`, as many as a row takes; how many it took.
    fn write_streak(&self, neighbours: &[One<'_>]) -> Result<usize, Refusal> {
        let One { streak, index: first, .. } = neighbours[0];
        let (run, began) = (streak.run, neighbours[0].success().map_or(0, |success| values::micros(success.started)));
        let (mut text, mut count) = (Vec::with_capacity(MAX_BYTES.min(neighbours.len() * 48)), 0_u32);
        for one in neighbours.iter().take(MAX_PARTIALS) {
            let Some(success) = one.success() else { break };
            text.push(if count == 0 { b'[' } else { b',' });
            streak::write(&mut text, &success, one.target(), began)?;
            count += 1;
            if text.len() >= MAX_BYTES {
                break;
            }
        }
        text.push(b']');
        let text = ToSqlOutput::Borrowed(ValueRef::Text(&text));
        let inserted = self.transaction.prepare_cached(INSERT)?.execute(params![run.0, first, count, began, text]);
        inserted.map_err(|error| unknown_run(run, error))?;
        Ok(count.max(1) as usize)
    }

    /// Gives each partial of the streak that has this one a row of its own, so that this one's can change.
    pub(super) fn take_apart(&mut self, run: RunKey, index: u32) -> Result<(), Refusal> {
        let row = "SELECT first, began, partials FROM streak WHERE run = ?1 AND first = ?2";
        let (mut row, mut apart) = (self.transaction.prepare_cached(row)?, self.transaction.prepare_cached(INSERT_ALONE)?);
        let first: Option<u32> = self.transaction.prepare_cached(AT)?.query_row(params![run.0, index], |row| row.get(0)).optional()?;
        let Some(first) = first else { return Ok(()) };
        row.query_row(params![run.0, first], |row| {
            streak::each(row, |Columns { index, started, ended, took, target, key, result }| {
                let (target, result) = (target.map(RawValue::get), result.map(RawValue::get));
                let succeeded = Outcome::Succeeded.name();
                apart.execute(params![run.0, index, target, key, succeeded, started, ended, took, result]).map(drop)
            })
        })?;
        self.execute("DELETE FROM streak WHERE run = ?1 AND first = ?2", params![run.0, first])?;
        Ok(())
    }
}
