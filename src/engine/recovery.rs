//! What a restart takes up again: the watermarks, and the runs that have no end on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::replan::{Plan, replan};
use super::run::{Run, Tried};
use super::{
    Beginning, Cause, Decides, Effect, Engine, Indexes, JobState, Now, Outcome, PartialRecord, Record, RecoveredJob, RecoveredRun, RunInfo,
};
use super::{LEAD, RunId, RunOutcome, RunSummary, accounting, fire};
use crate::config::{Args, Interrupted, Job, JobName, Overlap, Targets};

/// The error of an attempt whose end nobody saw.
const LOST: &str = "the daemon died before its end was recorded; it may not have started";

impl Engine {
    /// Gives every configured job its accounting: the recorded one while its schedule is the same, else a new one.
    pub(super) fn take_up_jobs(&mut self, recovered: &[RecoveredJob], now: Now, effects: &mut Vec<Effect>) {
        let gone = |job: &&RecoveredJob| !self.config.jobs.contains_key(&job.name);
        for job in recovered.iter().filter(gone).collect::<Vec<_>>() {
            if job.accounting {
                self.end_accounting(&job.name, job.into(), now, effects);
            } else {
                self.retire(&job.name, job.into(), now);
            }
        }
        let recovered: BTreeMap<&str, &RecoveredJob> = recovered.iter().map(|job| (&*job.name, job)).collect();
        let state = |(name, job): (&JobName, &Arc<Job>)| (Arc::clone(name), JobState::taken_up(job, recovered.get(&**name).copied(), now));
        // All at once, which fills the nodes of the tree: one by one, in order, leaves them half empty.
        self.jobs = self.config.jobs.iter().map(state).collect();
        for (name, job) in self.config.jobs.clone() {
            let known = recovered.get(&*name).copied();
            let boot_id = known.and_then(|known| known.boot_id.clone());
            let booted = boot_id.as_deref() != Some(&*self.boot_id);
            match beginning(&job, known, now) {
                Some(beginning) => self.start_accounting(&name, beginning, boot_id, now, effects),
                None => self.schedule(&name, effects),
            }
            self.await_success(&name);
            let paused = known.is_some_and(|known| known.paused);
            if booted && !paused && job.enabled && job.timetable.fires_at_boot() {
                self.fire_at_boot(&job, now, effects);
            }
        }
    }

    /// `@reboot`: once per boot of the machine, at the first start of the daemon in it.
    fn fire_at_boot(&mut self, job: &Arc<Job>, now: Now, effects: &mut Vec<Effect>) {
        let name = &job.name;
        let key = self.next_key(now);
        // A boot has no nominal time of its own; the key makes the name unique, also when the clock is set back.
        let id = RunId::new(name, Cause::Schedule, key.time());
        let (targets, args) = (job.targets.of_run(), job.args_left(&Args::new(), now.wall));
        let info = RunInfo { key, id, job: Arc::clone(job), cause: Cause::Schedule, nominal: now.wall, fired: now.wall, targets, args };
        let decides = Decides::Boot(Arc::clone(&self.boot_id));
        effects.push(Effect::Record(Record::Fired { run: Arc::new(info.clone()), decides }));
        self.enter(Run::new(Arc::new(info), now.wall), true, now, effects);
    }

    /// Takes up what has succeeded of the jobs that others wait for.
    pub(super) fn take_up_joins(&mut self, joined: Vec<(JobName, Timestamp, JobName)>) {
        for (name, nominal, succeeded) in joined {
            if let Some(state) = self.jobs.get_mut(&name) {
                state.joins.entry(nominal).or_default().push(succeeded);
            }
        }
    }

    /// Takes up the runs without an end, oldest first, as `on_interrupted` says.
    pub(super) fn take_up_runs(&mut self, runs: Vec<RecoveredRun>, now: Now, effects: &mut Vec<Effect>) {
        for recovered in runs {
            let Some(job) = self.config.jobs.get(&recovered.job).map(Arc::clone) else {
                self.interrupted(recovered, None, "the job is no longer in the configuration", now, effects);
                continue;
            };
            let started = recovered.claimed > 0;
            if started && job.policies.on_interrupted == Interrupted::Fail {
                let reason = "the daemon died during the run, and `on_interrupted` is \"fail\"";
                self.interrupted(recovered, Some(&job), reason, now, effects);
                continue;
            }
            self.take_up_run(recovered, &job, now, effects);
        }
        let filling = |(name, state): (&JobName, &JobState)| (!state.filling.is_empty()).then(|| Arc::clone(name));
        for name in self.jobs.iter().filter_map(filling).collect::<Vec<_>>() {
            self.begin_next(&name, now, effects);
        }
    }

    fn take_up_run(&mut self, recovered: RecoveredRun, job: &Arc<Job>, now: Now, effects: &mut Vec<Effect>) {
        let Some(Plan { targets, unlisted }) = replan(&recovered.targets, &job.targets, recovered.cause.grows()) else {
            let reason = "its job has got `targets` since, or has none any more";
            return self.interrupted(recovered, Some(job), reason, now, effects);
        };
        let edited = targets != recovered.targets || !unlisted.is_empty();
        let tried = |(index, outcome, number)| (index, Tried { number, outcome });
        let mut attempts: BTreeMap<u32, Tried> = recovered.retrying.iter().copied().map(tried).collect();
        for (index, attempt) in lost(&recovered) {
            effects.push(lost_attempt(&recovered, &targets, (index, attempt), true, now));
            attempts.insert(index, Tried { number: attempt, outcome: Outcome::Lost });
        }
        let RecoveredRun { key, id, cause, nominal, fired, args, ended, .. } = recovered;
        // A reload may have brought arguments that the run knows nothing of.
        let args = job.args_left(&args, nominal);
        let info = Arc::new(RunInfo { key, id, job: Arc::clone(job), cause, nominal, fired, targets, args });
        // It was fired, so its instant had come, or nearly; only a clock that was set back says otherwise.
        let not_before = fire::not_before(&info).min(now.wall + LEAD);
        let mut run = Run::new(Arc::clone(&info), not_before);
        let (mut succeeded, mut recorded) = (Indexes::default(), Indexes::default());
        for (indexes, outcome, attempt) in ended {
            for index in indexes {
                if outcome == Outcome::Succeeded {
                    recorded.insert(index);
                }
                // What is not listed any more does not run again, also where everything else does.
                if outcome == Outcome::Succeeded && (job.policies.on_interrupted == Interrupted::Resume || unlisted.contains(index)) {
                    succeeded.insert(index);
                } else {
                    attempts.insert(index, Tried { number: attempt, outcome });
                }
            }
        }
        let dropped: Indexes = unlisted.iter().filter(|index| !succeeded.contains(*index)).collect();
        attempts.retain(|index, _| !dropped.contains(*index));
        run.resume(&succeeded, &dropped, recorded, attempts, now.monotonic);
        if edited {
            effects.push(Effect::Record(Record::Replanned { run: info, dropped, at: now.wall }));
        }
        if cause == Cause::Backfill {
            return self.enter_filling(run);
        }
        let start = self.may_start_beside_others(&job.name);
        self.enter(run, start, now, effects);
    }

    /// Ends a run that is not taken up again. `job`: its job, where that is still there.
    fn interrupted(&mut self, recovered: RecoveredRun, job: Option<&Arc<Job>>, reason: &str, now: Now, effects: &mut Vec<Effect>) {
        let lost = lost(&recovered);
        effects.extend(lost.iter().map(|attempt| lost_attempt(&recovered, &recovered.targets, *attempt, false, now)));
        let mut summary = interrupted(&recovered, lost.len(), reason, now);
        if let Some(job) = job {
            let RecoveredRun { key, id, cause, nominal, fired, targets, args, .. } = recovered;
            self.tell_of_end(&RunInfo { key, id, job: Arc::clone(job), cause, nominal, fired, targets, args }, &mut summary);
        }
        effects.push(Effect::Record(Record::Finished(Box::new(summary))));
    }

    fn may_start_beside_others(&self, name: &JobName) -> bool {
        let Some(state) = self.jobs.get(name) else { return false };
        state.job.policies.overlap == Overlap::Allow || (state.live.is_empty() && state.waiting.is_empty())
    }
}

impl JobState {
    /// As the records have it.
    fn taken_up(job: &Arc<Job>, known: Option<&RecoveredJob>, now: Now) -> Self {
        let state = Self::new(Arc::clone(job), now.wall);
        let Some(known) = known else { return state };
        Self { accounted: known.into(), paused: known.paused, standing: known.standing.unwrap_or(state.standing), ..state }
    }
}

/// Why the accounting of a job starts now; `None`: the recorded one goes on.
fn beginning(job: &Job, known: Option<&RecoveredJob>, now: Now) -> Option<Beginning> {
    let Some(known) = known else { return Some(Beginning::New) };
    if known.fingerprint != accounting::fingerprint(job) {
        Some(Beginning::Changed)
    } else if accounting::waits_too_long(known.into(), now.wall) {
        Some(Beginning::ClockSet)
    } else {
        (!known.accounting).then_some(Beginning::Upgraded)
    }
}

/// Attempts that may have been started and have no end on record.
fn lost(recovered: &RecoveredRun) -> Vec<(u32, u32)> {
    let mut known = Indexes::default();
    known.extend(recovered.ended.iter().flat_map(|(indexes, ..)| indexes.clone()));
    known.extend(recovered.retrying.iter().map(|(index, ..)| *index));
    known.extend(recovered.retried.iter().map(|(index, _)| *index));
    let claimed = known.gaps(0..recovered.claimed.min(recovered.targets.partials()));
    let first = claimed.into_iter().flatten().map(|index| (index, 1));
    first.chain(recovered.retried.iter().copied()).collect()
}

/// The record of an attempt that is lost; with `again` another follows.
fn lost_attempt(run: &RecoveredRun, targets: &Targets, (index, attempt): (u32, u32), again: bool, now: Now) -> Effect {
    Effect::Record(Record::Partials(vec![PartialRecord {
        run: run.key,
        index,
        target: targets.get(index),
        planned: targets.are_stored(),
        attempt,
        outcome: Outcome::Lost,
        retry: again.then_some(now.wall),
        started: run.fired,
        ended: now.wall,
        duration: std::time::Duration::ZERO,
        exit_code: None,
        signal: None,
        result: None,
        error: Some(LOST.into()),
        output: None,
        usage: None,
    }]))
}

/// The end of a run that is not taken up again; `lost` of its attempts were.
fn interrupted(recovered: &RecoveredRun, lost: usize, reason: &str, now: Now) -> RunSummary {
    let ended = |wanted: fn(Outcome) -> bool| {
        let ended = recovered.ended.iter().filter(|(_, outcome, _)| wanted(*outcome));
        let retrying = recovered.retrying.iter().filter(|(_, outcome, _)| wanted(*outcome)).count();
        ended.map(|(indexes, ..)| indexes.end - indexes.start).sum::<u32>() + u32::try_from(retrying).unwrap_or(u32::MAX)
    };
    let succeeded = ended(|outcome| outcome == Outcome::Succeeded);
    let cancelled = ended(|outcome| outcome == Outcome::Cancelled);
    let failed = ended(|outcome| !matches!(outcome, Outcome::Succeeded | Outcome::Cancelled));
    let lost = u32::try_from(lost).unwrap_or(u32::MAX);
    let never_started = recovered.targets.partials().saturating_sub(succeeded + cancelled + failed + lost);
    RunSummary {
        run: recovered.key,
        outcome: RunOutcome::Interrupted,
        ended: now.wall,
        succeeded,
        failed: failed + lost,
        cancelled: cancelled + never_started,
        reason: Some(reason.into()),
        result: None,
        output: None,
        follows: Vec::new(),
        tells: Vec::new(),
        standing: None,
    }
}
