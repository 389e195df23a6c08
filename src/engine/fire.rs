//! From nominal times to runs: fires that fall due, triggers by hand, a new configuration.

use std::sync::Arc;

use jiff::Timestamp;

use super::catch_up::{self, Span};
use super::overlap::{self, Verdict};
use super::run::{Run, StopReason};
use super::{Answer, Cause, Decides, Decision, Effect, Engine, JobState, LEAD, Now, Record, RunId, RunInfo, RunKey, Then, Ticket};
use crate::config::{CatchUpPolicy, Config, Job, JobName, Target, Targets};
use crate::schedule;

/// At most this many nominal times of a job are looked at in one go; a longer backlog is decided in several.
const MAX_DUE_AT_ONCE: usize = 1_000_000;

impl Engine {
    /// Decides every nominal time that has fallen due.
    pub(super) fn decide_fires(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if !self.decides_fires() {
            return;
        }
        let horizon = now.wall + LEAD;
        while let Some((due, _)) = self.fires.first()
            && *due <= horizon
            && let Some((_, name)) = self.fires.pop_first()
        {
            let Some(state) = self.jobs.get_mut(&name) else { continue };
            state.due = None;
            let (nominals, more) = state.take_due(horizon);
            self.decide(&name, &nominals, more, now, effects);
            self.schedule(&name);
        }
    }

    /// Decides about `due` nominal times of one job. With `more`, later ones are due as well and will be decided next.
    fn decide(&mut self, name: &JobName, due: &[Timestamp], more: bool, now: Now, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        let Some(&last) = due.last() else { return };
        state.watermark = last;
        let job = Arc::clone(&state.job);
        if more {
            let decision = if job.catch_up.policy == CatchUpPolicy::Latest { Decision::Coalesced } else { Decision::Missed };
            let span = Span { first: due[0], last, count: due.len() as u64, decision };
            effects.push(decided(name, span, now));
            return;
        }
        let plan = catch_up::plan(job.catch_up, due, now.wall);
        for span in plan.spans {
            effects.push(decided(name, span, now));
        }
        let several = plan.runs.len() > 1;
        for (nominal, cause) in plan.runs {
            let skipped = Span { first: nominal, last: nominal, count: 1, decision: Decision::Skipped };
            match self.admit(name, several, now, effects) {
                Verdict::Skip => effects.push(decided(name, skipped, now)),
                verdict => {
                    let key = self.next_key(now);
                    let id = RunId::new(name, cause, nominal);
                    let targets = job.targets.clone();
                    let info = Arc::new(RunInfo { key, id, job: Arc::clone(&job), cause, nominal, fired: now.wall, targets });
                    effects.push(Effect::Record(Record::Fired { run: Arc::clone(&info), decides: Decides::Nominal }));
                    let not_before = not_before(&info);
                    self.enter(Run::new(info, not_before), verdict == Verdict::Start, now, effects);
                }
            }
        }
    }

    /// Starts a run by hand. The watermark is not touched.
    pub(super) fn trigger(
        &mut self,
        name: &JobName,
        keys: &[Arc<str>],
        nominal: Option<Timestamp>,
        ticket: Ticket,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let answer = match self.try_trigger(name, keys, nominal, now, effects) {
            Ok(id) => return effects.push(Effect::WhenDurable(Then::Answer { ticket, answer: Answer::Run(id) })),
            Err(answer) => answer,
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    fn try_trigger(
        &mut self,
        name: &JobName,
        keys: &[Arc<str>],
        nominal: Option<Timestamp>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<RunId, Answer> {
        if self.mode != super::Mode::Serving {
            return Err(Answer::Draining);
        }
        let job = self.jobs.get(name).filter(|state| !state.removed).map(|state| Arc::clone(&state.job)).ok_or(Answer::UnknownJob)?;
        let targets = select(&job.targets, keys).map_err(Answer::UnknownTarget)?;
        let verdict = self.admit(name, false, now, effects);
        if verdict == Verdict::Skip {
            let live = self.jobs.get(name).and_then(|state| state.live.first().or(state.waiting.front()));
            let id = live.and_then(|key| self.runs.get(key)).map(|run| run.info.id.clone());
            return Err(id.map_or(Answer::UnknownJob, Answer::Overlapping));
        }
        let key = self.next_key(now);
        // The key is unique and ascending; as the request's instant it makes the identity unique too.
        let requested = Timestamp::from_microsecond(key.0).unwrap_or(now.wall);
        let id = RunId::new(name, Cause::Manual, requested);
        let nominal = nominal.unwrap_or(requested);
        let info = Arc::new(RunInfo { key, id: id.clone(), job, cause: Cause::Manual, nominal, fired: now.wall, targets });
        effects.push(Effect::Record(Record::Fired { run: Arc::clone(&info), decides: Decides::Nothing }));
        self.enter(Run::new(info, now.wall), verdict == Verdict::Start, now, effects);
        Ok(id)
    }

    /// What the overlap policy says about one more run of the job; with `Replace` the others are stopped here.
    fn admit(&mut self, name: &JobName, caught_up: bool, now: Now, effects: &mut Vec<Effect>) -> Verdict {
        let Some(state) = self.jobs.get(name) else { return Verdict::Skip };
        let verdict = overlap::verdict(state.job.overlap, state.live.len(), state.waiting.len(), caught_up);
        if verdict == Verdict::Replace {
            for run in state.live.iter().chain(&state.waiting).copied().collect::<Vec<_>>() {
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
        for (name, job) in &config.jobs {
            match self.jobs.get_mut(name) {
                Some(state) => {
                    let same = accounting(&state.job) == accounting(job) && !state.removed;
                    state.job = Arc::clone(job);
                    state.removed = false;
                    if same {
                        continue;
                    }
                }
                None => {
                    self.jobs.insert(Arc::clone(name), JobState::new(Arc::clone(job), now.wall));
                }
            }
            self.start_accounting(name, Some(Arc::clone(&self.boot_id)), now, effects);
        }
        let gone: Vec<_> = self.jobs.keys().filter(|name| !config.jobs.contains_key(*name)).cloned().collect();
        self.config = config;
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
        for run in state.waiting.iter().copied().collect::<Vec<_>>() {
            self.stop_run(run, StopReason::Cancelled, now, effects);
        }
        self.forget_if_unused(name);
    }

    pub(super) fn forget_if_unused(&mut self, name: &JobName) {
        let unused = |state: &JobState| state.removed && state.live.is_empty() && state.waiting.is_empty();
        if self.jobs.get(name).is_some_and(unused) {
            self.jobs.remove(name);
        }
    }

    /// A job is new or its schedule changed: nominal times count from now on, so that an edit never sets off a flood.
    /// `boot_id`: the boot whose `@reboot` is decided already.
    pub(super) fn start_accounting(&mut self, name: &JobName, boot_id: Option<Arc<str>>, now: Now, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        state.watermark = now.wall;
        effects.push(Effect::Record(Record::Watermark {
            job: Arc::clone(name),
            watermark: now.wall,
            schedule_fingerprint: accounting(&state.job),
            boot_id,
        }));
        self.schedule(name);
    }

    /// Puts the job's next nominal time among the fires.
    pub(super) fn schedule(&mut self, name: &JobName) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        if let Some(due) = state.due.take() {
            self.fires.remove(&(due, Arc::clone(name)));
        }
        let wanted = state.job.enabled && !state.removed;
        // A schedule that does not move forward would fire for ever; it is refused at load, and never spun on here.
        state.next = if wanted { state.job.timetable.next(state.watermark).filter(|next| *next > state.watermark) } else { None };
        if let Some(next) = state.next {
            let due = next + schedule::jitter(name, next, state.job.jitter);
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
    /// The nominal times after the watermark that have fallen due at `horizon`, and whether there are more.
    fn take_due(&self, horizon: Timestamp) -> (Vec<Timestamp>, bool) {
        let mut nominals = Vec::new();
        let mut after = self.watermark;
        while let Some(next) = self.job.timetable.next(after).filter(|next| *next > after) {
            if next + schedule::jitter(&self.job.name, next, self.job.jitter) > horizon {
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

/// What decides a job's nominal times; a disabled job has none, and starts anew when it is enabled.
pub(super) fn accounting(job: &Job) -> u64 {
    if job.enabled { job.schedule_fingerprint() } else { 0 }
}

/// When the first partial of a run may start: its fires may be decided ahead of their instants.
pub(super) fn not_before(run: &RunInfo) -> Timestamp {
    match run.cause {
        Cause::Schedule | Cause::CatchUp => run.nominal + schedule::jitter(&run.job.name, run.nominal, run.job.jitter),
        Cause::Manual | Cause::Retry | Cause::Backfill | Cause::After => run.fired,
    }
}

/// The targets that were asked for by key, in the order of the job; all of them for no keys.
fn select(targets: &Targets, keys: &[Arc<str>]) -> Result<Targets, Arc<str>> {
    if keys.is_empty() {
        return Ok(targets.clone());
    }
    let mut wanted: std::collections::BTreeSet<&Arc<str>> = keys.iter().collect();
    let selected: Vec<Target> =
        (0..targets.partials()).filter_map(|index| targets.get(index)).filter(|target| wanted.remove(&target.key)).collect();
    match wanted.first() {
        Some(unknown) => Err(Arc::clone(unknown)),
        None => Ok(Targets::List(selected.into())),
    }
}

fn decided(job: &JobName, span: Span, now: Now) -> Effect {
    let Span { first, last, count, decision } = span;
    Effect::Record(Record::Decided { job: Arc::clone(job), first, last, count, decision, at: now.wall })
}
