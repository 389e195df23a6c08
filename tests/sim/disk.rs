//! The store of the simulation: records in order, of which a crash keeps only a prefix that was synced. What a restart reads
//! back is computed from the records alone, apart from any database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use batchd::config::{JobName, Target, Targets};
use batchd::engine::{
    Cause, Decides, Decision, Follow, Kind, Notice, Outcome, PartialRecord, Record, RecoveredJob, RecoveredRun, Recovery, RunId, RunInfo,
    RunKey, RunOutcome, RunSummary, Tell,
};
use jiff::Timestamp;

use crate::planner::Plan;

/// The nominal times later than `since`, up to the watermark or the next accounting.
#[derive(Clone, Debug)]
pub(crate) struct Accounting {
    pub(crate) since: Timestamp,
    /// `None` while it goes on.
    pub(crate) upto: Option<Timestamp>,
    pub(crate) decided: Vec<Decided>,
}

/// A nominal time's decision, as the checks want it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
    pub(crate) decision: Decision,
}

#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    pub(crate) id: RunId,
    pub(crate) job: String,
    pub(crate) cause: Cause,
    pub(crate) nominal: Timestamp,
    pub(crate) fired: Timestamp,
    pub(crate) targets: Targets,
    pub(crate) claimed: u32,
    /// Index → last outcome, attempt, whether another attempt follows.
    pub(crate) partials: BTreeMap<u32, (Outcome, u32, bool)>,
    /// Index → the further attempt that may have been started.
    pub(crate) retried: BTreeMap<u32, u32>,
    /// How often each partial has a recorded success.
    pub(crate) successes: BTreeMap<u32, u32>,
    /// Partials whose target was taken out of the list, at the last restart.
    pub(crate) dropped: BTreeSet<u32>,
    pub(crate) outcome: Option<RunOutcome>,
    /// Succeeded, failed, cancelled.
    pub(crate) counts: (u32, u32, u32),
    pub(crate) ended: Option<Timestamp>,
    /// Whether it was stopped before its end.
    pub(crate) stopped: bool,
}

/// What is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) watermarks: BTreeMap<String, RecoveredJob>,
    /// The accountings of each job, oldest first.
    pub(crate) accountings: BTreeMap<String, Vec<Accounting>>,
    pub(crate) runs: BTreeMap<RunKey, RunRow>,
    /// The plans of runs whose targets come from elsewhere; written beside the records.
    pub(crate) plans: BTreeMap<RunKey, Plan>,
    /// Jobs that wait for others, the nominal time, and one that has succeeded for it.
    pub(crate) joined: BTreeSet<(JobName, Timestamp, JobName)>,
    /// What people were told: lane, job, kind, about.
    pub(crate) told: BTreeSet<(String, String, Kind, String)>,
    /// The last daemon has drained: it has told of all that it started.
    pub(crate) left_in_order: bool,
    /// Of the runs.
    ids: BTreeSet<RunId>,
}

impl Disk {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Accounting { job, accounted, fingerprint, boot_id, .. } => {
                self.end_accounting(&job.name);
                let paused = self.watermarks.get(&*job.name).is_some_and(|row| row.paused);
                let accounting = Accounting { since: accounted.watermark, upto: None, decided: Vec::new() };
                self.accountings.entry(job.name.to_string()).or_default().push(accounting);
                let row = RecoveredJob {
                    name: Arc::clone(&job.name),
                    watermark: accounted.watermark,
                    repeat: accounted.repeat,
                    fingerprint: *fingerprint,
                    accounting: true,
                    paused,
                    standing: self.watermarks.get(&*job.name).and_then(|row| row.standing),
                    boot_id: boot_id.clone(),
                };
                self.watermarks.insert(job.name.to_string(), row);
            }
            Record::Paused { job, paused } => self.watermarks.get_mut(&**job).expect("a job is known").paused = *paused,
            Record::Removed { job } => {
                self.end_accounting(job);
                if let Some(row) = self.watermarks.get_mut(&**job) {
                    row.fingerprint = 0;
                    row.accounting = false;
                    row.paused = false;
                }
            }
            Record::Decided { job, first, last, count, decision, tells, .. } => {
                self.tell_all(tells);
                let row = self.watermarks.get_mut(&**job).expect("a decision follows a watermark");
                assert!(*first > row.watermark, "{job}: {first} was decided before");
                row.watermark = *last;
                let decided = Decided { first: *first, last: *last, count: *count, decision: *decision };
                self.accounting(job).decided.push(decided);
            }
            Record::Fired { run, decides } => self.fired(run, decides),
            Record::Claimed { run, upto, .. } => self.live(*run).claimed = *upto,
            Record::Retried { run, index, attempt } => {
                let row = self.live(*run);
                let (_, before, _) = row.partials[index];
                assert!(*attempt == before + 1, "{} partial {index}: attempt {attempt} was not due", row.id);
                row.retried.insert(*index, *attempt);
            }
            Record::Released { run, index } => {
                assert!(self.live(*run).retried.remove(index).is_some(), "run {run:?} partial {index}: nothing was to be released");
            }
            Record::Planned { run } => {
                let row = self.live(run.key);
                assert_eq!(row.targets.partials(), 0, "{}: planned twice", row.id);
                row.targets = run.targets.clone();
            }
            Record::Replanned { run, dropped, .. } => {
                let row = self.live(run.key);
                let succeeded = |index: &u32| {
                    matches!(row.partials.get(index), Some((Outcome::Succeeded, _, false))) && !row.retried.contains_key(index)
                };
                assert!(!dropped.iter().any(|index| succeeded(&index)), "{}: drops a success", row.id);
                row.targets = run.targets.clone();
                row.retried.retain(|index, _| !dropped.contains(*index));
                for index in dropped.iter() {
                    let attempt = row.partials.get(&index).map_or(0, |(_, attempt, _)| *attempt);
                    row.partials.insert(index, (Outcome::Cancelled, attempt, false));
                }
                row.dropped = dropped.iter().collect();
            }
            Record::Partials(partials) => partials.iter().for_each(|partial| self.partial(partial)),
            Record::Streak(streak) => streak.partials().for_each(|partial| self.partial(&partial)),
            Record::Told(tell) => self.tell(tell),
            Record::Standing { job, standing } => self.watermarks.get_mut(&**job).expect("a job is known").standing = Some(*standing),
            Record::Posted(posted) => panic!("nobody delivers here: {posted:?}"),
            Record::Finished(summary) => {
                let row = self.live(summary.run);
                row.outcome = Some(summary.outcome);
                row.ended = Some(summary.ended);
                row.counts = (summary.succeeded, summary.failed, summary.cancelled);
                let stopped =
                    |reason: &str| !reason.starts_with("the gather command") && !reason.ends_with("while the run was interrupted");
                row.stopped = summary.reason.as_deref().is_some_and(stopped);
                let job = row.job.clone();
                self.stand(&job, summary);
                self.tell_all(&summary.tells);
                for follow in &summary.follows {
                    self.follow(follow);
                }
            }
        }
    }

    fn partial(&mut self, partial: &PartialRecord) {
        assert!(partial.outcome != Outcome::Lost || !self.left_in_order, "lost after a drain: {partial:?}");
        let row = self.live(partial.run);
        let before = row.partials.get(&partial.index).map_or(0, |(_, attempt, _)| *attempt);
        assert!(partial.attempt > before, "{} partial {}: attempt {} twice", row.id, partial.index, partial.attempt);
        row.retried.remove(&partial.index);
        row.partials.insert(partial.index, (partial.outcome, partial.attempt, partial.retry.is_some()));
        *row.successes.entry(partial.index).or_default() += u32::from(partial.outcome == Outcome::Succeeded);
    }

    fn tell_all(&mut self, tells: &[Tell]) {
        for tell in tells {
            self.tell(tell);
        }
    }

    /// As the outbox: once.
    fn tell(&mut self, tell: &Tell) {
        let Notice { event, job, .. } = &tell.notice;
        let lanes = if event.is_ping() { vec!["ping".to_owned()] } else { tell.to.iter().map(ToString::to_string).collect() };
        self.told.extend(lanes.into_iter().map(|lane| (lane, job.clone(), *event, tell.about.clone())));
    }

    /// Each end that is not a success counts, and a success of the whole job ends the count.
    fn stand(&mut self, job: &str, summary: &RunSummary) {
        let Some(known) = self.watermarks.get_mut(job) else { return };
        let before = known.standing.map_or(0, |standing| standing.failures);
        known.standing = summary.standing.or(known.standing);
        let after = known.standing.map_or(0, |standing| standing.failures);
        match summary.outcome {
            RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::Interrupted => {
                assert!(after == before + 1 || summary.tells.is_empty(), "{job}: {before} failures, then {after}");
            }
            RunOutcome::Succeeded | RunOutcome::PartlyFailed => assert!(after == 0 || after == before, "{job}: {before}, then {after}"),
            RunOutcome::Cancelled => assert_eq!(after, before, "{job}: a cancelled run counts"),
        }
    }

    fn fired(&mut self, run: &RunInfo, decides: &Decides) {
        self.decide(run, decides);
        let row = RunRow {
            id: run.id.clone(),
            job: run.job.name.to_string(),
            cause: run.cause,
            nominal: run.nominal,
            fired: run.fired,
            targets: run.targets.clone(),
            claimed: 0,
            partials: BTreeMap::new(),
            retried: BTreeMap::new(),
            successes: BTreeMap::new(),
            dropped: BTreeSet::new(),
            outcome: None,
            counts: (0, 0, 0),
            ended: None,
            stopped: false,
        };
        assert!(self.ids.insert(run.id.clone()), "{} exists twice", run.id);
        assert!(self.runs.insert(run.key, row).is_none(), "{} has the key of another run", run.id);
    }

    fn follow(&mut self, follow: &Follow) {
        match follow {
            Follow::Joined { job, nominal, succeeded } => drop(self.joined.insert((job.clone(), *nominal, succeeded.clone()))),
            Follow::Run(run) => {
                self.fired(run, &Decides::Nothing);
                self.joined.retain(|(job, nominal, _)| (job, nominal) != (&run.job.name, &run.nominal));
            }
            Follow::Forgotten { job: forgotten, nominal: at } => self.joined.retain(|(job, nominal, _)| (job, nominal) != (forgotten, at)),
        }
    }

    /// The target of a partial, as planned.
    pub(crate) fn target(&self, run: RunKey, index: u32) -> Option<Target> {
        let row = &self.runs[&run];
        if row.targets.are_stored() { self.plans.get(&run)?.target(index) } else { row.targets.get(index) }
    }

    fn accounting(&mut self, job: &str) -> &mut Accounting {
        let open = self.accountings.get_mut(job).and_then(|all| all.last_mut());
        open.filter(|accounting| accounting.upto.is_none()).expect("a decision belongs to an accounting")
    }

    fn end_accounting(&mut self, job: &str) {
        if let (Some(row), Some(open)) = (self.watermarks.get(job), self.accountings.get_mut(job).and_then(|all| all.last_mut())) {
            open.upto.get_or_insert(row.watermark);
        }
    }

    fn decide(&mut self, run: &RunInfo, decides: &Decides) {
        let row = self.watermarks.get_mut(&*run.job.name);
        match decides {
            Decides::Nominal => {
                let row = row.expect("a decision follows a watermark");
                assert!(run.nominal > row.watermark, "{}: was decided before", run.id);
                assert!(!row.paused, "{}: fired while its job is paused", run.id);
                row.watermark = run.nominal;
                let ran = Decided { first: run.nominal, last: run.nominal, count: 1, decision: Decision::Ran };
                self.accounting(&run.job.name).decided.push(ran);
            }
            Decides::Boot(boot) => row.expect("a decision follows a watermark").boot_id = Some(boot.clone()),
            Decides::Nothing => {}
        }
    }

    fn live(&mut self, run: RunKey) -> &mut RunRow {
        let row = self.runs.get_mut(&run).expect("a record names a recorded run");
        assert!(row.outcome.is_none(), "{}: a record after its end", row.id);
        row
    }

    /// What the next daemon reads.
    pub(crate) fn recovery(&self) -> Recovery {
        let open = self.runs.iter().filter(|(_, run)| run.outcome.is_none());
        let runs = open.map(|(key, run)| {
            let open = run.partials.iter().filter(|(index, _)| !run.retried.contains_key(index));
            let (waiting, ended): (Vec<_>, Vec<_>) = open.partition(|(_, (_, _, again))| *again);
            RecoveredRun {
                key: *key,
                id: run.id.clone(),
                job: run.job.as_str().into(),
                cause: run.cause,
                nominal: run.nominal,
                fired: run.fired,
                targets: run.targets.clone(),
                args: Arc::default(),
                claimed: run.claimed,
                ended: ended.into_iter().map(|(index, (outcome, attempt, _))| (*index..*index + 1, *outcome, *attempt)).collect(),
                retried: run.retried.iter().map(|(index, attempt)| (*index, *attempt)).collect(),
                retrying: waiting.into_iter().map(|(index, (outcome, attempt, _))| (*index, *outcome, *attempt)).collect(),
            }
        });
        Recovery {
            jobs: self.watermarks.values().cloned().collect(),
            joined: self.joined.iter().cloned().collect(),
            runs: runs.collect(),
            last_key: self.runs.keys().next_back().map_or(0, |key| key.0),
        }
    }
}
