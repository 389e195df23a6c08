//! The ends of attempts: a row a partial.

use rusqlite::{OptionalExtension, Transaction, params};

use super::super::values;
use super::{Append, Refusal, saturated, unknown_run};
use crate::config::Target;
use crate::engine::{Outcome, PartialRecord, RunKey};

pub(super) const INSERT_PARTIAL: &str = "
    INSERT INTO partial
        (run, idx, target, outcome, attempt, retry_at, started, ended, duration_us, exit_code, signal, result, error, target_key, retrying,
         cpu_us, max_rss)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
    ON CONFLICT DO NOTHING";

const UPDATE_PARTIAL: &str = "
    UPDATE partial SET target = ?3, outcome = ?4, attempt = ?5, retry_at = ?6, started = ?7, ended = ?8, duration_us = ?9,
        exit_code = ?10, signal = ?11, result = ?12, error = ?13, target_key = ?14, retrying = ?15, retried = NULL,
        cpu_us = ?16, max_rss = ?17
    WHERE run = ?1 AND idx = ?2";

impl Append<'_, '_> {
    pub(super) fn partial(&mut self, partial: &PartialRecord) -> Result<(), Refusal> {
        if partial.attempt > 1 {
            self.write_quick()?;
            self.take_apart(partial.run, partial.index)?;
        }
        self.write_alone(partial)?;
        if partial.retry.is_none() {
            self.tallies.entry(partial.run).or_default().count(partial.outcome, 1);
        }
        self.output(partial.run, i64::from(partial.index), partial.attempt, partial.output.as_ref())
    }

    /// In a row of its own, in place of what the attempt before has left.
    pub(super) fn write_alone(&mut self, partial: &PartialRecord) -> Result<(), Refusal> {
        let ended = partial.retry.is_none();
        let (outcome, retrying) = (ended.then_some(partial.outcome), (!ended).then_some(partial.outcome));
        let (target, target_key) = target_columns(partial.target.as_ref().filter(|_| !partial.planned))?;
        let columns = params![
            partial.run.0,
            partial.index,
            target,
            outcome.map(Outcome::name),
            partial.attempt,
            partial.retry.map(values::micros),
            values::micros(partial.started),
            values::micros(partial.ended),
            saturated(partial.duration.as_micros()),
            partial.exit_code,
            partial.signal,
            partial.result.as_ref().map(|result| result.get()),
            partial.error.as_deref(),
            target_key,
            retrying.map(Outcome::name),
            partial.usage.map(|usage| saturated(usage.cpu.as_micros())),
            partial.usage.and_then(|usage| usage.max_rss).map(saturated),
        ];
        let inserted = self.insert_partial.execute(columns).map_err(|error| unknown_run(partial.run, error))?;
        if inserted == 0 {
            if let Some(earlier) = recorded_outcome(self.transaction, partial.run, partial.index)? {
                self.tallies.entry(partial.run).or_default().count(earlier, -1);
            }
            self.transaction.prepare_cached(UPDATE_PARTIAL)?.execute(columns)?;
        }
        Ok(())
    }
}

/// The `target` and `target_key` of a partial.
pub(super) fn target_columns(target: Option<&Target>) -> Result<(Option<String>, Option<&str>), Refusal> {
    let value = target.map(|target| values::json_text(&target.value)).transpose()?;
    Ok((value, target.and_then(values::target_key)))
}

/// What an earlier attempt of the partial ended with, if there was one and it ended the partial.
pub(super) fn recorded_outcome(transaction: &Transaction<'_>, run: RunKey, index: u32) -> Result<Option<Outcome>, Refusal> {
    let mut statement = transaction.prepare_cached("SELECT outcome FROM partial WHERE run = ?1 AND idx = ?2")?;
    Ok(statement.query_row(params![run.0, index], |row| values::optional_named(row, 0, Outcome::from_name)).optional()?.flatten())
}
