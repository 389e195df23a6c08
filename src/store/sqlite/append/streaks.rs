//! Quick successes are gathered until something else is recorded, then written side by side; a further attempt of one takes its
//! streak apart.

use std::collections::BTreeMap;
use std::mem;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::super::streak::{FEWEST, MAX_BYTES, MAX_PARTIALS, Streak, Written};
use super::super::values;
use super::{Append, Refusal, unknown_run};
use crate::engine::{Outcome, PartialRecord, RunKey};

const INSERT: &str = "INSERT INTO streak (run, first, count, began, partials) VALUES (?1, ?2, ?3, ?4, ?5)";

const AT: &str = "SELECT first, began, partials, count FROM streak WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";

const INSERT_ALONE: &str = "
    INSERT INTO partial (run, idx, target, target_key, outcome, attempt, started, ended, duration_us, result)
    VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9)";

/// Those of one transaction that have not been written.
pub(super) type Quick<'r> = BTreeMap<RunKey, Vec<&'r PartialRecord>>;

impl Append<'_, '_> {
    pub(super) fn write_quick(&mut self) -> Result<(), Refusal> {
        for mut partials in mem::take(&mut self.quick).into_values() {
            partials.sort_unstable_by_key(|partial| partial.index);
            for neighbours in partials.chunk_by(|one, next| one.index + 1 == next.index) {
                self.write_neighbours(neighbours)?;
            }
        }
        Ok(())
    }

    fn write_neighbours(&mut self, mut left: &[&PartialRecord]) -> Result<(), Refusal> {
        if left.len() >= FEWEST && !self.is_any_on_record(left)? {
            while left.len() >= FEWEST {
                left = &left[self.write_streak(left)?..];
            }
        }
        left.iter().try_for_each(|partial| self.write_alone(partial))
    }

    /// Targets that were dropped from a list and have come back have a row, though none of their attempts does.
    fn is_any_on_record(&self, neighbours: &[&PartialRecord]) -> Result<bool, Refusal> {
        let (first, last) = (neighbours[0], neighbours[neighbours.len() - 1]);
        let any = "SELECT EXISTS (SELECT 1 FROM partial WHERE run = ?1 AND idx BETWEEN ?2 AND ?3)";
        Ok(self.transaction.prepare_cached(any)?.query_row(params![first.run.0, first.index, last.index], |row| row.get(0))?)
    }

    /// Writes the first of `neighbours`, as many as a row takes; how many it took.
    fn write_streak(&self, neighbours: &[&PartialRecord]) -> Result<usize, Refusal> {
        let (run, first) = (neighbours[0].run, neighbours[0].index);
        let began = values::micros(neighbours[0].started);
        let (mut text, mut count) = (Vec::with_capacity(MAX_BYTES.min(neighbours.len() * 48)), 0_u32);
        for partial in neighbours.iter().take(MAX_PARTIALS) {
            text.push(if count == 0 { b'[' } else { b',' });
            values::push_json(&mut text, &Written::new(partial, began))?;
            count += 1;
            if text.len() >= MAX_BYTES {
                break;
            }
        }
        text.push(b']');
        let text = ToSqlOutput::Borrowed(ValueRef::Text(&text));
        let inserted = self.transaction.prepare_cached(INSERT)?.execute(params![run.0, first, count, began, text]);
        inserted.map_err(|error| unknown_run(run, error))?;
        Ok(count as usize)
    }

    /// Gives each partial of the streak that has this one a row of its own, so that this one's can change.
    pub(super) fn take_apart(&mut self, run: RunKey, index: u32) -> Result<(), Refusal> {
        let found = self
            .transaction
            .prepare_cached(AT)?
            .query_row(params![run.0, index], |row| Ok((Streak::read(row)?, row.get::<_, u32>(3)?)))
            .optional()?;
        let Some((streak, _)) = found.filter(|(streak, count)| index - streak.first < *count) else { return Ok(()) };
        self.execute("DELETE FROM streak WHERE run = ?1 AND first = ?2", params![run.0, streak.first])?;
        for partial in streak.into_columns() {
            let (target, result) = (partial.target.as_ref().map(|json| json.get()), partial.result.as_ref().map(|json| json.get()));
            let (started, ended, took) = (partial.started, partial.ended, partial.took);
            let outcome = Outcome::Succeeded.name();
            self.execute(INSERT_ALONE, params![run.0, partial.index, target, partial.key, outcome, started, ended, took, result])?;
        }
        Ok(())
    }
}
