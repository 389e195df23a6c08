//! Messages that go to people: put into the outbox in the transaction of what they tell of, and followed to their end.

use jiff::Timestamp;
use rusqlite::params;

use super::super::listed::PlannedTargets;
use super::super::{schema, values};
use super::{Append, Refusal};
use crate::engine::{FailedTarget, Kind, LetterKey, MAX_NAMED_TARGETS, Notice, Outcome, Posted, RunKey, Standing, Tell};
use crate::store::outbox::{MAX_WAITING, MAX_WAITING_PINGS, ping_lane};

/// So much of the end of an output goes along with a ping.
const OUTPUT_MAX_BYTES: usize = 10_000;

/// What was told is not told again; what is too much is given up at once, and counted.
const INSERT: &str = "
    INSERT OR IGNORE INTO outbox (id, lane, kind, job, about, message, created, next, ended, error)
    SELECT lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, ?6, ?6, CASE WHEN waiting >= ?7 THEN ?6 END,
        CASE WHEN waiting >= ?7 THEN 'too many messages of the channel wait already' END
    FROM (SELECT count(*) AS waiting FROM outbox WHERE lane = ?1 AND ended IS NULL)";

const FAILED_TARGETS: &str = "
    SELECT coalesce(target_key, target ->> '$'), outcome, error, idx FROM partial INDEXED BY partial_not_succeeded
    WHERE run = ?1 AND outcome IS NOT 'succeeded' AND outcome <> 'cancelled' ORDER BY idx LIMIT ?2";

/// The end of the output of the gather command, else of the last attempt of the first partial that failed.
const LAST_OUTPUT: &str = "
    SELECT head, tail FROM output WHERE run = ?1 AND (idx = -1 OR idx = (
        SELECT min(idx) FROM partial INDEXED BY partial_not_succeeded
        WHERE run = ?1 AND outcome IS NOT 'succeeded' AND outcome <> 'cancelled'))
    ORDER BY idx, attempt DESC LIMIT 1";

impl Append<'_, '_> {
    pub(super) fn tell(&self, tell: &Tell) -> Result<(), Refusal> {
        let mut notice = tell.notice.clone();
        if let Some(run) = tell.run {
            match notice.event {
                Kind::Failure | Kind::Failing => notice.failed_targets = self.failed_targets(run)?,
                Kind::Fail => notice.output = self.last_output(run)?,
                _ => {}
            }
        }
        if notice.event.is_ping() {
            return self.put(&ping_lane(&notice.job), &notice, &tell.about, MAX_WAITING_PINGS);
        }
        tell.to.iter().try_for_each(|channel| self.put(channel, &notice, &tell.about, MAX_WAITING))
    }

    fn put(&self, lane: &str, notice: &Notice, about: &str, most: u32) -> Result<(), Refusal> {
        let (message, at) = (values::json_text(notice)?, values::micros(notice.at));
        self.execute(INSERT, params![lane, notice.event.name(), notice.job, about, message, at, most])
    }

    fn failed_targets(&self, run: RunKey) -> Result<Vec<FailedTarget>, Refusal> {
        let mut statement = self.transaction.prepare_cached(FAILED_TARGETS)?;
        let rows = statement.query_map(params![run.0, MAX_NAMED_TARGETS], |row| {
            let failed = FailedTarget { target: row.get(0)?, outcome: values::named(row, 1, Outcome::from_name)?, error: row.get(2)? };
            Ok((row.get(3)?, failed))
        })?;
        let mut failed: Vec<(u32, FailedTarget)> = rows.collect::<Result<_, _>>()?;
        let nameless = failed.iter_mut().filter(|(_, failed)| failed.target.is_none()).map(|(index, failed)| (*index, failed));
        PlannedTargets::of(self.transaction, run, schema::VERSION).look_up(nameless, |failed, target| {
            failed.target = Some(target.key()?.into_owned());
            Ok(())
        })?;
        Ok(failed.into_iter().map(|(_, failed)| failed).collect())
    }

    fn last_output(&self, run: RunKey) -> Result<String, Refusal> {
        let mut statement = self.transaction.prepare_cached(LAST_OUTPUT)?;
        let mut rows = statement.query([run.0])?;
        let Some(row) = rows.next()? else { return Ok(String::new()) };
        let (head, tail): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let whole = if tail.is_empty() { head } else { tail };
        let end = &whole[whole.len().saturating_sub(OUTPUT_MAX_BYTES)..];
        Ok(String::from_utf8_lossy(end).into_owned())
    }

    /// Of the run's job, which may have left the configuration.
    pub(super) fn run_stands(&self, run: RunKey, standing: Standing) -> Result<(), Refusal> {
        let update = "UPDATE job SET failures = ?2, heard = ?3 WHERE name = (SELECT job FROM run WHERE key = ?1)";
        self.execute(update, params![run.0, standing.failures, values::micros(standing.heard)])
    }

    pub(super) fn stands(&self, job: &str, standing: Standing) -> Result<(), Refusal> {
        let update = "UPDATE job SET failures = ?2, heard = ?3 WHERE name = ?1";
        self.change_job(job, update, params![job, standing.failures, values::micros(standing.heard)])
    }

    pub(super) fn posted(&self, posted: &Posted) -> Result<(), Refusal> {
        match posted {
            Posted::Trying { letters } => {
                let lead = letters.first();
                let update = "UPDATE outbox SET attempts = attempts + 1, trying = 1, lead = ?2 WHERE key = ?1";
                letters.iter().try_for_each(|key| self.execute(update, params![key, lead]))
            }
            Posted::Delivered { letters, at } => letters.iter().try_for_each(|key| {
                // What a ping has said, the other side keeps.
                self.execute("DELETE FROM outbox WHERE key = ?1 AND lane LIKE 'ping:%'", params![key])?;
                self.end_letter(*key, *at, None)
            }),
            Posted::Deferred { letters, next, error, unsure } => letters.iter().try_for_each(|key| {
                let update = "UPDATE outbox SET next = ?2, error = ?3, trying = 0, unsure = max(unsure, ?4) WHERE key = ?1";
                self.execute(update, params![key, values::micros(*next), error, unsure])
            }),
            Posted::GivenUp { letters, at, error } => letters.iter().try_for_each(|key| self.end_letter(*key, *at, Some(error))),
        }
    }

    fn end_letter(&self, key: LetterKey, at: Timestamp, error: Option<&str>) -> Result<(), Refusal> {
        self.execute("UPDATE outbox SET ended = ?2, error = ?3, trying = 0 WHERE key = ?1", params![key, values::micros(at), error])
    }
}
