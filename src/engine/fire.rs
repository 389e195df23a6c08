//! From nominal times to runs: fires that fall due, triggers by hand, a new configuration.

use std::sync::Arc;

use jiff::Timestamp;

use super::catch_up::{self, MISFIRE_GRACE, Newest, Span, Step};
use super::overlap::{self, Beside, Verdict};
use super::run::{Run, StopReason};
use super::{Beginning, Cause, Decides, Decision, Effect, Engine, JobState, LEAD, Now, Record, RunId, RunInfo, RunKey};
use super::{accounting, follow, telling};
use crate::config::{Args, Config, Job, JobName};
use crate::schedule;

/// At most this many nominal times of a job are looked at in one go, and of all jobs before the loop goes round; a longer
/// backlog is decided in several.
const MAX_DUE_AT_ONCE: usize = 100_000;

impl Engine {
    /// Decides the nominal times that have fallen due; after a long downtime not all at once, so that the loop goes round.
    pub(super) fn decide_fires(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.decides_fires() {
            return;
        }
        let horizon = now.wall + LEAD;
        let mut looked_at = 0;
        while looked_at < MAX_DUE_AT_ONCE
            && let Some((due, _)) = self.fires.first()
            && *due <= horizon
            && let Some((_, name)) = self.fires.pop_first()
        {
            let Some(state) = self.jobs.get_mut(&name) else { continue };
            state.due = None;
            if let Some(span) = state.take_backlog(now) {
                effects.push(decided(&state.job, span, now));
            }
            let (nominals, more) = state.take_due(horizon);
            looked_at += nominals.len() + 1;
            self.decide(&name, &nominals, more, now, effects);
            self.schedule(&name, effects);
        }
    }

    /// Decides about `due` nominal times of one job. With `more`, later ones are due as well and will be decided next.
    fn decide(&mut self, name: &JobName, due: &[Timestamp], more: bool, now: Now, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        let Some(&last) = due.last() else { return };
        state.accounted.watermark = last;
        let (job, repeat, paused) = (Arc::clone(&state.job), state.accounted.repeat, state.paused);
        let newest = match now.wall.duration_since(due_at(&job, last)) {
            _ if more => Newest::NotYet,
            late if late <= MISFIRE_GRACE => Newest::OnTime,
            _ => Newest::Late,
        };
        let suppressed = |nominal| paused || job.timetable.is_excepted(nominal);
        let steps = catch_up::plan(job.policies.catch_up, due, suppressed, newest, now.wall);
        let several = steps.iter().filter(|step| matches!(step, Step::Run(..))).count() > 1;
        for step in steps {
            match step {
                Step::Decide(span) => effects.push(decided(&job, span, now)),
                Step::Run(nominal, cause) => {
                    let id = RunId::repeated(name, cause, nominal, repeat.of(nominal));
                    self.fire(&job, id, nominal, cause, several, now, effects);
                }
            }
        }
    }

    /// Makes a run for a nominal time, or skips it, as the overlap policy says.
    #[expect(clippy::too_many_arguments, reason = "they are the run")]
    fn fire(&mut self, job: &Arc<Job>, id: RunId, nominal: Timestamp, cause: Cause, caught_up: bool, now: Now, effects: &mut Vec<Effect>) {
        let name = &job.name;
        match self.admit(name, caught_up, now, effects) {
            Verdict::Skip => {
                let skipped = Span { first: nominal, last: nominal, count: 1, decision: Decision::Skipped };
                effects.push(decided(job, skipped, now));
            }
            verdict => {
                let (key, targets) = (self.next_key(now), job.targets.of_run());
                let info = Arc::new(RunInfo {
                    key,
                    id,
                    job: Arc::clone(job),
                    cause,
                    nominal,
                    fired: now.wall,
                    targets,
                    args: job.args_left(&Args::new(), nominal),
                });
                effects.push(Effect::Record(Record::Fired { run: Arc::clone(&info), decides: Decides::Nominal }));
                let not_before = not_before(&info);
                self.enter(Run::new(info, not_before), verdict == Verdict::Start, now, effects);
            }
        }
    }

    /// What the overlap policy says about one more run of the job; with `Replace` the others are stopped here.
    pub(super) fn admit(&mut self, name: &JobName, caught_up: bool, now: Now, effects: &mut Vec<Effect>) -> Verdict {
        let Some(state) = self.jobs.get(name) else { return Verdict::Skip };
        let filling = |key: &RunKey| self.runs.get(key).is_some_and(|run| run.info.cause == Cause::Backfill);
        let (backfill, live): (Vec<RunKey>, Vec<RunKey>) = state.live.iter().copied().partition(filling);
        let beside = Beside { live: live.len(), waiting: state.waiting.len(), backfill: !backfill.is_empty() };
        let verdict = overlap::verdict(state.job.policies.overlap, beside, caught_up);
        if verdict == Verdict::Replace {
            for run in live.into_iter().chain(state.waiting.iter().copied()).collect::<Vec<_>>() {
                self.stop_run(run, StopReason::Replaced, now, effects);
            }
        }
        verdict
    }

    /// Takes a recorded run in: to start, or to wait behind the others of its job.
    pub(super) fn enter(&mut self, run: Run, start: bool, now: Now, effects: &mut Vec<Effect>) {
        let key = run.info.key;
        let Some(state) = self.jobs.get_mut(&run.info.job.name) else { return };
        // What the run replaces may have ended at once, because nothing of it had started.
        let start = start || (state.live.is_empty() && state.waiting.is_empty());
        if start {
            state.live.push(key);
        } else {
            state.waiting.push_back(key);
        }
        self.runs.insert(key, run);
        if start {
            self.begin(key, now, effects);
        }
    }

    /// A new configuration. Live runs keep the definition they were fired with.
    pub(super) fn load(&mut self, config: Arc<Config>, now: Now, effects: &mut Vec<Effect>) {
        // What has fallen due belongs to the old one: the accounting of an edited schedule begins at the present.
        self.decide_fires(now, effects);
        for (name, job) in &config.jobs {
            let beginning = if let Some(state) = self.jobs.get_mut(name) {
                let same = accounting::fingerprint(&state.job) == accounting::fingerprint(job) && !state.removed;
                let moved = state.job.jitter != job.jitter || state.job.timetable != job.timetable;
                state.job = Arc::clone(job);
                state.removed = false;
                if same {
                    // The same schedule may name other instants: the data of its zone were updated.
                    if moved {
                        self.schedule(name, effects);
                    }
                    self.await_success(name);
                    continue;
                }
                Beginning::Changed
            } else {
                self.jobs.insert(Arc::clone(name), JobState::new(Arc::clone(job), now.wall));
                Beginning::New
            };
            self.start_accounting(name, beginning, Some(Arc::clone(&self.boot_id)), now, effects);
            self.await_success_from(name, now, effects);
        }
        let gone: Vec<_> = self.jobs.keys().filter(|name| !config.jobs.contains_key(*name)).cloned().collect();
        self.successors = follow::successors(&config);
        self.config = config;
        self.retired.retain(|_, accounted| accounted.watermark.max(accounted.repeat.until) > now.wall);
        for name in gone {
            self.remove_job(&name, now, effects);
        }
    }

    fn remove_job(&mut self, name: &JobName, now: Now, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        state.removed = true;
        state.next = None;
        if let Some(due) = state.due.take() {
            self.fires.remove(&(due, Arc::clone(name)));
        }
        let accounted = state.accounted;
        for run in state.waiting.iter().chain(&state.filling).copied().collect::<Vec<_>>() {
            self.stop_run(run, StopReason::Cancelled, now, effects);
        }
        self.await_success(name);
        self.end_accounting(name, accounted, now, effects);
        self.forget_if_unused(name);
    }

    pub(super) fn forget_if_unused(&mut self, name: &JobName) {
        let unused = |state: &JobState| state.removed && state.live.is_empty() && state.waiting.is_empty() && state.filling.is_empty();
        if self.jobs.get(name).is_some_and(unused) {
            self.jobs.remove(name);
        }
    }

    /// Puts the job's next nominal time among the fires.
    pub(super) fn schedule(&mut self, name: &JobName, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        if let Some(due) = state.due.take() {
            self.fires.remove(&(due, Arc::clone(name)));
        }
        let wanted = state.job.enabled && !state.removed && state.job.after.is_empty();
        let watermark = state.accounted.watermark;
        state.next = if wanted { state.job.timetable.next(watermark) } else { None };
        if state.next.is_some_and(|next| next <= watermark) {
            // It would fire for ever. No schedule is known to do this; one that did is not spun on.
            state.next = None;
            effects.push(Effect::Suspended { job: Arc::clone(name) });
        }
        if let Some(next) = state.next {
            let due = due_at(&state.job, next);
            state.due = Some(due);
            self.fires.insert((due, Arc::clone(name)));
        }
    }

    /// The next key: later than every other, and close to the time. A daemon's are even, those of runs by hand odd, so that a
    /// foreground run beside the daemon never takes the same.
    pub(super) fn next_key(&mut self, now: Now) -> RunKey {
        let least = now.wall.as_microsecond().max(self.last_key + 1);
        self.last_key = least + i64::from((least % 2 == 1) != self.by_hand);
        RunKey(self.last_key)
    }
}

impl JobState {
    /// Takes what is too old to be looked at one by one: all of it is missed, or suppressed while the job is paused. The cost
    /// does not grow with the years.
    fn take_backlog(&mut self, now: Now) -> Option<Span> {
        // Which of them are on excepted days, only a look at each can tell.
        if self.job.timetable.except.is_some() {
            return None;
        }
        let upto = now.wall.checked_sub(catch_up::reach(self.job.policies.catch_up, self.job.jitter)).ok()?;
        let after = self.accounted.watermark;
        let first = self.job.timetable.next(after).filter(|first| *first <= upto)?;
        let last = self.job.timetable.latest(after, upto)?;
        let decision = if self.paused { Decision::Suppressed } else { Decision::Missed };
        self.accounted.watermark = last;
        Some(Span { first, last, count: self.job.timetable.count(after, last), decision })
    }

    /// The nominal times after the watermark that have fallen due at `horizon`, and whether there are more.
    fn take_due(&self, horizon: Timestamp) -> (Vec<Timestamp>, bool) {
        let mut nominals = Vec::new();
        let mut after = self.accounted.watermark;
        while let Some(next) = self.job.timetable.next(after).filter(|next| *next > after) {
            if due_at(&self.job, next) > horizon {
                break;
            }
            if nominals.len() == MAX_DUE_AT_ONCE {
                return (nominals, true);
            }
            nominals.push(next);
            after = next;
        }
        (nominals, false)
    }
}

/// The instant at which a nominal time falls due, jitter included.
fn due_at(job: &Job, nominal: Timestamp) -> Timestamp {
    nominal + schedule::jitter(&job.name, nominal, job.jitter)
}

/// When the first partial of a run may start: its fires may be decided ahead of their instants.
pub(super) fn not_before(run: &RunInfo) -> Timestamp {
    match run.cause {
        Cause::Schedule | Cause::CatchUp => due_at(&run.job, run.nominal),
        Cause::Manual | Cause::Retry | Cause::Backfill | Cause::After => run.fired,
    }
}

fn decided(job: &Job, span: Span, now: Now) -> Effect {
    let Span { first, last, count, decision } = span;
    let tells = if decision == Decision::Missed { telling::of_missed(job, (first, last), count, now) } else { Vec::new() };
    Effect::Record(Record::Decided { job: Arc::clone(&job.name), first, last, count, decision, at: now.wall, tells })
}
