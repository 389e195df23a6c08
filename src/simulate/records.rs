//! The records of a simulation: as much as the next daemon needs after a downtime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::JobName;
use crate::engine::{Decides, Follow, PartialRecord, Record, RecoveredJob, RecoveredRun, Recovery, RunInfo, RunKey};

#[derive(Debug, Default)]
pub(super) struct Records {
    jobs: BTreeMap<JobName, RecoveredJob>,
    /// Without those that have ended. What is `retried` stays `retrying` as well, until that attempt has ended.
    runs: BTreeMap<RunKey, RecoveredRun>,
    joined: BTreeSet<(JobName, Timestamp, JobName)>,
    last_key: i64,
}

impl Records {
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Accounting { job, accounted, fingerprint, boot_id, .. } => {
                let paused = self.jobs.get(&job.name).is_some_and(|known| known.paused);
                let row = RecoveredJob {
                    name: Arc::clone(&job.name),
                    watermark: accounted.watermark,
                    repeat: accounted.repeat,
                    fingerprint: *fingerprint,
                    accounting: true,
                    paused,
                    standing: self.jobs.get(&job.name).and_then(|known| known.standing),
                    boot_id: boot_id.clone(),
                };
                self.jobs.insert(Arc::clone(&job.name), row);
            }
            Record::Paused { job, paused } => self.job(job, |row| row.paused = *paused),
            Record::Removed { job } => self.job(job, |row| row.accounting = false),
            Record::Decided { job, last, .. } => self.job(job, |row| row.watermark = row.watermark.max(*last)),
            Record::Fired { run, decides } => {
                self.job(&run.job.name, |row| match decides {
                    Decides::Nominal => row.watermark = row.watermark.max(run.nominal),
                    Decides::Boot(boot) => row.boot_id = Some(Arc::clone(boot)),
                    Decides::Nothing => {}
                });
                self.fired(run);
            }
            Record::Claimed { run, upto, .. } => self.run(*run, |row| row.claimed = *upto),
            Record::Retried { run, index, attempt } => self.run(*run, |row| row.retried.push((*index, *attempt))),
            Record::Released { run, index } => self.run(*run, |row| row.retried.retain(|(other, _)| other != index)),
            Record::Planned { run } => self.run(run.key, |row| row.targets = run.targets.clone()),
            Record::Replanned { run, dropped, .. } => self.run(run.key, |row| {
                row.targets = run.targets.clone();
                row.retrying.retain(|(index, ..)| !dropped.contains(*index));
                row.retried.retain(|(index, _)| !dropped.contains(*index));
            }),
            Record::Partials(partials) => partials.iter().for_each(|partial| self.partial(partial)),
            Record::Streak(streak) => streak.partials().for_each(|partial| self.partial(&partial)),
            Record::Standing { job, standing } => self.job(job, |row| row.standing = Some(*standing)),
            Record::Told(_) | Record::Posted(_) => {}
            Record::Finished(summary) => {
                self.runs.remove(&summary.run);
                summary.follows.iter().for_each(|follow| self.follow(follow));
            }
        }
    }

    fn partial(&mut self, partial: &PartialRecord) {
        self.run(partial.run, |row| {
            row.retrying.retain(|(other, ..)| *other != partial.index);
            row.retried.retain(|(other, _)| *other != partial.index);
            if partial.retry.is_some() {
                row.retrying.push((partial.index, partial.outcome, partial.attempt));
            } else {
                let at = row.ended.partition_point(|(indexes, ..)| indexes.start < partial.index);
                row.ended.insert(at, (partial.index..partial.index + 1, partial.outcome, partial.attempt));
            }
        });
    }

    fn job(&mut self, name: &JobName, change: impl FnOnce(&mut RecoveredJob)) {
        self.jobs.get_mut(name).map(change);
    }

    fn run(&mut self, key: RunKey, change: impl FnOnce(&mut RecoveredRun)) {
        self.runs.get_mut(&key).map(change);
    }

    fn fired(&mut self, run: &RunInfo) {
        self.last_key = self.last_key.max(run.key.0);
        let row = RecoveredRun {
            key: run.key,
            id: run.id.clone(),
            job: Arc::clone(&run.job.name),
            cause: run.cause,
            nominal: run.nominal,
            fired: run.fired,
            targets: run.targets.clone(),
            args: Arc::clone(&run.args),
            claimed: 0,
            ended: Vec::new(),
            retrying: Vec::new(),
            retried: Vec::new(),
        };
        self.runs.insert(run.key, row);
    }

    fn follow(&mut self, follow: &Follow) {
        let (job, nominal) = match follow {
            Follow::Joined { job, nominal, succeeded } => {
                self.joined.insert((Arc::clone(job), *nominal, Arc::clone(succeeded)));
                return;
            }
            Follow::Run(run) => {
                self.fired(run);
                (&run.job.name, run.nominal)
            }
            Follow::Forgotten { job, nominal } => (job, *nominal),
        };
        self.joined.retain(|(other, at, _)| (other, *at) != (job, nominal));
    }

    pub(super) fn recovery(&self) -> Recovery {
        Recovery {
            jobs: self.jobs.values().cloned().collect(),
            runs: self.runs.values().map(recovered).collect(),
            joined: self.joined.iter().cloned().collect(),
            last_key: self.last_key,
        }
    }
}

fn recovered(row: &RecoveredRun) -> RecoveredRun {
    let mut row = row.clone();
    row.retrying.retain(|(index, ..)| !row.retried.iter().any(|(retried, _)| retried == index));
    row
}
