//! How far ahead of the starts targets are claimed.

use super::Run;
use crate::config::Work;

/// Targets that are claimed at once, but for those of a chunk, which are one process's.
const MAX_CLAIM: u32 = 32_768;

/// Claims become so much larger at most where the disk is slow: of handlers, of which a hundred thousand may end in a second …
const MAX_CLAIM_SCALE: u32 = 8;

/// … and of programs.
const MAX_CLAIM_SCALE_OF_PROGRAMS: u32 = 4;

impl Run {
    /// How many targets are claimed at once: enough that a start never waits for the disk, few enough that a crash leaves
    /// few partials of which nobody knows whether they started.
    pub(super) fn claim_size(&self) -> u32 {
        let concurrency = u32::try_from(self.info.job.policies.concurrency).unwrap_or(u32::MAX);
        let chunk = self.info.job.policies.chunk;
        let (size, scale) = match self.info.job.work {
            // In-process partials may take less than a microsecond, and a commit takes a thousand times as long.
            // Targets that come from the store are in memory from the claim to the start: unless they are small, a claim stays as it is.
            Work::Handler(_) if self.is_planned() && !self.loaded.are_small() => (concurrency.saturating_mul(16).clamp(1_024, 4_096), 1),
            Work::Handler(_) => (concurrency.saturating_mul(16).clamp(1_024, 16_384), self.claim_scale),
            _ => (concurrency.saturating_mul(2).clamp(1, 1_000).saturating_mul(chunk), self.claim_scale.min(MAX_CLAIM_SCALE_OF_PROGRAMS)),
        };
        size.saturating_mul(scale).min(MAX_CLAIM.max(chunk))
    }

    /// The claim is on disk. Where starts had to wait for it, the next is larger.
    pub(in crate::engine) fn has_claimed(&mut self, upto: u32) {
        let is_dry = self.claimed > 0 && self.todo.front().is_some_and(|range| range.start >= self.claimed);
        if is_dry && self.flights.len() < self.info.job.policies.concurrency {
            self.claim_scale = (self.claim_scale * 2).min(MAX_CLAIM_SCALE);
        }
        self.claimed = upto;
    }

    /// The claim to ask for now, if any: `upto` of the targets.
    pub(in crate::engine) fn next_claim(&mut self) -> Option<u32> {
        let last = self.todo.back()?.end.min(self.gate());
        let next = self.todo.front()?.start;
        let size = self.claim_size();
        let ahead = self.claimed.saturating_sub(next);
        if self.claiming != self.claimed || self.claimed >= last || ahead > size / 2 {
            return None;
        }
        self.claiming = next.max(self.claimed).saturating_add(size).min(last);
        Some(self.claiming)
    }
}
