//! What people ask for: a run now, a pause, the runs of a stretch of the past.

use std::sync::Arc;

use jiff::Timestamp;

use super::overlap::{MAX_RUNS_PER_JOB, Verdict};
use super::run::Run;
use super::{Answer, Cause, Decides, Effect, Engine, Mode, Now, Record, RunId, RunInfo, Then, Ticket};
use crate::config::{Args, Job, JobName, Selection, Target, Targets};

impl Engine {
    /// Starts a run by hand. The watermark is not touched.
    pub(super) fn trigger(
        &mut self,
        name: &JobName,
        (keys, args): (&[Arc<str>], &Args),
        nominal: Option<Timestamp>,
        ticket: Ticket,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let answer = match self.try_trigger(name, keys, args, nominal, now, effects) {
            Ok(id) => return effects.push(Effect::WhenDurable(Then::Answer { ticket, answer: Answer::Run(id) })),
            Err(answer) => answer,
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    fn try_trigger(
        &mut self,
        name: &JobName,
        keys: &[Arc<str>],
        args: &Args,
        nominal: Option<Timestamp>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<RunId, Answer> {
        let job = self.known(name)?;
        let targets = select(&job.targets, keys).map_err(Answer::UnknownTarget)?;
        let nominal = nominal.unwrap_or(now.wall);
        let args = job.args(args, nominal).map_err(Answer::WrongArgument)?;
        self.make(job, Cause::Manual, nominal, (targets, args), now, effects)
    }

    /// Works on targets of an earlier run again. Those that the job has no more are left out.
    pub(super) fn retry(
        &mut self,
        name: &JobName,
        (keys, args): (&[Arc<str>], &Args),
        nominal: Timestamp,
        ticket: Ticket,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let made = self.known(name).and_then(|job| {
            let targets = still_there(&job.targets, keys)?;
            let args = job.args_left(args, nominal);
            self.make(job, Cause::Retry, nominal, (targets, args), now, effects)
        });
        effects.push(match made {
            Ok(id) => Effect::WhenDurable(Then::Answer { ticket, answer: Answer::Run(id) }),
            Err(answer) => Effect::Answer { ticket, answer },
        });
    }

    fn known(&self, name: &JobName) -> Result<Arc<Job>, Answer> {
        if self.mode != Mode::Serving {
            return Err(Answer::Draining);
        }
        self.jobs.get(name).filter(|state| !state.removed).map(|state| Arc::clone(&state.job)).ok_or(Answer::UnknownJob)
    }

    /// A run that was asked for, unless the overlap policy is against it.
    fn make(
        &mut self,
        job: Arc<Job>,
        cause: Cause,
        nominal: Timestamp,
        (targets, args): (Targets, Arc<Args>),
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<RunId, Answer> {
        let name = Arc::clone(&job.name);
        let verdict = self.admit(&name, false, now, effects);
        if verdict == Verdict::Skip {
            let live = self.jobs.get(&name).and_then(|state| state.live.first().or(state.waiting.front()));
            let id = live.and_then(|key| self.runs.get(key)).map(|run| run.info.id.clone());
            return Err(id.map_or(Answer::UnknownJob, Answer::Overlapping));
        }
        let key = self.next_key(now);
        // The key is unique and ascending; as the request's instant it makes the identity unique too.
        let id = RunId::new(&name, cause, key.time());
        let info = Arc::new(RunInfo { key, id: id.clone(), job, cause, nominal, fired: now.wall, targets, args });
        effects.push(Effect::Record(Record::Fired { run: Arc::clone(&info), decides: Decides::Nothing }));
        self.enter(Run::new(info, now.wall), verdict == Verdict::Start, now, effects);
        Ok(id)
    }

    /// While a job is paused, its nominal times are suppressed as they fall due; what is live goes on.
    pub(super) fn pause(&mut self, name: &JobName, paused: bool, ticket: Ticket, now: Now, effects: &mut Vec<Effect>) {
        let Some(state) = self.jobs.get_mut(name).filter(|state| !state.removed) else {
            return effects.push(Effect::Answer { ticket, answer: Answer::UnknownJob });
        };
        let changed = state.paused != paused;
        state.paused = paused;
        if changed {
            effects.push(Effect::Record(Record::Paused { job: Arc::clone(name), paused }));
            if paused { self.await_success(name) } else { self.await_success_from(name, now, effects) }
        }
        effects.push(Effect::WhenDurable(Then::Answer { ticket, answer: Answer::Paused { changed } }));
    }

    /// Makes a run for each of these nominal times of the past. They go one after the other, and no fire is skipped for them.
    pub(super) fn backfill(&mut self, name: &JobName, nominals: &[Timestamp], ticket: Ticket, now: Now, effects: &mut Vec<Effect>) {
        let answer = match self.fillable(name, nominals.len()) {
            Ok(job) => {
                let ids = nominals.iter().map(|nominal| self.fill(&job, *nominal, now, effects)).collect();
                self.begin_next(name, now, effects);
                return effects.push(Effect::WhenDurable(Then::Answer { ticket, answer: Answer::Runs(ids) }));
            }
            Err(answer) => answer,
        };
        effects.push(Effect::Answer { ticket, answer });
    }

    fn fillable(&self, name: &JobName, wanted: usize) -> Result<Arc<Job>, Answer> {
        if self.mode != Mode::Serving {
            return Err(Answer::Draining);
        }
        let state = self.jobs.get(name).filter(|state| !state.removed).ok_or(Answer::UnknownJob)?;
        if state.filling.len() + wanted > MAX_RUNS_PER_JOB {
            return Err(Answer::TooMany { waiting: state.filling.len() });
        }
        Ok(Arc::clone(&state.job))
    }

    fn fill(&mut self, job: &Arc<Job>, nominal: Timestamp, now: Now, effects: &mut Vec<Effect>) -> RunId {
        let (key, id) = (self.next_key(now), RunId::new(&job.name, Cause::Backfill, nominal));
        let (targets, args) = (job.targets.of_run(), job.args_left(&Args::new(), nominal));
        let (job, cause) = (Arc::clone(job), Cause::Backfill);
        let info = Arc::new(RunInfo { key, id: id.clone(), job, cause, nominal, fired: now.wall, targets, args });
        effects.push(Effect::Record(Record::Fired { run: Arc::clone(&info), decides: Decides::Nothing }));
        self.enter_filling(Run::new(info, now.wall));
        id
    }

    /// Takes in a recorded run of a backfill.
    pub(super) fn enter_filling(&mut self, run: Run) {
        let key = run.info.key;
        let Some(state) = self.jobs.get_mut(&run.info.job.name) else { return };
        state.filling.push_back(key);
        self.runs.insert(key, run);
    }
}

/// The targets that were asked for by key, in the order of the job; all of them for no keys.
fn select(targets: &Targets, keys: &[Arc<str>]) -> Result<Targets, Arc<str>> {
    if keys.is_empty() {
        return Ok(targets.of_run());
    }
    if let Targets::Source(_) = targets {
        return Ok(Targets::Unplanned(Selection::Named(keys.into())));
    }
    let mut wanted: std::collections::BTreeSet<&Arc<str>> = keys.iter().collect();
    let selected: Vec<Target> =
        (0..targets.partials()).filter_map(|index| targets.get(index)).filter(|target| wanted.remove(&target.key)).collect();
    match wanted.first() {
        Some(unknown) => Err(Arc::clone(unknown)),
        None => Ok(Targets::List(selected.into())),
    }
}

/// The targets of the job that are among the keys, in its order; the first key where none is.
fn still_there(targets: &Targets, keys: &[Arc<str>]) -> Result<Targets, Answer> {
    let Some(first) = keys.first() else { return Ok(targets.of_run()) };
    if let Targets::Source(_) = targets {
        return Ok(Targets::Unplanned(Selection::StillThere(keys.into())));
    }
    let wanted: std::collections::BTreeSet<&Arc<str>> = keys.iter().collect();
    let all = (0..targets.partials()).filter_map(|index| targets.get(index));
    let found: Vec<Target> = all.filter(|target| wanted.contains(&target.key)).collect();
    if found.is_empty() { Err(Answer::UnknownTarget(Arc::clone(first))) } else { Ok(Targets::List(found.into())) }
}
