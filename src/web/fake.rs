//! A daemon and its records from memory, for tests of the API and of the commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::api::{
    ChangedJob, JobView, LiveAttempt, LiveRun, LiveStatus, OutputView, PartialCounts, PartialView, ReloadReport, RunView, StoreState,
};
use super::{Control, History, HistoryError, Request, RunFilter};
use crate::engine::{Answer, Cause, Outcome, RunId, RunKey, RunOutcome};

/// The present of all tests.
pub(crate) const NOW: &str = "2026-11-23T12:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time in a test")
}

pub(crate) fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON in a test")
}

/// Records in memory.
#[derive(Debug, Default)]
pub(crate) struct FakeHistory {
    /// Oldest first.
    pub(crate) runs: Vec<RunView>,
    pub(crate) partials: BTreeMap<i64, Vec<PartialView>>,
    pub(crate) outputs: BTreeMap<(i64, Option<u32>), Vec<OutputView>>,
}

/// A run that has ended; three of its four partials succeeded unless it did.
pub(crate) fn run(key: i64, job: &str, nominal: &str, outcome: RunOutcome) -> RunView {
    let nominal = at(nominal);
    let failed = u32::from(outcome != RunOutcome::Succeeded);
    let millis = |ms: i64| nominal + jiff::SignedDuration::from_millis(ms);
    RunView {
        id: RunId::new(job, Cause::Schedule, nominal),
        key: RunKey(key),
        job: job.to_owned(),
        cause: Cause::Schedule,
        nominal,
        zone: "America/New_York".to_owned(),
        fired: millis(2),
        started: Some(millis(3)),
        ended: Some(millis(83_003)),
        outcome: Some(outcome),
        partials: 4,
        succeeded: 4 - failed,
        failed,
        cancelled: 0,
        reason: (failed > 0).then(|| "more partials failed than `max_failures` allows".to_owned()),
        result: None,
        args: crate::config::Args::new(),
        duration_ms: Some(83_000),
    }
}

pub(crate) fn partial(index: u32, target: &str, outcome: Outcome) -> PartialView {
    let failed = outcome != Outcome::Succeeded;
    PartialView {
        index,
        target: Some(json(&serde_json::to_string(target).expect("a string"))),
        outcome,
        attempts: if failed { 2 } else { 1 },
        started: at("2026-11-23T07:00:00Z"),
        ended: at("2026-11-23T07:00:01Z"),
        duration_ms: 1_000.0 + f64::from(index),
        cpu_ms: Some(250.5),
        max_rss: failed.then_some(48 << 20),
        exit_code: Some(i32::from(failed)),
        signal: None,
        result: (!failed).then(|| json(r#"{"rows":3}"#)),
        error: failed.then(|| "exit code 1".to_owned()),
    }
}

impl FakeHistory {
    /// Two jobs, three runs; the latest of `daily-report` failed at one target, which said why.
    pub(crate) fn example() -> Self {
        let runs = vec![
            run(1, "daily-report", "2026-11-22T07:00:00Z", RunOutcome::Succeeded),
            run(2, "sync", "2026-11-23T06:00:00Z", RunOutcome::Succeeded),
            run(3, "daily-report", "2026-11-23T07:00:00Z", RunOutcome::Failed),
        ];
        let outcome = |index| if index == 2 { Outcome::Failed } else { Outcome::Succeeded };
        let targets = ["eu", "us", "jp", "kr"];
        let partials = (0..).zip(targets).map(|(index, target)| partial(index, target, outcome(index))).collect();
        let said = OutputView { attempt: 2, head: "connecting\n\u{1b}[31mrefused\u{202e}\n".to_owned(), tail: String::new(), cut: 0 };
        Self { runs, partials: [(3, partials)].into(), outputs: [((3, Some(2)), vec![said])].into() }
    }

    pub(crate) fn share(self) -> Arc<dyn History> {
        Arc::new(self)
    }

    fn of(&self, run: RunKey) -> impl DoubleEndedIterator<Item = &PartialView> {
        self.partials.get(&run.0).into_iter().flatten()
    }
}

impl History for FakeHistory {
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, HistoryError> {
        let passes = |run: &&RunView| {
            filter.job.as_ref().is_none_or(|job| *job == run.job)
                && (!filter.failed || run.outcome.is_some_and(|outcome| outcome != RunOutcome::Succeeded))
                && filter.since.is_none_or(|since| run.fired >= since)
                && filter.before.is_none_or(|before| run.key < before)
        };
        Ok(self.runs.iter().rev().filter(passes).take(filter.limit as usize).cloned().collect())
    }

    fn run(&self, name: &str) -> Result<RunView, HistoryError> {
        let named = self.runs.iter().rev().find(|run| &*run.id.0 == name || run.job == name);
        if let Some(run) = named {
            return Ok(run.clone());
        }
        let candidates: Vec<_> = self.runs.iter().filter(|run| run.id.0.starts_with(name)).collect();
        match candidates[..] {
            [] => Err(HistoryError::NoSuchRun(name.to_owned())),
            [run] => Ok(run.clone()),
            _ => {
                let candidates = candidates.iter().map(|run| format!("`{}`", run.id)).collect();
                Err(HistoryError::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }

    fn targets(&self, run: RunKey, open: bool) -> Result<Vec<String>, HistoryError> {
        let partials = self.of(run).filter(|partial| !open || partial.outcome != Outcome::Succeeded);
        Ok(partials.filter_map(|partial| Some(partial.target.as_ref()?.get().trim_matches('"').to_owned())).collect())
    }

    fn existing(&self, ids: &[RunId]) -> Result<Vec<RunId>, HistoryError> {
        Ok(ids.iter().filter(|id| self.runs.iter().any(|run| run.id == **id)).cloned().collect())
    }

    fn channels(&self) -> Result<Vec<crate::store::outbox::ChannelView>, HistoryError> {
        Ok(Vec::new())
    }

    fn last_runs(&self) -> Result<Vec<RunView>, HistoryError> {
        Ok(self.runs.iter().map(|run| (&run.job, run)).collect::<BTreeMap<_, _>>().into_values().cloned().collect())
    }

    fn partials(&self, run: RunKey, failed: bool, after: Option<u32>, limit: u32) -> Result<Vec<PartialView>, HistoryError> {
        let fails = |partial: &PartialView| !matches!(partial.outcome, Outcome::Succeeded | Outcome::Cancelled);
        let rest = self.of(run).filter(|partial| after.is_none_or(|after| partial.index > after) && (!failed || fails(partial)));
        Ok(rest.take(limit as usize).cloned().collect())
    }

    fn partial_counts(&self, run: RunKey) -> Result<PartialCounts, HistoryError> {
        let mut counts = PartialCounts::new();
        self.of(run).for_each(|partial| *counts.entry(partial.outcome.to_string()).or_default() += 1);
        Ok(counts)
    }

    fn slowest(&self, run: RunKey, limit: u32) -> Result<Vec<PartialView>, HistoryError> {
        Ok(self.of(run).rev().take(limit as usize).cloned().collect())
    }

    fn outputs(&self, run: RunKey, index: Option<u32>) -> Result<Vec<OutputView>, HistoryError> {
        Ok(self.outputs.get(&(run.0, index)).cloned().unwrap_or_default())
    }
}

pub(crate) fn job(name: &str, schedule: &str, next_fire: Option<&str>) -> JobView {
    JobView {
        name: name.to_owned(),
        description: None,
        schedule: vec![schedule.to_owned()],
        after: Vec::new(),
        zone: "America/New_York".to_owned(),
        enabled: true,
        paused: false,
        next_fire: next_fire.map(at),
        running: 0,
        waiting: 0,
        last_run: None,
    }
}

pub(crate) fn jobs() -> Vec<JobView> {
    let idle = job("cleanup", "manual", None);
    let live = JobView { running: 1, waiting: 2, ..job("sync", "@every 90s", Some("2026-11-23T12:00:30Z")) };
    let off = JobView { enabled: false, ..job("yearly", "@yearly", None) };
    vec![idle, job("daily-report", "0 2 * * *", Some("2026-11-24T07:00:00Z")), live, off]
}

pub(crate) fn status() -> LiveStatus {
    let live = LiveRun {
        id: RunId::new("sync", Cause::Schedule, at("2026-11-23T11:59:00Z")),
        job: "sync".to_owned(),
        cause: Cause::Schedule,
        nominal: at("2026-11-23T11:59:00Z"),
        zone: "America/New_York".to_owned(),
        fired: at("2026-11-23T11:59:00Z"),
        phase: "running".to_owned(),
        partials: 40,
        in_flight: 4,
        succeeded: 9,
        failed: 1,
        cancelled: 0,
        oldest: vec![
            LiveAttempt { index: 3, target: Some("jp-3".to_owned()), attempt: 1, since: at("2026-11-23T11:59:01Z"), progress: None },
            LiveAttempt {
                index: 7,
                target: Some("eu-7".to_owned()),
                attempt: 2,
                since: at("2026-11-23T11:59:48Z"),
                progress: Some("page 3 of 10".to_owned()),
            },
        ],
    };
    LiveStatus {
        version: "0.1.0".to_owned(),
        pid: 4_711,
        since: at("2026-11-22T09:00:00Z"),
        config_path: "/etc/batchd/jobs.toml".to_owned(),
        config_hash: "5f3a9c".to_owned(),
        config_loaded: at("2026-11-23T11:00:00Z"),
        jobs: 4,
        next_fire: Some(at("2026-11-23T12:00:30Z")),
        draining: false,
        reload_problems: Vec::new(),
        store: StoreState { healthy: true, reason: None, since: None },
        log: None,
        channels: Vec::new(),
        partials_ended: 5_010,
        partials_failed: 10,
        runs: vec![live],
    }
}

pub(crate) fn report() -> ReloadReport {
    let change = |job: &str, what: &[&str], before: Option<&str>, after: Option<&str>| ChangedJob {
        job: job.to_owned(),
        zone: "America/New_York".to_owned(),
        what: what.iter().map(ToString::to_string).collect(),
        next_before: before.map(at),
        next_after: after.map(at),
    };
    ReloadReport {
        applied: true,
        added: vec![change("new", &[], None, Some("2026-11-23T13:00:00Z"))],
        removed: vec![change("old", &[], Some("2026-11-23T12:30:00Z"), None)],
        changed: vec![change("sync", &["schedule"], Some("2026-11-23T12:00:30Z"), Some("2026-11-23T12:05:00Z"))],
        ..ReloadReport::default()
    }
}

/// What a fake daemon answers.
#[derive(Clone, Debug)]
pub(crate) struct FakeDaemon {
    pub(crate) status: LiveStatus,
    pub(crate) report: ReloadReport,
    /// To a cancel, and to a trigger of `daily-report`; other jobs are unknown.
    pub(crate) answer: Answer,
}

impl FakeDaemon {
    pub(crate) fn answering(answer: Answer) -> Self {
        Self { status: status(), report: report(), answer }
    }

    /// Answers until nobody can ask any more.
    pub(crate) fn start(self) -> Control {
        let (requests, mut incoming) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(request) = incoming.recv().await {
                self.reply(request);
            }
        });
        Control::new(requests)
    }

    fn reply(&self, request: Request) {
        // Whoever asked waits for it; a test that does not fails elsewhere.
        match request {
            Request::Status { reply } => drop(reply.send(self.status.clone())),
            Request::Jobs { reply } => drop(reply.send(jobs())),
            Request::Trigger { job, targets, reply, .. } => {
                let unknown = targets.iter().find(|target| !["eu", "us", "jp", "kr"].contains(&&***target));
                let answer = match unknown {
                    _ if &*job != "daily-report" => Answer::UnknownJob,
                    Some(target) => Answer::UnknownTarget(Arc::clone(target)),
                    None => self.answer.clone(),
                };
                drop(reply.send(answer));
            }
            Request::Pause { job, paused, reply } => {
                let known = jobs().into_iter().find(|known| known.name == *job);
                drop(reply.send(known.map_or(Answer::UnknownJob, |known| Answer::Paused { changed: known.paused != paused })));
            }
            Request::Nominals { job, from, to, reply, .. } => {
                let days = std::iter::successors(Some(at("2026-11-01T07:00:00Z")), |day| Some(*day + jiff::SignedDuration::from_hours(24)));
                let days = days.take_while(|day| *day < to).filter(|day| *day >= from).collect();
                drop(reply.send((&*job == "daily-report").then_some(days)));
            }
            Request::Backfill { job, nominals, reply } => {
                let ids = nominals.iter().map(|nominal| RunId::new(&job, Cause::Backfill, *nominal)).collect();
                drop(reply.send(Answer::Runs(ids)));
            }
            Request::Ended { reply, .. } => drop(reply.send(())),
            Request::Cancel { reply, .. } | Request::Retry { reply, .. } => drop(reply.send(self.answer.clone())),
            Request::Reload { plan, reply } => {
                let applied = self.report.applied && !plan;
                drop(reply.send(ReloadReport { applied, ..self.report.clone() }));
            }
        }
    }
}
