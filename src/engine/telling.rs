//! Who is told of what: after a run's end, of nominal times that were missed, and of what is expected and does not come.
//!
//! A message is one record with what it tells of, so that a crash leaves both or neither. The decision is a pure function of the
//! job's standing and the end of the run; what the store knows of the same thing already is told once.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cause, Effect, Engine, Mode, Now, Record, RunInfo, RunKey, RunOutcome, RunSummary};
use crate::config::{ChannelName, Expect, Job, JobName, Telling};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A run did not succeed.
    Failure,
    /// As many runs in a row as `notify.failing` says did not succeed.
    Failing,
    /// A run has succeeded after one that did not, or after a success was overdue.
    Recovery,
    /// Nominal times were missed.
    Missed,
    /// A run takes longer than `expect.within`, or no success has come for `expect.every`.
    Late,
    /// A ping: the run starts.
    Start,
    /// A ping: it has succeeded.
    Success,
    /// A ping: it has not.
    Fail,
    /// A ping: it was cancelled, which is neither.
    Log,
    /// Nothing: somebody tries a channel.
    Test,
}

impl Kind {
    /// Whether it goes to the job's `ping` and not to a channel.
    pub fn is_ping(self) -> bool {
        matches!(self, Self::Start | Self::Success | Self::Fail | Self::Log)
    }
}

/// How a job stands, for what people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Runs in a row that did not succeed.
    pub failures: u32,
    /// Since when a success is awaited: the last one, or the beginning.
    pub heard: Timestamp,
}

/// A message that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tell {
    /// Empty for a ping.
    pub to: Vec<ChannelName>,
    /// With the kind and the job: what is told once.
    pub about: String,
    pub run: Option<RunKey>,
    pub notice: Notice,
}

/// The facts of a message; what has no value is `null`. This is the JSON that webhooks and commands get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub event: Kind,
    pub job: String,
    pub description: Option<String>,
    /// The name of the run.
    pub run: Option<String>,
    pub cause: Option<Cause>,
    /// Of the run; of nominal times that were missed, the last.
    pub nominal: Timestamp,
    /// The job's zone, an IANA name.
    pub zone: String,
    /// When it was so.
    pub at: Timestamp,
    pub outcome: Option<RunOutcome>,
    /// For people, one line.
    pub reason: Option<String>,
    /// Runs in a row that did not succeed; of a recovery, before it.
    pub failures: u32,
    /// Since when a success is awaited, or the run is live; of nominal times that were missed, the first.
    pub since: Option<Timestamp>,
    /// So many nominal times were missed.
    pub missed: u64,
    pub partials: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
    /// The first of the targets that failed; the store adds them from its records.
    pub failed_targets: Vec<FailedTarget>,
    /// The command that runs again what failed.
    pub retry: Option<String>,
    /// Of a ping that says fail: the end of what was said; the store adds it from its records.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// One target of a run that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTarget {
    /// `null` in a job without targets.
    pub target: Option<String>,
    pub outcome: super::Outcome,
    pub error: Option<String>,
}

/// Targets named in a message, at most; the others are counted.
pub const MAX_NAMED_TARGETS: u32 = 20;

impl Notice {
    /// One that tells nothing.
    pub fn test(channel: &str, at: Timestamp) -> Self {
        Self::about(Kind::Test, channel, "UTC", at, at)
    }

    fn new(event: Kind, job: &Job, nominal: Timestamp, at: Timestamp) -> Self {
        let description = job.description.clone();
        Self { description, ..Self::about(event, &job.name, &job.timetable.zone.name, nominal, at) }
    }

    fn about(event: Kind, job: &str, zone: &str, nominal: Timestamp, at: Timestamp) -> Self {
        Self {
            event,
            job: job.to_owned(),
            description: None,
            run: None,
            cause: None,
            nominal,
            zone: zone.to_owned(),
            at,
            outcome: None,
            reason: None,
            failures: 0,
            since: None,
            missed: 0,
            partials: 0,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            failed_targets: Vec::new(),
            retry: None,
            output: String::new(),
        }
    }

    fn of_run(event: Kind, run: &RunInfo, at: Timestamp) -> Self {
        Self {
            run: Some(run.id.to_string()),
            cause: Some(run.cause),
            partials: run.targets.partials(),
            ..Self::new(event, &run.job, run.nominal, at)
        }
    }
}

/// What the end of a run says about its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
    /// A person ended it, or a later run replaced it.
    Neither,
}

fn verdict(outcome: RunOutcome) -> Verdict {
    match outcome {
        // Failures within `max_failures` are what the job's owner has allowed.
        RunOutcome::Succeeded | RunOutcome::PartlyFailed => Verdict::Good,
        RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::Interrupted => Verdict::Bad,
        RunOutcome::Cancelled => Verdict::Neither,
    }
}

/// How the job stands after a run has ended so, and who is told of what; of two messages to one channel, the one that says more.
/// `counts`: a success of this run is one of the job, and not of some of its targets only.
fn after_run(
    before: Standing,
    outcome: RunOutcome,
    counts: bool,
    at: Timestamp,
    telling: &Telling,
    expect: Expect,
) -> (Standing, Vec<(Kind, Vec<ChannelName>)>) {
    match verdict(outcome) {
        Verdict::Good if counts => {
            let overdue = expect
                .every
                .is_some_and(|every| elapsed(before.heard, at) >= SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX));
            let tells = if before.failures > 0 || overdue { vec![(Kind::Recovery, telling.recovery.clone())] } else { Vec::new() };
            (Standing { failures: 0, heard: at }, tells)
        }
        Verdict::Bad => {
            let failures = before.failures.saturating_add(1);
            let failing = telling.failing.as_ref().filter(|(count, _)| *count == failures).map(|(_, to)| to.clone()).unwrap_or_default();
            let failure = telling.failure.iter().filter(|name| !failing.contains(name)).cloned().collect();
            (Standing { failures, ..before }, vec![(Kind::Failing, failing), (Kind::Failure, failure)])
        }
        Verdict::Good | Verdict::Neither => (before, Vec::new()),
    }
}

/// As the store keeps it, so that a restart tells of the same.
fn instant(at: Timestamp) -> String {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at).to_string()
}

fn elapsed(since: Timestamp, at: Timestamp) -> SignedDuration {
    at.duration_since(since)
}

impl Engine {
    /// Completes the record of a run's end with who is told of it, and how the job stands then.
    pub(super) fn tell_of_end(&mut self, run: &RunInfo, summary: &mut RunSummary) {
        if self.by_hand {
            return;
        }
        let Some(state) = self.jobs.get_mut(&run.job.name).filter(|state| !state.removed) else { return };
        let job = &state.job;
        // Of a run by hand over some of the targets, only a failure says something about the job.
        let counts = run.cause == Cause::Retry || run.targets.partials() >= job.targets.partials();
        let before = state.standing;
        let telling = job.telling.as_deref().unwrap_or(&NOBODY);
        let (after, tells) = after_run(before, summary.outcome, counts, summary.ended, telling, job.policies.expect);
        let notice = |kind: Kind| Notice {
            outcome: Some(summary.outcome),
            reason: summary.reason.as_deref().map(str::to_owned),
            failures: before.failures.max(after.failures),
            since: (kind == Kind::Recovery).then_some(before.heard),
            succeeded: summary.succeeded,
            failed: summary.failed,
            cancelled: summary.cancelled,
            retry: matches!(kind, Kind::Failure | Kind::Failing).then(|| format!("batchd retry {}", run.id)),
            ..Notice::of_run(kind, run, summary.ended)
        };
        let tells = tells.into_iter().filter(|(_, to)| !to.is_empty());
        summary.tells =
            tells.map(|(kind, to)| Tell { to, about: instant(run.nominal), run: Some(run.key), notice: notice(kind) }).collect();
        if job.ping.is_some() {
            let kind = match verdict(summary.outcome) {
                Verdict::Good => Kind::Success,
                Verdict::Bad => Kind::Fail,
                Verdict::Neither => Kind::Log,
            };
            summary.tells.push(Tell { to: Vec::new(), about: run.id.to_string(), run: Some(run.key), notice: notice(kind) });
        }
        summary.standing = (after != before).then_some(after);
        state.standing = after;
        self.await_success(&run.job.name);
    }

    /// The run begins: its ping says so.
    pub(super) fn ping_start(&self, run: &RunInfo, now: Now, effects: &mut Vec<Effect>) {
        if run.job.ping.is_some() && !self.by_hand {
            let tell = Tell { to: Vec::new(), about: run.id.to_string(), run: None, notice: Notice::of_run(Kind::Start, run, now.wall) };
            effects.push(Effect::Record(Record::Told(Box::new(tell))));
        }
    }

    /// The run is live for longer than is expected.
    pub(super) fn run_is_late(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get(&key) else { return };
        let Some((telling, within)) = run.info.job.telling.as_ref().zip(run.info.job.policies.expect.within) else { return };
        let counts = run.counts;
        let notice = Notice {
            reason: Some(format!("it takes longer than {}", humantime::format_duration(within))),
            since: Some(now.wall.checked_sub(within).unwrap_or(now.wall)),
            succeeded: counts.succeeded,
            failed: counts.failed,
            cancelled: counts.cancelled,
            ..Notice::of_run(Kind::Late, &run.info, now.wall)
        };
        let tell = Tell { to: telling.late.clone(), about: run.info.id.to_string(), run: None, notice };
        effects.push(Effect::Record(Record::Told(Box::new(tell))));
    }

    /// Sets when people are told that the job has not succeeded for so long; once, until it has.
    pub(super) fn await_success(&mut self, name: &JobName) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        if let Some(at) = state.overdue_at.take() {
            self.overdue.remove(&(at, Arc::clone(name)));
        }
        let job = &state.job;
        let told = job.telling.as_ref().is_some_and(|telling| !telling.late.is_empty());
        let awaited = told && job.enabled && !state.paused && !state.removed && !self.by_hand;
        let every = job.policies.expect.every.filter(|_| awaited).and_then(|every| SignedDuration::try_from(every).ok());
        if let Some(at) = every.and_then(|every| state.standing.heard.checked_add(every).ok()) {
            state.overdue_at = Some(at);
            self.overdue.insert((at, Arc::clone(name)));
        }
    }

    /// The wait for a success begins now: the job was paused, or its schedule has changed.
    pub(super) fn await_success_from(&mut self, name: &JobName, now: Now, effects: &mut Vec<Effect>) {
        if let Some(state) = self.jobs.get_mut(name)
            && state.standing.heard < now.wall
        {
            state.standing.heard = now.wall;
            effects.push(Effect::Record(Record::Standing { job: Arc::clone(name), standing: state.standing }));
        }
        self.await_success(name);
    }

    /// Tells of jobs that should have succeeded by now.
    pub(super) fn tell_overdue(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while self.mode == Mode::Serving
            && let Some((at, _)) = self.overdue.first()
            && *at <= now.wall
            && let Some((_, name)) = self.overdue.pop_first()
        {
            let Some(state) = self.jobs.get_mut(&name) else { continue };
            state.overdue_at = None;
            let (job, heard) = (&state.job, state.standing.heard);
            let Some((telling, every)) = job.telling.as_ref().zip(job.policies.expect.every) else { continue };
            let notice = Notice {
                reason: Some(format!("it has not succeeded for {}", humantime::format_duration(every))),
                failures: state.standing.failures,
                since: Some(heard),
                ..Notice::new(Kind::Late, job, heard, now.wall)
            };
            let tell = Tell { to: telling.late.clone(), about: format!("since {}", instant(heard)), run: None, notice };
            effects.push(Effect::Record(Record::Told(Box::new(tell))));
        }
    }
}

/// Who is told that nominal times of the job from `first` to `last`, `count` of them, were missed.
pub(super) fn of_missed(job: &Job, (first, last): (Timestamp, Timestamp), count: u64, now: Now) -> Vec<Tell> {
    let to = job.telling.as_ref().map(|telling| telling.missed.clone()).unwrap_or_default();
    if to.is_empty() {
        return Vec::new();
    }
    let reason = Some("found too late for the catch-up policy".to_owned());
    let notice = Notice { since: Some(first), missed: count, reason, ..Notice::new(Kind::Missed, job, last, now.wall) };
    vec![Tell { to, about: instant(last), run: None, notice }]
}

/// Of a job without `notify`.
static NOBODY: Telling = Telling { failure: Vec::new(), recovery: Vec::new(), missed: Vec::new(), late: Vec::new(), failing: None };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Runs that end one after the other, a minute apart: f(ailed), t(imed out), i(nterrupted), s(ucceeded), p(artly failed),
    /// c(ancelled), and S for a success of some of the targets.
    fn check(every: Option<u64>, ends: &str, expected: &str) {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<ChannelName>>();
        let (failure, recovery) = (names(&["a", "b"]), names(&["a"]));
        let telling = Telling { failure, recovery, failing: Some((3, names(&["b", "c"]))), ..Telling::default() };
        let expect = Expect { within: None, every: every.map(Duration::from_secs) };
        let mut standing = Standing { failures: 0, heard: Timestamp::UNIX_EPOCH };
        let mut told = Vec::new();
        for (minute, end) in (1..).zip(ends.chars()) {
            let outcome = match end {
                'f' => RunOutcome::Failed,
                't' => RunOutcome::TimedOut,
                'i' => RunOutcome::Interrupted,
                'p' => RunOutcome::PartlyFailed,
                'c' => RunOutcome::Cancelled,
                _ => RunOutcome::Succeeded,
            };
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
            let (after, tells) = after_run(standing, outcome, end != 'S', at, &telling, expect);
            standing = after;
            let tells = tells.iter().filter(|(_, to)| !to.is_empty()).map(|(kind, to)| format!("{kind}:{}", to.join("+")));
            told.push(tells.collect::<Vec<_>>().join(","));
        }
        assert_eq!(told.join(" "), expected, "{ends}");
    }

    #[test]
    fn who_is_told_of_what() {
        check(None, "sss", "  ");
        check(None, "sfs", " failure:a+b recovery:a");
        check(None, "fcs", "failure:a+b  recovery:a");
        check(None, "fSs", "failure:a+b  recovery:a");
        check(None, "ftifs", "failure:a+b failure:a+b failing:b+c,failure:a failure:a+b recovery:a");
        check(None, "fps", "failure:a+b recovery:a ");
        check(Some(61), "ss", " ");
        check(Some(60), "s", "recovery:a");
        check(Some(90), "cs", " recovery:a");
    }
}
