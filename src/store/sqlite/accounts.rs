//! Questions for an audit and a simulation: under which definitions a job's nominal times counted, what was decided about them,
//! and how long its runs take.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::reader::decision_view;
use super::{Reader, fault, values};
use crate::config::Targets;
use crate::engine::{Beginning, Indexes, RunKey};
use crate::store::{AccountingView, DecisionView, StoreError};

impl Reader {
    /// Decisions about nominal times before this are gone; `None`: none are.
    pub fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.all("SELECT before FROM pruned", [], |row| values::time(row, 0))?.pop())
    }

    /// Every job that ever had an accounting, by name.
    pub fn accounted_jobs(&self) -> Result<Vec<String>, StoreError> {
        self.all("SELECT DISTINCT job FROM accounting ORDER BY job", [], |row| row.get(0))
    }

    /// The accountings of a job that reach into the time after `since`, in order, and their decisions that do, as they were at one
    /// moment: a daemon that goes on deciding does not come in between.
    pub fn accounts(&self, job: &str, since: Timestamp) -> Result<(Vec<AccountingView>, Vec<DecisionView>), StoreError> {
        let snapshot = self.connection.unchecked_transaction().map_err(|error| fault(&self.path, error))?;
        let accountings = self.all(
            "SELECT a.job, a.number, a.since, a.upto, a.definition, a.reason, job.watermark
             FROM accounting AS a JOIN job ON job.name = a.job
             WHERE a.job = ?1 AND coalesce(a.upto, ?2) >= ?2 ORDER BY a.number",
            params![job, values::micros(since)],
            accounting_view,
        )?;
        let decisions = self.decisions(job, since, Timestamp::MAX)?;
        snapshot.finish().map_err(|error| fault(&self.path, error))?;
        Ok((accountings, decisions))
    }

    /// The keys of a run's targets, in order; with `open`, without those that have a recorded success. Empty for a run without
    /// targets.
    pub fn targets(&self, run: RunKey, open: bool) -> Result<Vec<String>, StoreError> {
        let planned = self.all("SELECT targets FROM run WHERE key = ?1", [run.0], |row| values::targets(row, 0))?;
        let succeeded = "SELECT idx FROM partial WHERE run = ?1 AND outcome = 'succeeded' AND ?2";
        let mut succeeded: Indexes = self.all(succeeded, params![run.0, open], |row| row.get(0))?.into_iter().collect();
        if open {
            succeeded.extend(self.streaks(run)?.into_iter().flatten());
        }
        let targets = planned.into_iter().next().unwrap_or_default();
        if let Targets::Planned { count } = targets {
            let mut keys = Vec::new();
            self.each_planned(run, 0..count, |index, target| {
                if !succeeded.contains(index) {
                    keys.push(target.key()?.into_owned());
                }
                Ok(())
            })?;
            return Ok(keys);
        }
        let open = (0..targets.partials()).filter(|index| !succeeded.contains(*index));
        Ok(open.filter_map(|index| targets.get(index)).map(|target| target.key.to_string()).collect())
    }

    /// How long the job's latest successful runs took, at most a hundred, each with the number of its partials.
    pub fn recent_durations(&self, job: &str) -> Result<Vec<(Duration, u32)>, StoreError> {
        let sql = "SELECT max(0, ended - started), partials FROM run
                   WHERE job = ?1 AND outcome = 'succeeded' AND started IS NOT NULL ORDER BY fired DESC LIMIT 100";
        self.all(sql, [job], |row| Ok((Duration::from_micros(row.get::<_, i64>(0)?.unsigned_abs()), row.get(1)?)))
    }

    /// The decisions about the job's nominal times from `since` up to but not including `until`, oldest first. One that covers
    /// several times is given whole when any of them lies inside.
    pub fn decisions(&self, job: &str, since: Timestamp, until: Timestamp) -> Result<Vec<DecisionView>, StoreError> {
        let sql = "SELECT d.job, d.first, d.last, d.count, d.decision, run.id, d.at, d.accounting
                   FROM decision AS d LEFT JOIN run ON run.key = d.run
                   WHERE d.job = ?1 AND d.last >= ?2 AND d.first < ?3 ORDER BY d.last, d.rowid";
        self.all(sql, params![job, values::micros(since), values::micros(until)], decision_view)
    }
}

fn accounting_view(row: &Row<'_>) -> rusqlite::Result<AccountingView> {
    Ok(AccountingView {
        job: row.get(0)?,
        number: row.get(1)?,
        since: values::time(row, 2)?,
        upto: values::optional_time(row, 3)?,
        definition: row.get(4)?,
        beginning: values::named(row, 5, Beginning::from_name)?,
        watermark: values::time(row, 6)?,
    })
}
