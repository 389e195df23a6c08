//! `after`: a job runs when the runs of other jobs for the same nominal time have succeeded.
//!
//! The end of a run and the runs that follow from it are one record, so that a crash leaves both or neither. Where a job waits
//! for several others, what has succeeded so far is kept on record too, until the last one has.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::overlap::Verdict;
use super::run::{Run, StopReason};
use super::{Cause, Effect, Engine, Follow, Mode, Now, RunId, RunInfo, RunOutcome};
use crate::config::{Args, Config, Job, JobName, Overlap};

/// So many nominal times of a job may wait for the rest of the jobs before it; beyond, the oldest is given up.
pub const MAX_JOINS: usize = 1_000;

/// Which jobs follow each job.
pub(super) type Successors = BTreeMap<JobName, Vec<JobName>>;

/// For a nominal time, the jobs whose runs have succeeded.
pub(super) type Joins = BTreeMap<Timestamp, Vec<JobName>>;

pub(super) fn successors(config: &Config) -> Successors {
    let mut successors = Successors::new();
    for (name, job) in &config.jobs {
        for before in &job.after {
            successors.entry(Arc::clone(before)).or_default().push(Arc::clone(name));
        }
    }
    successors
}

/// What a job makes of the news that the run of another has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It is none of its business.
    Ignore,
    /// The others are still to come.
    Wait,
    /// All have succeeded.
    Run,
    /// All have succeeded, but the job is paused or the day excepted.
    Suppress,
}

impl Engine {
    /// What follows from the end of a run. The runs are made here, and entered once the end is on its way to the disk.
    pub(super) fn follows(&mut self, run: &RunInfo, outcome: RunOutcome, now: Now) -> Vec<Follow> {
        if outcome != RunOutcome::Succeeded || run.cause == Cause::Manual {
            return Vec::new();
        }
        let successors = self.successors.get(&run.job.name).cloned().unwrap_or_default();
        successors.iter().flat_map(|successor| self.tell(successor, run, now)).collect()
    }

    fn tell(&mut self, successor: &JobName, run: &RunInfo, now: Now) -> Vec<Follow> {
        let Some(state) = self.jobs.get_mut(successor).filter(|state| !state.removed) else { return Vec::new() };
        let job = Arc::clone(&state.job);
        let nominal = run.nominal;
        let known = state.joins.get(&nominal).map_or(&[][..], Vec::as_slice);
        match news(&job, known, &run.job.name, nominal, state.paused) {
            News::Ignore => Vec::new(),
            News::Wait => {
                let names = state.joins.entry(nominal).or_default();
                if names.contains(&run.job.name) {
                    return Vec::new();
                }
                names.push(Arc::clone(&run.job.name));
                let oldest = if state.joins.len() > MAX_JOINS { state.joins.pop_first() } else { None };
                let forgotten = oldest.map(|(nominal, _)| Follow::Forgotten { job: Arc::clone(successor), nominal });
                let joined = Follow::Joined { job: Arc::clone(successor), nominal, succeeded: Arc::clone(&run.job.name) };
                std::iter::once(joined).chain(forgotten).collect()
            }
            News::Run => {
                state.joins.remove(&nominal);
                let key = self.next_key(now);
                // The other job's runs for a nominal time may succeed more than once, so the time is that of the creation.
                let id = RunId::new(successor, Cause::After, key.time());
                let (targets, args) = (job.targets.of_run(), job.args_left(&Args::new(), nominal));
                vec![Follow::Run(Arc::new(RunInfo { key, id, job, cause: Cause::After, nominal, fired: now.wall, targets, args }))]
            }
            News::Suppress => {
                state.joins.remove(&nominal);
                vec![Follow::Forgotten { job: Arc::clone(successor), nominal }]
            }
        }
    }

    /// Enters the runs that follow; in a drain they are left to the next daemon.
    pub(super) fn enter_follows(&mut self, follows: &[Follow], now: Now, effects: &mut Vec<Effect>) {
        if self.mode != Mode::Serving {
            return;
        }
        for follow in follows {
            let Follow::Run(info) = follow else { continue };
            // It exists already, so that `skip` cannot be: it waits.
            let waits = info.job.policies.overlap != Overlap::Replace;
            let verdict = self.admit(&info.job.name, waits, now, effects);
            self.enter(Run::new(Arc::clone(info), now.wall), verdict == Verdict::Start, now, effects);
            if verdict == Verdict::Skip {
                self.stop_run(info.key, StopReason::Crowded, now, effects);
            }
        }
    }
}

/// `known`: the jobs whose runs for the nominal time have succeeded before.
fn news(job: &Job, known: &[JobName], succeeded: &JobName, nominal: Timestamp, paused: bool) -> News {
    if !job.enabled || !names(job, nominal) {
        News::Ignore
    } else if !job.after.iter().all(|before| before == succeeded || known.contains(before)) {
        News::Wait
    } else if paused || job.timetable.is_excepted(nominal) {
        News::Suppress
    } else {
        News::Run
    }
}

/// Whether the job's own schedule, if it has one, names the instant.
fn names(job: &Job, nominal: Timestamp) -> bool {
    let before = nominal.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(nominal);
    job.timetable.schedules.is_empty() || job.timetable.next(before) == Some(nominal)
}
