//! What is kept of the output of attempts and gather commands, and how much of it there is in all.

use rusqlite::params;

use super::{Append, Refusal, saturated};
use crate::engine::{CapturedOutput, RunKey};

/// The `idx` of the gather command's output.
const GATHER_INDEX: i64 = -1;

/// Bytes of an output that are kept while the disk is full.
const SHORT_OUTPUT: usize = 4_096;

const INSERT: &str = "
    INSERT INTO output (run, idx, attempt, head, tail, cut) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
const REPLACE: &str = "UPDATE output SET head = ?4, tail = ?5, cut = ?6 WHERE run = ?1 AND idx = ?2 AND attempt = ?3";
const LENGTH: &str = "SELECT length(head) + length(tail) FROM output WHERE run = ?1 AND idx = ?2 AND attempt = ?3";

impl Append<'_, '_> {
    pub(super) fn output(&mut self, run: RunKey, index: i64, attempt: u32, output: Option<&CapturedOutput>) -> Result<(), Refusal> {
        let Some(output) = output.filter(|output| **output != CapturedOutput::default()) else { return Ok(()) };
        let CapturedOutput { head, tail, cut } = output;
        let (head, tail) = if self.short { (first(head), last(tail)) } else { (&head[..], &tail[..]) };
        let cut = *cut + (output.head.len() - head.len() + output.tail.len() - tail.len()) as u64;
        let columns = params![run.0, index, attempt, head, tail, saturated(cut)];
        if self.transaction.prepare_cached(INSERT)?.execute(columns)? == 0 {
            // A crash may have left the output of an earlier gather command.
            let earlier: i64 = self.transaction.prepare_cached(LENGTH)?.query_row(params![run.0, index, attempt], |row| row.get(0))?;
            self.captured -= earlier;
            self.transaction.prepare_cached(REPLACE)?.execute(columns)?;
        }
        self.captured += saturated(head.len() + tail.len());
        Ok(())
    }

    pub(super) fn gather_output(&mut self, run: RunKey, output: Option<&CapturedOutput>) -> Result<(), Refusal> {
        self.output(run, GATHER_INDEX, 0, output)
    }

    /// How many bytes of captured output there are now; `None`: as many as before.
    pub(super) fn write_captured(&self) -> Result<Option<u64>, Refusal> {
        if self.captured == 0 {
            return Ok(None);
        }
        let sql = "UPDATE captured SET bytes = max(0, bytes + ?1) RETURNING bytes";
        let bytes: i64 = self.transaction.prepare_cached(sql)?.query_row([self.captured], |row| row.get(0))?;
        Ok(Some(bytes.unsigned_abs()))
    }
}

/// What is kept of the beginning of an output while the disk is full.
fn first(head: &[u8]) -> &[u8] {
    &head[..head.len().min(SHORT_OUTPUT / 2)]
}

/// And of its end.
fn last(tail: &[u8]) -> &[u8] {
    &tail[tail.len().saturating_sub(SHORT_OUTPUT / 2)..]
}
