//! The story that the log tells: one line for each decision that a person would ask about.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use tracing::{debug, error, info, warn};

use crate::config::{Job, Targets};
use crate::engine::{self, Decision, Outcome, PartialRecord, Record, RunInfo, RunOutcome, RunSummary};
use crate::log::RUN_TARGET;
use crate::schedule::Zone;
use crate::store::Health;

/// Tells, when it is called.
pub(super) type Tell = Box<dyn FnOnce() + Send>;

/// In runs with more partials than this, those that succeed are logged at debug level only; failures always are.
const MANY_PARTIALS: u32 = 1_000;

/// What tells of a record, to be called once it is on disk. `run` and `job`: what it belongs to, where it does.
pub(super) fn record(record: &Record, run: Option<&Arc<RunInfo>>, job: Option<&Arc<Job>>) -> Option<Tell> {
    match (record, run) {
        (Record::Fired { run, .. }, _) => {
            let run = Arc::clone(run);
            Some(Box::new(move || fired(&run)))
        }
        (Record::Decided { first, last, count, decision, .. }, _) => {
            let (job, span, count, decision) = (Arc::clone(job?), (*first, *last), *count, *decision);
            Some(Box::new(move || decided(&job, span, count, decision)))
        }
        (Record::Planned { run }, _) => {
            let run = Arc::clone(run);
            Some(Box::new(move || planned(&run)))
        }
        (Record::Replanned { run, dropped, .. }, _) => {
            let (run, dropped) = (Arc::clone(run), dropped.count());
            Some(Box::new(move || replanned(&run, dropped)))
        }
        (Record::Partials(partials), Some(run)) => {
            partials_ended(partials.iter().filter(|partial| !is_untold(partial.outcome, run)).map(Ended::new).collect(), run)
        }
        (Record::Streak(streak), Some(run)) if !is_untold(Outcome::Succeeded, run) => {
            partials_ended(streak.partials().map(|partial| Ended::new(&partial)).collect(), run)
        }
        (Record::Finished(summary), run) => {
            let (run, summary) = (run.map(Arc::clone), RunSummary { output: None, result: None, tells: Vec::new(), ..(**summary).clone() });
            Some(Box::new(move || {
                finished(&summary, run.as_deref());
                summary.runs().for_each(|run| fired(run));
            }))
        }
        (
            Record::Accounting { .. }
            | Record::Paused { .. }
            | Record::Removed { .. }
            | Record::Claimed { .. }
            | Record::Retried { .. }
            | Record::Released { .. }
            | Record::Told(_)
            | Record::Standing { .. }
            | Record::Posted(_)
            | Record::Partials(_)
            | Record::Streak(_),
            _,
        ) => None,
    }
}

/// Whether nobody hears of the end: of a million successes, not even that they are not told is worth the time.
fn is_untold(outcome: Outcome, run: &RunInfo) -> bool {
    outcome == Outcome::Succeeded && run.targets.partials() > MANY_PARTIALS && !tracing::enabled!(tracing::Level::DEBUG)
}

fn partials_ended(ended: Vec<Ended>, run: &Arc<RunInfo>) -> Option<Tell> {
    let run = Arc::clone(run);
    (!ended.is_empty()).then(|| -> Tell { Box::new(move || ended.iter().for_each(|ended| partial_ended(ended, &run))) })
}

/// What the log tells of the end of an attempt.
struct Ended {
    key: Option<Arc<str>>,
    attempt: u32,
    outcome: Outcome,
    took: Duration,
    /// How long until the next attempt, if there is to be one.
    retry: Option<Duration>,
    error: Option<Arc<str>>,
}

impl Ended {
    fn new(partial: &PartialRecord) -> Self {
        let wait = |retry: Timestamp| Duration::try_from(retry.duration_since(partial.ended)).unwrap_or_default();
        Self {
            key: partial.target.as_ref().map(|target| Arc::clone(&target.key)),
            attempt: partial.attempt,
            outcome: partial.outcome,
            took: partial.duration,
            retry: partial.retry.map(wait),
            error: partial.error.clone(),
        }
    }
}

/// Tells whether the records can be written.
pub(super) fn health(health: &Health) {
    match health {
        Health::Good => info!("the store can write again"),
        Health::Degraded { reason, .. } => error!("nothing new is started: {reason}"),
        // Whoever is told leaves, and says why.
        Health::Failed { .. } => {}
    }
}

/// Tells that a run which the last daemon left is taken up again.
pub(super) fn resumed(run: &RunInfo, succeeded: u32) {
    let partials = run.targets.partials();
    info!(job = &*run.job.name, run = &*run.id.0, "taken up again: {succeeded} of {partials} partials had succeeded");
}

/// Tells that a run which has a plan goes on with it, although its targets could not be read again.
pub(super) fn plan_failed(run: &RunInfo, reason: &str) {
    if let Targets::Planned { .. } = run.targets {
        warn!(job = &*run.job.name, run = &*run.id.0, reason, "its targets could not be read again: it goes on with those on record");
    }
}

fn planned(run: &RunInfo) {
    let partials = plural(u64::from(run.targets.partials()), "partial");
    info!(job = &*run.job.name, run = &*run.id.0, "its targets have been read: {partials}");
}

fn replanned(run: &RunInfo, dropped: u32) {
    let partials = plural(u64::from(run.targets.partials()), "partial");
    info!(job = &*run.job.name, run = &*run.id.0, "its targets were edited since: it has {partials} now, {dropped} of them dropped");
}

/// The wall clock was set from `before` to `now`.
pub(super) fn clock_set(before: Timestamp, now: Timestamp, zone: &Zone) {
    let by = now.duration_since(before);
    let by = by.round(Unit::Second).unwrap_or(by);
    let local = |time: Timestamp| time.to_zoned_datetime(zone.rules.clone()).strftime("%F %T %Z").to_string();
    let far = humantime::format_duration(Duration::from_secs(by.unsigned_abs().as_secs()));
    let direction = if by.is_negative() { "back" } else { "forward" };
    let follows = match by {
        by if by < -engine::MAX_WAIT => "; the new time counts at once, and nominal times that come again run again",
        by if by.is_negative() => "; nominal times that come again are not run twice",
        _ => "; nominal times in between are decided as `catch_up` says",
    };
    warn!("the clock was set {direction} by {far}: {} is {} now{follows}", local(before), local(now));
}

fn fired(run: &RunInfo) {
    let nominal = run.nominal.to_zoned_datetime(run.job.timetable.zone.rules.clone());
    let partials = match &run.targets {
        Targets::Unplanned(_) => "its targets are read when it begins".to_owned(),
        targets => plural(u64::from(targets.partials()), "partial"),
    };
    let cause = run.cause;
    info!(target: RUN_TARGET, job = &*run.job.name, run = &*run.id.0, "fired for {} ({cause}), {partials}", nominal.strftime("%F %T %Z"));
}

fn decided(job: &Job, (first, last): (Timestamp, Timestamp), count: u64, decision: Decision) {
    let local = |at: Timestamp| at.to_zoned_datetime(job.timetable.zone.rules.clone()).strftime("%F %T %Z").to_string();
    let which = if count == 1 { local(first) } else { format!("{count} nominal times, {} to {}", local(first), local(last)) };
    let job = &*job.name;
    match decision {
        Decision::Ran => {}
        Decision::Skipped => info!(job, "skipped {which}: the run before is still live"),
        Decision::Suppressed => info!(job, "suppressed {which}"),
        Decision::Missed => warn!(job, "missed {which}: found too late for the catch-up policy"),
        Decision::Coalesced => info!(job, "coalesced {which} into the run that follows"),
    }
}

fn partial_ended(ended: &Ended, run: &RunInfo) {
    let (job, id) = (&*run.job.name, &*run.id.0);
    let partial = ended.key.as_deref().unwrap_or("");
    let (attempt, took) = (ended.attempt, human(ended.took));
    let error = ended.error.as_deref().unwrap_or("");
    let outcome = ended.outcome;
    match (outcome, ended.retry) {
        (Outcome::Succeeded, _) if run.targets.partials() > MANY_PARTIALS => {
            debug!(job, run = id, partial, attempt, "succeeded in {took}");
        }
        (Outcome::Succeeded, _) => info!(job, run = id, partial, attempt, "succeeded in {took}"),
        (Outcome::Cancelled, _) => warn!(job, run = id, partial, attempt, "cancelled after {took}"),
        (_, Some(wait)) => {
            let wait = human(wait);
            warn!(job, run = id, partial, attempt, error, "{outcome} after {took}; next attempt in {wait}");
        }
        (_, None) => error!(job, run = id, partial, attempt, error, "{outcome} after {took}"),
    }
}

fn finished(summary: &RunSummary, run: Option<&RunInfo>) {
    let Some(run) = run else {
        let reason = summary.reason.as_deref().unwrap_or_default();
        warn!(target: RUN_TARGET, outcome = %summary.outcome, reason, "closed a run that the last daemon left");
        return;
    };
    let (job, id) = (&*run.job.name, &*run.id.0);
    let RunSummary { succeeded, failed, cancelled, .. } = *summary;
    let took = human(Duration::try_from(summary.ended.duration_since(run.fired)).unwrap_or_default());
    let outcome = summary.outcome;
    let reason = summary.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    match outcome {
        RunOutcome::Succeeded => info!(target: RUN_TARGET, job, run = id, succeeded, "run {outcome} in {took}"),
        RunOutcome::PartlyFailed | RunOutcome::Cancelled | RunOutcome::Interrupted => {
            warn!(target: RUN_TARGET, job, run = id, succeeded, failed, cancelled, "run {outcome} in {took}{reason}");
        }
        RunOutcome::Failed | RunOutcome::TimedOut => {
            error!(target: RUN_TARGET, job, run = id, succeeded, failed, cancelled, "run {outcome} in {took}{reason}");
        }
    }
}

/// A duration with two significant units: `85ms`, `1.2s`, `3m 5s`.
pub(super) fn human(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds @ 1..=59 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

pub(super) fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
