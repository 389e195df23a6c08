//! What must hold after each step, and at the end. None of it asks the engine's own search or policies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use batchd::config::{CatchUpPolicy, Interrupted, JobName, Overlap, Target, Targets};
use batchd::engine::{Cause, Decides, Decision, Kind, Outcome, Record, RunInfo, RunOutcome};
use jiff::{SignedDuration, Timestamp};

use crate::disk::RunRow;
use crate::story::Calm;
use crate::world::World;

/// After a restart: what goes on has a partial for each target that is listed now, unless somebody chose them. A plan in the
/// store is compared when the targets are read again.
pub(crate) fn taken_up(world: &World) {
    for run in world.engine.runs().filter(|run| run.info.cause.grows() && !run.info.targets.are_stored()) {
        let keys = |targets: &Targets| (0..targets.partials()).filter_map(|index| targets.get(index)).map(|target| target.key).collect();
        let (planned, listed): (BTreeSet<_>, BTreeSet<_>) = (keys(&run.info.targets), keys(&world.config.jobs[&run.info.job.name].targets));
        assert!(planned.is_superset(&listed), "{}: has lost a target: {planned:?} of {listed:?}", run.info.id);
    }
}

/// Before something is written down.
pub(crate) fn record(world: &World, record: &Record) {
    let fires = match record {
        Record::Decided { job, first, last, decision, at, .. } => {
            let policy = world.config.jobs[job].policies.catch_up;
            let window = SignedDuration::try_from(policy.window).expect("days");
            let in_reach = policy.policy == CatchUpPolicy::Latest && at.duration_since(*last) <= window;
            assert!(!in_reach || *decision != Decision::Missed, "{job}: {first} to {last} are missed, and could have been caught up");
            true
        }
        Record::Fired { decides, .. } => *decides != Decides::Nothing,
        _ => false,
    };
    assert!(!fires || !world.held, "decided while the disk refuses: {record:?}");
    assert!(!fires || world.draining.is_none(), "decided in a drain: {record:?}");
}

/// Before an attempt starts.
pub(crate) fn start(world: &mut World, run: &RunInfo, index: u32, attempt: u32, target: Option<&Target>) {
    let row = world.disk.runs.get(&run.key).unwrap_or_else(|| panic!("{}: started before it was recorded", run.id));
    let recorded = row.retried.get(&index) == Some(&attempt);
    assert!(index < row.claimed || recorded, "{} partial {index}: started before its claim was on disk", run.id);
    assert!(row.outcome.is_none(), "{}: started after its end", run.id);
    let leaving = world.draining.as_ref();
    assert!(leaving.is_none_or(|begun| begun.contains(&run.key)), "{}: begun in a drain", run.id);
    assert!(!row.dropped.contains(&index), "{} partial {index}: its target is listed no more", run.id);
    assert_eq!(target, world.disk.target(run.key, index).as_ref(), "{} partial {index}: another target than planned", run.id);
    let canaries = 0..run.job.policies.canary.min(row.targets.partials());
    let has_succeeded = |index: u32| row.dropped.contains(&index) || matches!(row.partials.get(&index), Some((Outcome::Succeeded, ..)));
    assert!(
        index < run.job.policies.canary || canaries.clone().all(has_succeeded),
        "{} partial {index}: started before the canaries",
        run.id
    );
    // A clock that is set back does not call back what had come.
    assert!(world.latest_wall >= run.nominal, "{}: started early, at {}", run.id, world.now.wall);
    let known = row.partials.get(&index);
    assert!(attempt == 1 || recorded, "{} partial {index}: attempt {attempt} was not recorded", run.id);
    assert!(known.is_none_or(|(outcome, ..)| *outcome != Outcome::Succeeded || run.job.policies.on_interrupted == Interrupted::Rerun));
    let starts = world.starts.entry((run.key, index, attempt)).or_default();
    *starts += 1;
    assert_eq!(*starts, 1, "{} partial {index} attempt {attempt}: started again", run.id);
}

/// While the daemon lives.
pub(crate) fn living(world: &World) {
    let partials = || world.children.iter().filter(|((_, index), _)| index.is_some()).map(|(_, child)| child);
    assert!(partials().count() <= world.config.daemon.max_partials, "more than `max_partials` in flight");
    let mut runs: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for ((_, index), child) in &world.children {
        let job = &child.run.job;
        let own = partials().filter(|other| other.run.key == child.run.key).count();
        assert!(own <= job.policies.concurrency, "{}: more than `concurrency` in flight", child.run.id);
        let live = runs.entry(&job.name).or_default();
        if !live.contains(&child.run.key) {
            live.push(child.run.key);
        }
        assert!(job.policies.overlap == Overlap::Allow || live.len() == 1, "{}: runs overlap", job.name);
        let age = world.now.monotonic.saturating_sub(child.started.monotonic);
        // A gather command has what is left of the run's time.
        let limit = job.policies.partial_timeout.filter(|_| index.is_some()).or(job.policies.timeout);
        let limit = limit.map(|limit| limit + job.policies.stop.grace + Duration::from_secs(1));
        assert!(limit.is_none_or(|limit| age <= limit), "{}: an attempt outlived its timeout and grace", child.run.id);
    }
}

/// At the end, when all has drained: the accounting has no hole, and every run an end that adds up.
pub(crate) fn ended(world: &World, periods: &BTreeMap<&str, i64>, until: Timestamp) {
    let live: Vec<_> = world.engine.runs().map(|run| (&run.info.id, run.phase, run.in_flight)).collect();
    assert!(live.is_empty() && world.children.is_empty(), "still live: {live:?}");
    for (job, period) in periods {
        accounted(world, job, *period, until);
    }
    for job in world.config.jobs.values().filter(|job| !job.after.is_empty()) {
        followed(world, &job.name, &job.after);
    }
    for (key, run) in &world.disk.runs {
        let outcome = run.outcome.unwrap_or_else(|| panic!("{} has no end", run.id));
        told(world, run, outcome);
        let (succeeded, failed, cancelled) = run.counts;
        let keys: Vec<_> =
            (0..run.targets.partials()).filter_map(|index| world.disk.target(*key, index)).map(|target| target.key).collect();
        assert!(run.targets == Targets::None || keys.len() == run.targets.partials() as usize, "{}: targets are missing", run.id);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{}: a target comes twice", run.id);
        let ended = |wanted: fn(Outcome) -> bool| {
            let count = run.partials.values().filter(|(outcome, ..)| wanted(*outcome)).count();
            u32::try_from(count).expect("few")
        };
        let never_started = run.targets.partials() - u32::try_from(run.partials.len()).expect("few");
        let counts = [
            ended(|outcome| outcome == Outcome::Succeeded),
            ended(|outcome| !matches!(outcome, Outcome::Succeeded | Outcome::Cancelled)),
            ended(|outcome| outcome == Outcome::Cancelled) + never_started,
        ];
        assert_eq!([succeeded, failed, cancelled], counts, "{}: counts otherwise than its partials ended", run.id);
        let resumes = world.config.jobs[run.job.as_str()].policies.on_interrupted != Interrupted::Fail;
        assert!(!resumes || run.stopped || ended(|outcome| outcome == Outcome::Lost) == 0, "{}: what is lost was not tried again", run.id);
        if outcome == RunOutcome::Succeeded {
            let dropped = u32::try_from(run.dropped.len()).expect("small");
            assert_eq!(succeeded, run.targets.partials() - dropped, "{} succeeded without all its partials", run.id);
        }
        if world.config.jobs[run.job.as_str()].policies.on_interrupted == Interrupted::Rerun {
            continue;
        }
        assert!(run.successes.values().all(|count| *count <= 1), "{}: a partial succeeded twice", run.id);
    }
}

/// Of each run that did not succeed, and of each that was pinged, people are told.
fn told(world: &World, run: &RunRow, outcome: RunOutcome) {
    let Some(job) = world.config.jobs.get(run.job.as_str()) else { return };
    let has = |lane: &str, kind: Kind, about: String| world.disk.told.contains(&(lane.to_owned(), run.job.clone(), kind, about));
    let bad = matches!(outcome, RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::Interrupted);
    if bad && job.telling.is_some() {
        // As the store keeps it.
        let nominal = Timestamp::from_microsecond(run.nominal.as_microsecond()).expect("in range").to_string();
        let failure = [Kind::Failure, Kind::Failing].iter().any(|kind| has("ops", *kind, nominal.clone()));
        assert!(failure, "{}: nobody is told that it ended as {outcome}", run.id);
    }
    if job.ping.is_some() {
        let ends = [Kind::Success, Kind::Fail, Kind::Log].iter().filter(|kind| has("ping", **kind, run.id.to_string())).count();
        assert_eq!(ends, 1, "{}: pings for its end", run.id);
    }
}

/// Liveness: no job has stopped firing in the calm at the end, but for those that wait for a clock that was set back.
pub(crate) fn alive(world: &World, periods: &BTreeMap<&str, i64>, calm: &Calm) {
    for job in periods.keys().filter(|job| !calm.waiting.contains(**job)) {
        // Fires are skipped for as long as a hundred runs that were caught up follow each other.
        let mut runs = world.disk.runs.values().filter(|run| run.job == **job && run.ended < Some(calm.drained));
        assert!(runs.any(|run| run.ended > Some(calm.since)), "{job} has stopped running since {}", calm.since);
    }
}

/// A job runs for the nominal times for which all jobs before it have succeeded, by the clock or a backfill: as often as one
/// job has, and at least once after several.
fn followed(world: &World, job: &str, before: &[JobName]) {
    let mut succeeded: BTreeMap<Timestamp, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut ran: BTreeMap<Timestamp, usize> = BTreeMap::new();
    for run in world.disk.runs.values() {
        if run.job == job && run.cause == Cause::After {
            *ran.entry(run.nominal).or_default() += 1;
        } else if run.outcome == Some(RunOutcome::Succeeded) && run.cause != Cause::Manual && before.iter().any(|name| **name == *run.job) {
            *succeeded.entry(run.nominal).or_default().entry(&run.job).or_default() += 1;
        }
    }
    for (nominal, counts) in &succeeded {
        let times = ran.remove(nominal).unwrap_or(0);
        match before {
            [only] => assert_eq!(times, counts[&**only], "{job}: runs for {nominal}"),
            all => assert_eq!(times > 0, all.iter().all(|name| counts.contains_key(&**name)), "{job}: {times} runs for {nominal}"),
        }
    }
    assert!(ran.is_empty(), "{job} ran out of turn: {ran:?}");
}

/// In each accounting, every multiple of the period is decided exactly once, in order.
fn accounted(world: &World, job: &str, period: i64, until: Timestamp) {
    for accounting in world.disk.accountings.get(job).map_or(&[][..], Vec::as_slice) {
        let mut covered = true;
        let mut next = (accounting.since.as_second().div_euclid(period) + 1) * period;
        for span in &accounting.decided {
            let (first, last) = (span.first.as_second(), span.last.as_second());
            assert_eq!(first, next, "{job} since {}: {} begins elsewhere", accounting.since, span.decision);
            assert_eq!((last - first) % period, 0, "{job}: {} ends at {}, which is not due", span.decision, span.last);
            // What is coalesced is covered by a run that follows.
            covered = match span.decision {
                Decision::Coalesced => false,
                Decision::Suppressed => covered,
                Decision::Ran | Decision::Skipped => true,
                Decision::Missed => {
                    assert!(covered, "{job}: nothing runs for what was coalesced before {}", span.first);
                    true
                }
            };
            assert_eq!(i128::from(span.count), i128::from((last - first) / period + 1), "{job}: {} has another count", span.decision);
            next = last + period;
        }
        assert!(covered, "{job}: nothing runs for what was coalesced last");
        let until = accounting.upto.unwrap_or(until).as_second();
        assert!(next > until, "{job} since {}: nothing is decided from {next} to {until}", accounting.since);
    }
}
