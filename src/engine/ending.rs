//! From ended attempts to the end of the run: record, retry or count, gather, finish, and let the next run of the job begin.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::retry::Failure;
use super::run::{Phase, Run, StopReason, Tried};
use super::timers::Timer;
use super::{
    AttemptEnd, Effect, Engine, GatherEnd, Now, Outcome, Part, PartEnd, PartialRecord, Record, RunKey, RunSummary, Streak, Successes, Then,
    retry,
};

impl Engine {
    pub(super) fn attempts_ended(&mut self, key: RunKey, ends: Vec<(u32, AttemptEnd)>, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get(&key) else { return };
        let has_canaries = run.info.job.policies.canary > 0;
        let mut records = Vec::with_capacity(ends.len());
        for (index, end) in ends {
            if let Some(reason) = self.attempt_ended(key, index, end, now, &mut records) {
                effects.push(Effect::Record(Record::Partials(mem::take(&mut records))));
                self.stop_run(key, reason, now, effects);
            }
        }
        if !records.is_empty() {
            effects.push(Effect::Record(Record::Partials(records)));
        }
        if has_canaries {
            self.claim(key, now, effects);
        }
        self.stand_in_line(key, now);
        self.end_if_complete(key, now, effects);
    }

    /// As [`Self::attempts_ended`], which it leaves it to where one of them is not like the others.
    pub(super) fn succeeded(&mut self, key: RunKey, first: u32, ends: Successes, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        let Some(targets) = run.succeeded_together(first..first.saturating_add(count), &mut self.timers) else {
            let ends = (first..).zip(ends.iter()).map(|(index, success)| (index, success.into())).collect();
            return self.attempts_ended(key, ends, now, effects);
        };
        self.in_flight -= targets.len();
        let streak = Streak { run: key, first, planned: run.is_planned(), targets, ends };
        effects.push(Effect::Record(Record::Streak(streak)));
        self.stand_in_line(key, now);
        self.end_if_complete(key, now, effects);
    }

    /// Records the end of each partial of an attempt; why the run cannot go on, if it cannot.
    fn attempt_ended(
        &mut self,
        key: RunKey,
        index: u32,
        end: AttemptEnd,
        now: Now,
        records: &mut Vec<PartialRecord>,
    ) -> Option<StopReason> {
        let run = self.runs.get_mut(&key)?;
        let flight = run.flights.remove(index, key, &mut self.timers)?;
        self.in_flight -= 1;
        let (stopped, lead) = (flight.stopped, Part { index, attempt: flight.attempt, target: flight.target });
        if flight.others.is_empty() {
            return self.part_ended(key, lead, end, stopped, now, records);
        }
        let mut stop = None;
        for (part, end, told) in share_out(lead, flight.others, end) {
            let stopped = if told { None } else { stopped };
            stop = stop.or(self.part_ended(key, part, end, stopped, now, records));
        }
        stop
    }

    /// Records the end of one partial's attempt; why the run cannot go on, if it cannot.
    fn part_ended(
        &mut self,
        key: RunKey,
        part: Part,
        end: AttemptEnd,
        stopped: Option<Outcome>,
        now: Now,
        records: &mut Vec<PartialRecord>,
    ) -> Option<StopReason> {
        let run = self.runs.get_mut(&key)?;
        let (index, attempt, outcome) = (part.index, part.attempt, retry::outcome(&end, stopped));
        let delay = match run.stopping {
            // The next daemon takes it up again; its attempt is on record, so that it does not count as lost.
            Some(StopReason::Drained) if outcome == Outcome::Cancelled => Some(std::time::Duration::ZERO),
            Some(_) => None,
            None => {
                let failure = Failure { outcome, exit_code: end.exit_code, hindrance: end.hindrance };
                let tries = run.tries(index, attempt, end.hindrance);
                let seed = retry::seed(key.0, index, attempt);
                retry::delay(&run.info.job.policies.retry, tries, failure, seed)
            }
        };
        let retry_at = delay.map(|delay| later(now.wall, delay));
        records.push(partial_record(run, part, outcome, retry_at, end));
        let Some(delay) = delay else { return run.count(index, outcome).filter(|_| run.stopping.is_none()) };
        let due = now.monotonic + delay;
        run.wait_for_retry(index, Tried { number: attempt, outcome }, due);
        self.timers.set(due, Timer::Retry { run: key });
        None
    }

    /// Gathers or finishes the run when all its partials have ended.
    pub(super) fn end_if_complete(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        if run.stopping == Some(StopReason::Drained) {
            if run.flights.is_empty() && run.phase != Phase::Gathering {
                self.leave_unfinished(key, now, effects);
            }
            return;
        }
        if run.phase != Phase::Running || !run.is_complete() {
            return;
        }
        if run.info.job.gather.is_some() && run.stopping.is_none() {
            run.phase = Phase::Gathering;
            effects.push(Effect::WhenDurable(Then::Gathered { run: key }));
        } else {
            self.finish(key, None, now, effects);
        }
    }

    /// All results can be read: the gather command runs, unless the run was stopped meanwhile.
    pub(super) fn gather(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        if run.stopping.is_some() {
            return self.finish(key, None, now, effects);
        }
        run.gathering = true;
        effects.push(Effect::Gather { run: Arc::clone(&run.info), until: run.until });
    }

    pub(super) fn gather_ended(&mut self, key: RunKey, end: GatherEnd, now: Now, effects: &mut Vec<Effect>) {
        if self.runs.get(&key).is_some_and(|run| run.stopping == Some(StopReason::Drained)) {
            return self.leave_unfinished(key, now, effects);
        }
        self.finish(key, Some(end.end), now, effects);
    }

    /// Records the end of the run.
    pub(super) fn finish(&mut self, key: RunKey, gathered: Option<AttemptEnd>, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.remove_run(key) else { return };
        let reason = match (run.stopping, &gathered) {
            _ if run.failure.is_some() => run.failure.clone(),
            (Some(reason), _) => Some(reason.text().into()),
            (None, Some(end)) if end.outcome != Outcome::Succeeded => {
                Some(format!("the gather command failed: {}", end.error.as_deref().unwrap_or(end.outcome.name())).into())
            }
            _ => (run.dropped > 0).then(|| dropped_text(run.dropped)),
        };
        let outcome = run.outcome(gathered.as_ref().map(|end| end.outcome));
        let follows = self.follows(&run.info, outcome, now);
        let (result, output) = gathered.map_or((None, None), |end| (end.result.map(Into::into), end.output));
        let mut summary = RunSummary {
            run: key,
            outcome,
            ended: now.wall,
            succeeded: run.counts.succeeded,
            failed: run.counts.failed,
            cancelled: run.counts.cancelled,
            reason,
            result,
            output,
            follows: follows.clone(),
            tells: Vec::new(),
            standing: None,
        };
        self.tell_of_end(&run.info, &mut summary);
        effects.push(Effect::Record(Record::Finished(Box::new(summary))));
        self.enter_follows(&follows, now, effects);
        self.begin_next(&run.info.job.name, now, effects);
    }

    /// Takes the run out of memory without an end: the record says how far it came, and the next daemon goes on from there.
    /// Targets that were claimed, and retries that were recorded, and not started are released: they will not count as lost.
    pub(super) fn leave_unfinished(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.remove_run(key) else { return };
        if let Some(upto) = run.first_unstarted().filter(|upto| *upto < run.claiming) {
            effects.push(Effect::Record(Record::Claimed { run: key, upto, at: now.wall }));
        }
        effects.extend(run.unstarted_retries().map(|index| Effect::Record(Record::Released { run: key, index })));
    }

    fn remove_run(&mut self, key: RunKey) -> Option<Run> {
        let run = self.runs.remove(&key)?;
        self.timers.cancel(run.timer);
        self.timers.cancel(run.pace_timer);
        self.timers.cancel(run.late);
        self.starts.remove(&(run.not_before, key));
        if let Some(state) = self.jobs.get_mut(&run.info.job.name) {
            state.live.retain(|live| *live != key);
            state.waiting.retain(|waiting| *waiting != key);
            state.filling.retain(|waiting| *waiting != key);
        }
        Some(run)
    }

    /// Lets the run begin that waited for the ones before it; of a backfill, when no other waits.
    pub(super) fn begin_next(&mut self, name: &crate::config::JobName, now: Now, effects: &mut Vec<Effect>) {
        if self.mode == super::Mode::Serving
            && let Some(state) = self.jobs.get_mut(name)
            && state.live.is_empty()
            && let Some(next) = state.waiting.pop_front().or_else(|| state.filling.pop_front())
        {
            state.live.push(next);
            self.begin(next, now, effects);
        }
        self.forget_if_unused(name);
    }
}

/// The end of each partial of an attempt, and whether its process has told of it alone. What was printed, and the result of the
/// whole, go with the first.
fn share_out(lead: Part, others: Vec<Part>, mut end: AttemptEnd) -> Vec<(Part, AttemptEnd, bool)> {
    let mut told: BTreeMap<u32, PartEnd> = std::mem::take(&mut end.parts).into_iter().map(|part| (part.index, part)).collect();
    let mut ends = Vec::with_capacity(others.len() + 1);
    let alike =
        |end: &AttemptEnd| AttemptEnd { result: None, output: None, usage: None, error: end.error.clone(), parts: Vec::new(), ..*end };
    let rest: Vec<_> = others.into_iter().map(|part| (part, alike(&end))).collect();
    for (part, mut end) in std::iter::once((lead, end)).chain(rest) {
        let own = told.remove(&part.index);
        let is_told = own.is_some();
        if let Some(PartEnd { outcome, result, error, .. }) = own {
            (end.outcome, end.result, end.error) = (outcome, result, error);
        }
        ends.push((part, end, is_told));
    }
    ends
}

fn partial_record(run: &Run, part: Part, outcome: Outcome, retry: Option<Timestamp>, end: AttemptEnd) -> PartialRecord {
    let AttemptEnd { started, ended, duration, exit_code, signal, result, error, output, usage, .. } = end;
    let planned = run.is_planned();
    let Part { index, attempt, target } = part;
    let (run, error) = (run.info.key, error.or_else(|| stopped_text(outcome)));
    PartialRecord {
        run,
        index,
        target,
        planned,
        attempt,
        outcome,
        retry,
        started,
        ended,
        duration,
        exit_code,
        signal,
        result,
        error,
        output,
        usage,
    }
}

fn stopped_text(outcome: Outcome) -> Option<Arc<str>> {
    match outcome {
        Outcome::TimedOut => Some("timed out".into()),
        Outcome::Cancelled => Some("cancelled".into()),
        _ => None,
    }
}

fn dropped_text(dropped: u32) -> Arc<str> {
    let targets = if dropped == 1 { "1 target was".to_owned() } else { format!("{dropped} targets were") };
    format!("{targets} taken out of the list while the run was interrupted").into()
}

pub(super) fn later(wall: Timestamp, delay: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(delay).ok().and_then(|delay| wall.checked_add(delay).ok()).unwrap_or(Timestamp::MAX)
}
