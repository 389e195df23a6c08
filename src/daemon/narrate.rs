//! The story that the log tells: one line for each decision that a person would ask about.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use crate::config::Job;
use crate::engine::{Decision, Outcome, PartialRecord, Record, RunInfo, RunOutcome, RunSummary};

/// In runs with more partials than this, those that succeed are logged at debug level only; failures always are.
const MANY_PARTIALS: u32 = 1_000;

/// Tells of a record, at the moment it is handed to the store. `run` and `job`: what it belongs to, where it does.
pub(super) fn record(record: &Record, run: Option<&RunInfo>, job: Option<&Job>) {
    match (record, run) {
        (Record::Fired { run, .. }, _) => fired(run),
        (Record::Decided { first, last, count, decision, .. }, _) => {
            if let Some(job) = job {
                decided(job, (*first, *last), *count, *decision);
            }
        }
        (Record::Partial(partial), Some(run)) => partial_ended(partial, run),
        (Record::Finished(summary), Some(run)) => finished(summary, run),
        (Record::Finished(summary), None) => {
            warn!(outcome = %summary.outcome, "interrupted run closed: {}", summary.reason.as_deref().unwrap_or("no reason"));
        }
        (Record::Watermark { .. } | Record::Claimed { .. } | Record::Retried { .. } | Record::Partial(_), _) => {}
    }
}

/// Tells that a run which the last daemon left is taken up again.
pub(super) fn resumed(run: &RunInfo, succeeded: u32) {
    let partials = run.targets.partials();
    info!(job = &*run.job.name, run = &*run.id.0, "taken up again: {succeeded} of {partials} partials had succeeded");
}

fn fired(run: &RunInfo) {
    let nominal = run.nominal.to_zoned_datetime(run.job.timetable.zone.rules.clone());
    let partials = plural(u64::from(run.targets.partials()), "partial");
    let cause = run.cause;
    info!(job = &*run.job.name, run = &*run.id.0, "fired for {} ({cause}), {partials}", nominal.strftime("%F %T %Z"));
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

fn partial_ended(partial: &PartialRecord, run: &RunInfo) {
    let (job, id) = (&*run.job.name, &*run.id.0);
    let key = partial.target.as_ref().map_or("", |target| &*target.key);
    let (attempt, took) = (partial.attempt, human(partial.duration));
    let error = partial.error.as_deref().unwrap_or("");
    let outcome = partial.outcome;
    match (outcome, partial.retry) {
        (Outcome::Succeeded, _) if run.targets.partials() > MANY_PARTIALS => {
            debug!(job, run = id, partial = key, attempt, "succeeded in {took}");
        }
        (Outcome::Succeeded, _) => info!(job, run = id, partial = key, attempt, "succeeded in {took}"),
        (Outcome::Cancelled, _) => warn!(job, run = id, partial = key, attempt, "cancelled after {took}"),
        (_, Some(retry)) => {
            let wait = human(Duration::try_from(retry.duration_since(partial.ended)).unwrap_or_default());
            warn!(job, run = id, partial = key, attempt, "{outcome} after {took}: {error}; next attempt in {wait}");
        }
        (_, None) => error!(job, run = id, partial = key, attempt, "{outcome} after {took}: {error}"),
    }
}

fn finished(summary: &RunSummary, run: &RunInfo) {
    let (job, id) = (&*run.job.name, &*run.id.0);
    let RunSummary { succeeded, failed, cancelled, .. } = *summary;
    let took = human(Duration::try_from(summary.ended.duration_since(run.fired)).unwrap_or_default());
    let outcome = summary.outcome;
    let reason = summary.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    match outcome {
        RunOutcome::Succeeded => info!(job, run = id, succeeded, "run {outcome} in {took}"),
        RunOutcome::PartlyFailed | RunOutcome::Cancelled | RunOutcome::Interrupted => {
            warn!(job, run = id, succeeded, failed, cancelled, "run {outcome} in {took}{reason}");
        }
        RunOutcome::Failed | RunOutcome::TimedOut => {
            error!(job, run = id, succeeded, failed, cancelled, "run {outcome} in {took}{reason}");
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
