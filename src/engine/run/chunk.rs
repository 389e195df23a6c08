//! What starts together, and what goes first: chunks and canaries.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use super::{Flight, Run};
use crate::config::Work;
use crate::engine::Part;
use crate::engine::timers::{Timer, Timers};

impl Run {
    /// Takes what starts next, each with its target and the number of its attempt: retries that are due first, then in target
    /// order. What one process works on, where there is one; else at most so many attempts.
    pub(in crate::engine) fn take_next(&mut self, most: usize) -> Vec<Part> {
        let chunk = self.info.job.policies.chunk as usize;
        let most = if chunk > 1 { chunk } else { most.min(self.starts_at_once()) };
        let mut parts = Vec::new();
        if self.retry_ready() {
            while parts.len() < most
                && self.retry_ready()
                && let Some(index) = self.retried.pop_front()
            {
                parts.push(self.next_attempt(index));
            }
        } else if self.fresh_ready() {
            let gate = self.gate();
            let is_rest = |run: &Self| chunk > 1 && run.todo.front().is_some_and(|range| range.start < gate);
            while parts.len() < most
                && (is_rest(self) || self.fresh_ready())
                && let Some(index) = self.take_fresh()
            {
                parts.push(self.next_attempt(index));
            }
        }
        parts
    }

    /// These attempts are in flight from now on, until `due` at the longest; how many they are. A chunk is one.
    pub(in crate::engine) fn take_off(&mut self, parts: &[Part], due: Option<Duration>, since: Timestamp, timers: &mut Timers) -> usize {
        let (run, before) = (self.info.key, self.flights.len());
        let chunk = self.info.job.policies.chunk as usize;
        let is_handler = matches!(self.info.job.work, Work::Handler(_));
        let are_together = |one: &Part, next: &Part| is_handler && (one.attempt, next.attempt, next.index) == (1, 1, one.index + 1);
        let attempts = if chunk > 1 { parts.chunks(chunk).collect() } else { parts.chunk_by(are_together).collect::<Vec<_>>() };
        for attempt in attempts {
            let Some((Part { index, attempt: number, target }, others)) = attempt.split_first() else { continue };
            if is_handler && *number == 1 {
                let timer = due.map(|due| timers.set(due, Timer::Bundle { run, first: *index }));
                self.flights.insert_together(attempt, since, timer);
            } else {
                let timer = due.map(|due| timers.set(due, Timer::Attempt { run, index: *index }));
                let (target, others) = (target.clone(), others.to_vec());
                self.flights.insert(*index, Flight { attempt: *number, since, target, others, timer, stopped: None });
            }
        }
        self.flights.len() - before
    }

    fn next_attempt(&mut self, index: u32) -> Part {
        let attempt = self.attempts.remove(&index).map_or(0, |tried| tried.number) + 1;
        self.part(index, attempt)
    }

    /// Attempts that take less time than an event are handed over together. Programs are not: each is started by itself.
    fn starts_at_once(&self) -> usize {
        match self.info.job.work {
            Work::Handler(_) if self.info.job.policies.rate.is_none() => {
                self.info.job.policies.concurrency.saturating_sub(self.flights.len())
            }
            _ => 1,
        }
    }

    /// Partials from here on wait until all before have succeeded.
    pub(super) fn gate(&self) -> u32 {
        if self.canaries > 0 { self.info.job.policies.canary } else { u32::MAX }
    }

    /// Makes the further attempts of these partials due.
    pub(super) fn line_up(&mut self, indexes: Range<u32>, due: Duration) {
        self.retries.extend(self.attempts.range(indexes).map(|(index, _)| Reverse((due, *index))));
    }

    pub(super) fn a_canary_has_succeeded(&mut self) {
        self.gate_is_at(self.canaries.saturating_sub(1));
    }

    /// So many of the targets that go first have still to succeed; with none, all others may start.
    pub(super) fn gate_is_at(&mut self, canaries: u32) {
        let opens = self.canaries > 0 && canaries == 0;
        self.canaries = canaries;
        if opens {
            self.line_up(self.info.job.policies.canary..u32::MAX, Duration::ZERO);
        }
    }

    /// Of the targets that go first, those that have still to succeed.
    pub(super) fn count_canaries(&self) -> u32 {
        let canary = self.info.job.policies.canary;
        let fresh: u32 = self.todo.iter().map(|range| range.end.min(canary).saturating_sub(range.start)).sum();
        fresh + u32::try_from(self.attempts.range(..canary).count()).unwrap_or(u32::MAX)
    }

    /// Whether all targets of the next chunk can start; the last one may be smaller.
    pub(super) fn is_whole_chunk_ready(&self) -> bool {
        let chunk = self.info.job.policies.chunk;
        if chunk == 1 {
            return true;
        }
        let gate = self.gate();
        let next = self.todo.iter().flat_map(|range| range.start..range.end.min(gate)).take(chunk as usize);
        next.into_iter().all(|index| index < self.claimed && self.has_target(index))
    }
}
