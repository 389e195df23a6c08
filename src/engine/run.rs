//! One live run: which partials are still to start, in flight, waiting for another attempt, or ended.

mod chunk;
mod claim;
mod flights;
mod loaded;
mod plan;
mod stop_reason;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub(super) use self::flights::{Flight, Flights};
use self::loaded::Loaded;
pub(super) use self::stop_reason::StopReason;
use super::pace::Pace;
use super::retry::Tries;
use super::timers::{TimerKey, Timers};
use super::{Hindrance, Indexes, Outcome, RunInfo, RunOutcome};
use crate::config::{MaxFailures, Target, TargetValue};

/// While so many partials of a run wait for another attempt, no fresh one is started: the wait list stays bounded.
pub const MAX_WAITING_RETRIES: usize = 10_000;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Behind another run of its job, or before its instant.
    Waiting,
    /// Its targets are read.
    Planning,
    /// Partials start and end.
    Running,
    /// All partials have ended; the gather command runs.
    Gathering,
}

/// The last attempt of a partial that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// From 1.
    pub number: u32,
    pub outcome: Outcome,
}

/// How many partials ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
}

/// A live run.
#[derive(Debug)]
pub(super) struct Run {
    pub info: Arc<RunInfo>,
    pub phase: Phase,
    /// No partial starts earlier: the nominal time plus its jitter.
    pub not_before: Timestamp,
    /// Ascending, disjoint: partials that were never started since the run was taken up.
    todo: VecDeque<Range<u32>>,
    /// Partials below are durably claimed and may start.
    pub claimed: u32,
    /// The claim that was asked for last.
    pub claiming: u32,
    /// How much larger claims are than at first, because starts had to wait for them.
    claim_scale: u32,
    pub flights: Flights,
    /// Due time, index: the partials that wait for another attempt.
    retries: BinaryHeap<Reverse<(Duration, u32)>>,
    /// Retries that are due, and on their way to the disk.
    retrying: VecDeque<u32>,
    /// Retries that may start.
    retried: VecDeque<u32>,
    /// The last attempt of each partial that waits for another.
    attempts: BTreeMap<u32, Tried>,
    /// Attempts that were made before a restart; the retry policy counts from there.
    attempts_before: BTreeMap<u32, u32>,
    /// Attempts since then for which the machine had no room; partials without an entry had none.
    shortages: BTreeMap<u32, u32>,
    pub counts: Counts,
    /// Targets that have come from the store and have not started.
    pub loaded: Loaded,
    /// The targets are being read.
    pub reading: bool,
    /// Partials with a success on record, until the targets have been read again.
    recorded: Indexes,
    /// Of those cancelled: partials whose target was taken out of the list while the run was interrupted.
    pub dropped: u32,
    pub stopping: Option<StopReason>,
    /// Why it has failed as a whole, for people.
    pub failure: Option<Arc<str>>,
    pub timer: Option<TimerKey>,
    /// When the timeout will stop it, on the wall clock: for handlers.
    pub until: Option<Timestamp>,
    /// When it is late.
    pub late: Option<TimerKey>,
    /// How fast it may start attempts, from the first on.
    pub pace: Option<Pace>,
    pub pace_timer: Option<TimerKey>,
    /// Of the targets that go first, those that have not succeeded; the rest starts when there are none.
    pub canaries: u32,
    /// Whether the gather command has been started.
    pub gathering: bool,
    /// Whether the run stands in the line of runs with something to start.
    pub in_line: bool,
}

impl Run {
    pub(super) fn new(info: Arc<RunInfo>, not_before: Timestamp) -> Self {
        let partials = info.targets.partials();
        Self {
            canaries: info.job.policies.canary.min(partials),
            pace: None,
            pace_timer: None,
            info,
            phase: Phase::Waiting,
            not_before,
            todo: (partials > 0).then_some(0..partials).into_iter().collect(),
            claimed: 0,
            claiming: 0,
            claim_scale: 1,
            flights: Flights::default(),
            retries: BinaryHeap::new(),
            retrying: VecDeque::new(),
            retried: VecDeque::new(),
            attempts: BTreeMap::new(),
            attempts_before: BTreeMap::new(),
            shortages: BTreeMap::new(),
            counts: Counts::default(),
            loaded: Loaded::default(),
            reading: false,
            recorded: Indexes::default(),
            dropped: 0,
            stopping: None,
            failure: None,
            timer: None,
            until: None,
            late: None,
            gathering: false,
            in_line: false,
        }
    }

    /// Leaves out what succeeded before a restart (`succeeded`) and what is not listed any more (`dropped`); what had
    /// `attempts` without success is due for another. `recorded`: what has a success on record, also where it runs again.
    pub(super) fn resume(
        &mut self,
        succeeded: &Indexes,
        dropped: &Indexes,
        recorded: Indexes,
        attempts: BTreeMap<u32, Tried>,
        now: Duration,
    ) {
        self.counts.succeeded = succeeded.count();
        self.dropped = dropped.count();
        self.counts.cancelled = self.dropped;
        let mut known = succeeded.clone();
        known.extend(dropped.iter().chain(attempts.keys().copied()));
        self.todo = known.gaps(0..self.info.targets.partials()).into();
        self.recorded = recorded;
        self.attempts_before = attempts.iter().map(|(index, tried)| (*index, tried.number)).collect();
        self.attempts = attempts;
        self.canaries = self.count_canaries();
        self.line_up(0..self.gate(), now);
    }

    /// Whether a partial could start if the daemon had room for it.
    pub(super) fn can_start(&self) -> bool {
        self.phase == Phase::Running
            && self.stopping.is_none()
            && self.flights.len() < self.info.job.policies.concurrency
            && (self.retry_ready() || self.fresh_ready())
    }

    /// Takes retries that are due, with the numbers of their attempts: they are to be recorded, then started. As many as a
    /// claim at most; the others follow when these have started.
    pub(super) fn take_due_retries(&mut self, now: Duration) -> Vec<(u32, u32)> {
        let mut due = Vec::new();
        let most = self.claim_size() as usize;
        while let Some(Reverse((at, index))) = self.retries.peek().copied()
            && at <= now
            && self.retrying.len() + self.retried.len() < most
        {
            self.retries.pop();
            self.retrying.push_back(index);
            due.push((index, self.attempts.get(&index).map_or(0, |tried| tried.number) + 1));
        }
        due
    }

    /// The oldest `count` retries are on disk.
    pub(super) fn retried(&mut self, count: usize) {
        let count = count.min(self.retrying.len());
        self.retried.extend(self.retrying.drain(..count));
    }

    /// Partials that wait for another attempt.
    fn waiting(&self) -> usize {
        self.retries.len() + self.retrying.len() + self.retried.len()
    }

    fn retry_ready(&self) -> bool {
        self.retried.front().is_some_and(|index| self.has_target(*index))
    }

    fn fresh_ready(&self) -> bool {
        let is_ready = |range: &Range<u32>| range.start < self.claimed.min(self.gate()) && self.has_target(range.start);
        self.waiting() < MAX_WAITING_RETRIES && self.todo.front().is_some_and(is_ready) && self.is_whole_chunk_ready()
    }

    fn take_fresh(&mut self) -> Option<u32> {
        let range = self.todo.front_mut()?;
        let index = range.start;
        range.start += 1;
        if range.start == range.end {
            self.todo.pop_front();
        }
        Some(index)
    }

    /// Counts an attempt that has ended, and tells how often the partial was tried since the run was taken up.
    pub(super) fn tries(&mut self, index: u32, attempt: u32, hindrance: Option<Hindrance>) -> Tries {
        if hindrance == Some(Hindrance::Shortage) {
            *self.shortages.entry(index).or_default() += 1;
        }
        let shortages = self.shortages.get(&index).copied().unwrap_or(0);
        let before = self.attempts_before.get(&index).copied().unwrap_or(0);
        Tries { attempts: attempt.saturating_sub(before).saturating_sub(shortages), shortages }
    }

    pub(super) fn wait_for_retry(&mut self, index: u32, tried: Tried, due: Duration) {
        self.attempts.insert(index, tried);
        self.retries.push(Reverse((due, index)));
    }

    /// Counts a partial that has ended, and says why the run cannot go on, if it cannot.
    pub(super) fn count(&mut self, index: u32, outcome: Outcome) -> Option<StopReason> {
        if index < self.info.job.policies.canary {
            if outcome != Outcome::Succeeded {
                self.count_outcome(outcome);
                return Some(StopReason::CanaryFailed);
            }
            self.a_canary_has_succeeded();
        }
        self.count_outcome(outcome);
        let partials = self.info.targets.partials() - self.dropped;
        too_many(self.info.job.policies.max_failures, self.counts.failed, partials).then_some(StopReason::TooManyFailures)
    }

    /// Takes out first attempts that have all succeeded, and counts them: their targets. `None` where each is to be looked at by itself.
    pub(super) fn succeeded_together(&mut self, indexes: Range<u32>, timers: &mut Timers) -> Option<Vec<Option<Target>>> {
        if indexes.start < self.info.job.policies.canary {
            return None;
        }
        let mut targets = self.flights.remove_together(indexes, self.info.key, timers)?;
        if self.is_planned() {
            // The store has them: what waits for it holds no tables.
            targets.iter_mut().flatten().for_each(|target| target.value = TargetValue::Text(Arc::clone(&target.key)));
        }
        self.counts.succeeded += u32::try_from(targets.len()).unwrap_or(u32::MAX);
        Some(targets)
    }

    fn count_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Succeeded => self.counts.succeeded += 1,
            Outcome::Cancelled => self.counts.cancelled += 1,
            _ => self.counts.failed += 1,
        }
    }

    /// The first partial that was never started since the run was taken up.
    pub(super) fn first_unstarted(&self) -> Option<u32> {
        self.todo.front().map(|range| range.start)
    }

    /// Partials whose further attempt is on record, or on its way there, and has not started.
    pub(super) fn unstarted_retries(&self) -> impl Iterator<Item = u32> + '_ {
        self.retrying.iter().chain(&self.retried).copied()
    }

    /// Gives up what has not started and what waits for another attempt; the latter end as their last attempt did.
    pub(super) fn give_up(&mut self) {
        self.counts.cancelled += self.todo.drain(..).map(|range| range.end - range.start).sum::<u32>();
        for tried in std::mem::take(&mut self.attempts).into_values() {
            self.count_outcome(tried.outcome);
        }
        self.retries.clear();
        self.retrying.clear();
        self.retried.clear();
        self.loaded.clear();
    }

    /// Whether all partials have ended.
    pub(super) fn is_complete(&self) -> bool {
        self.flights.is_empty() && self.todo.is_empty() && self.waiting() == 0
    }

    /// How the run has ended, once it is complete. `gathered`: how the gather command ended, if it ran.
    pub(super) fn outcome(&self, gathered: Option<Outcome>) -> RunOutcome {
        if let Some(reason) = self.stopping {
            return reason.run_outcome();
        }
        match gathered {
            Some(Outcome::Succeeded) | None => {}
            Some(Outcome::TimedOut) => return RunOutcome::TimedOut,
            Some(_) => return RunOutcome::Failed,
        }
        if self.failure.is_some() {
            return RunOutcome::Failed;
        }
        if self.info.targets.partials() == 0 {
            return RunOutcome::Succeeded;
        }
        let allowed = self.info.job.policies.max_failures != MaxFailures::Any;
        match self.counts {
            Counts { failed: 0, cancelled, succeeded: 1.. } if cancelled == self.dropped => RunOutcome::Succeeded,
            Counts { failed: 0, .. } => RunOutcome::Cancelled,
            _ if allowed => RunOutcome::PartlyFailed,
            _ => RunOutcome::Failed,
        }
    }
}

/// Whether `failed` of `partials` are more than the policy allows. `any` tries all and judges at the end.
fn too_many(policy: MaxFailures, failed: u32, partials: u32) -> bool {
    match policy {
        MaxFailures::Any => false,
        MaxFailures::Count(allowed) => failed > allowed,
        MaxFailures::Percent(percent) => u64::from(failed) * 100 > u64::from(percent) * u64::from(partials),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_allowed() {
        for (policy, failed, partials, expected) in [
            (MaxFailures::Any, 10, 10, false),
            (MaxFailures::Count(0), 0, 10, false),
            (MaxFailures::Count(0), 1, 10, true),
            (MaxFailures::Count(2), 2, 10, false),
            (MaxFailures::Count(2), 3, 10, true),
            (MaxFailures::Percent(10), 1, 10, false),
            (MaxFailures::Percent(10), 2, 10, true),
            (MaxFailures::Percent(0), 1, 1_000_000, true),
            (MaxFailures::Percent(100), 10, 10, false),
        ] {
            assert_eq!(too_many(policy, failed, partials), expected, "{policy:?} {failed}/{partials}");
        }
    }
}
