//! What is written of a job: where its accounting starts and ends, and the decisions that belong to it.

use jiff::Timestamp;
use rusqlite::params;

use super::super::values;
use super::{Append, Refusal, saturated};
use crate::config::Job;
use crate::engine::{Accounted, Beginning, Decision, RunKey};

impl Append<'_, '_> {
    pub(super) fn start_accounting(
        &self,
        job: &Job,
        accounted: Accounted,
        fingerprint: u64,
        beginning: Beginning,
        boot_id: Option<&str>,
    ) -> Result<(), Refusal> {
        self.end_accounting(&job.name)?;
        self.execute(
            "INSERT INTO job (name, watermark, fingerprint, boot_id, repeats_until, repeat, heard) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2)
             ON CONFLICT (name) DO UPDATE SET watermark = ?2, fingerprint = ?3, boot_id = ?4, repeats_until = ?5, repeat = ?6",
            params![
                &*job.name,
                values::micros(accounted.watermark),
                fingerprint.cast_signed(),
                boot_id,
                values::repeats_until(accounted.repeat),
                accounted.repeat.number
            ],
        )?;
        self.execute(
            "INSERT INTO accounting (job, number, since, definition, reason)
             VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM accounting WHERE job = ?1), ?2, ?3, ?4)",
            params![&*job.name, values::micros(accounted.watermark), values::json_text(&job.definition())?, beginning.name()],
        )
    }

    pub(super) fn remove_job(&self, job: &str) -> Result<(), Refusal> {
        self.end_accounting(job)?;
        self.execute("UPDATE job SET fingerprint = 0, paused = 0 WHERE name = ?1", params![job])
    }

    /// What is decided so far is all that counts under the definition.
    fn end_accounting(&self, job: &str) -> Result<(), Refusal> {
        self.execute(
            "UPDATE accounting SET upto = (SELECT watermark FROM job WHERE name = ?1) WHERE job = ?1 AND upto IS NULL",
            params![job],
        )
    }

    /// Writes a decision down and moves the job's watermark there.
    pub(super) fn decide(
        &self,
        job: &str,
        (first, last): (Timestamp, Timestamp),
        count: u64,
        decision: Decision,
        run: Option<RunKey>,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        self.change_job(job, "UPDATE job SET watermark = max(watermark, ?2) WHERE name = ?1", params![job, values::micros(last)])?;
        self.execute(
            "INSERT INTO decision (job, first, last, count, decision, run, at, accounting)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, (SELECT max(number) FROM accounting WHERE job = ?1))",
            params![
                job,
                values::micros(first),
                values::micros(last),
                saturated(count),
                decision.name(),
                run.map(|run| run.0),
                values::micros(at)
            ],
        )
    }
}
