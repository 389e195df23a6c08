//! The suite that every store passes, and what is special about the `SQLite` one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use serde_json::value::RawValue;

use super::*;
use crate::config::{Job, Target, TargetValue, Targets, Work};
use crate::engine::{
    Accounted, Beginning, CapturedOutput, Cause, Decides, Decision, Outcome, PartialRecord, RecoveredRun, Repeat, RunInfo, RunKey,
    RunOutcome, RunSummary, Standing, Usage,
};
use crate::schedule::Zone;

/// Seconds after the start of every story here.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + (1_773_194_400 + seconds).seconds()
}

fn job(name: &str) -> Arc<Job> {
    let zone = Zone { name: "Europe/Berlin".into(), rules: jiff::tz::TimeZone::UTC };
    Arc::new(Job::plain(name.into(), Work::Command(vec!["true".into()]), zone, Arc::default()))
}

fn node(name: &str) -> Node {
    Node { name: name.into(), pid: 7, boot_id: "boot".into() }
}

fn range(partials: i64) -> Targets {
    Targets::Range { start: 10, end: 10 + partials }
}

/// A target that is a string, and one that is a table.
fn hosts() -> [Target; 2] {
    let table = serde_json::from_str(r#"{"key":"b","port":5432}"#).expect("is JSON");
    [
        Target { key: "a".into(), value: TargetValue::Text("a".into()) },
        Target { key: "b".into(), value: TargetValue::Table(Arc::new(table)) },
    ]
}

fn watermark(job: &str) -> Record {
    accounting(job, 0, Beginning::New)
}

fn accounting(name: &str, since: i64, beginning: Beginning) -> Record {
    let accounted = Accounted { watermark: at(since), repeat: Repeat::NONE };
    Record::Accounting { job: job(name), accounted, fingerprint: u64::MAX, beginning, boot_id: None }
}

pub(super) fn missed(job: &str, seconds: i64) -> Record {
    let (first, last) = (at(seconds), at(seconds));
    Record::Decided { job: job.into(), first, last, count: 1, decision: Decision::Missed, at: at(seconds), tells: vec![] }
}

fn fired_as(key: i64, name: &str, seconds: i64, targets: Targets, decides: Decides) -> Record {
    let (cause, nominal) = (Cause::Schedule, at(seconds));
    let id = RunId::new(name, cause, nominal);
    Record::Fired {
        run: Arc::new(RunInfo { key: RunKey(key), id, job: job(name), cause, nominal, fired: nominal, targets, args: Arc::default() }),
        decides,
    }
}

fn fired(key: i64, name: &str, seconds: i64, targets: Targets) -> Record {
    fired_as(key, name, seconds, targets, Decides::Nothing)
}

fn claimed(key: i64, upto: u32) -> Record {
    Record::Claimed { run: RunKey(key), upto, at: at(61) }
}

fn partial(key: i64, index: u32, outcome: Outcome) -> PartialRecord {
    PartialRecord {
        run: RunKey(key),
        index,
        target: range(i64::from(index) + 1).get(index),
        planned: false,
        attempt: 1,
        outcome,
        retry: None,
        started: at(61),
        ended: at(62),
        duration: Duration::from_millis(5 * u64::from(index)),
        exit_code: Some(i32::from(outcome != Outcome::Succeeded)),
        signal: None,
        result: None,
        error: None,
        output: None,
        usage: (outcome == Outcome::Succeeded).then_some(Usage { cpu: Duration::from_micros(1_500), max_rss: Some(50 << 20) }),
    }
}

fn ended(key: i64, index: u32, outcome: Outcome) -> Record {
    Record::Partials(vec![partial(key, index, outcome)])
}

fn attempt(key: i64, index: u32, attempt: u32, outcome: Outcome) -> Record {
    Record::Partials(vec![PartialRecord { attempt, ..partial(key, index, outcome) }])
}

fn retrying(key: i64, index: u32, attempt: u32) -> Record {
    Record::Partials(vec![PartialRecord { attempt, retry: Some(at(90)), ..partial(key, index, Outcome::Failed) }])
}

fn retried(key: i64, index: u32, attempt: u32) -> Record {
    Record::Retried { run: RunKey(key), index, attempt }
}

fn finished(key: i64, outcome: RunOutcome) -> Record {
    Record::Finished(Box::new(RunSummary {
        run: RunKey(key),
        outcome,
        ended: at(70),
        succeeded: 2,
        failed: 0,
        cancelled: 1,
        reason: Some("all went well".into()),
        result: Some(json(r#"{"rows":3}"#).into()),
        output: Some(CapturedOutput { head: b"sum\n".to_vec(), tail: vec![], cut: 0 }),
        follows: vec![],
        tells: vec![],
        standing: None,
    }))
}

fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).expect("is JSON")
}

/// A state directory, and a store in it that has joined as `daemon`.
struct Opened {
    dir: tempfile::TempDir,
    store: Box<dyn Store>,
    epoch: Epoch,
}

impl Opened {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, epoch) = join(dir.path(), "daemon");
        Self { dir, store, epoch }
    }

    fn with(records: &[Record]) -> Self {
        let mut opened = Self::new();
        opened.append(records).expect("is recorded");
        opened
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.store.append(self.epoch, records)
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).expect("can be read")
    }
}

fn join(dir: &Path, name: &str) -> (Box<dyn Store>, Epoch) {
    let mut store: Box<dyn Store> = Box::new(Sqlite::open(dir).expect("opens"));
    let epoch = store.join(&node(name)).expect("joins");
    (store, epoch)
}

/// What a restart reads, on one line.
fn recovered(store: &mut dyn Store) -> String {
    let recovery = store.recover().expect("reads back");
    let jobs = recovery.jobs.into_iter().map(|job| {
        let boot = job.boot_id.map_or_else(String::new, |boot| format!(", booted {boot}"));
        format!("{} decided to {}{boot}", job.name, job.watermark.as_second() - at(0).as_second())
    });
    let runs = recovery.runs.iter().map(recovered_run);
    [format!("last {}", recovery.last_key)].into_iter().chain(jobs).chain(runs).collect::<Vec<_>>().join("; ")
}

/// One place, or the first and the last of several.
fn places(indexes: &std::ops::Range<u32>) -> String {
    if indexes.end == indexes.start + 1 { indexes.start.to_string() } else { format!("{}-{}", indexes.start, indexes.end - 1) }
}

/// Its partials by kind, each with the number of its attempt.
fn recovered_run(run: &RecoveredRun) -> String {
    let head = format!("run {} claimed {}/{}", run.key.0, run.claimed, run.targets.partials());
    let ended = run.ended.iter().map(|(index, outcome, attempt)| format!("{} {outcome} {attempt}", places(index)));
    let retrying = run.retrying.iter().map(|(index, outcome, attempt)| format!("{index} retrying {attempt} after {outcome}"));
    let retried = run.retried.iter().map(|(index, attempt)| format!("{index} retried {attempt}"));
    [head].into_iter().chain(ended).chain(retrying).chain(retried).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_later_writer_fences_the_earlier() {
    let mut earlier = Opened::new();
    let (mut later, epoch) = join(earlier.dir.path(), "daemon");
    let refused = earlier.append(&[watermark("sync")]).expect_err("is fenced").to_string();
    assert_eq!(refused, "a later writer has taken over as node `daemon` (its epoch is 2, ours 1); this process must end");
    later.append(epoch, &[watermark("sync")]).expect("is recorded");
}

/// The records are refused with this message, and none of them is kept.
fn check_refused(records: &[Record], expected: &str) {
    let before = [fired(1, "sync", 60, range(3)), fired(2, "done", 60, range(3)), finished(2, RunOutcome::Failed)];
    let mut opened = Opened::with(&before);
    let recorded = recovered(&mut *opened.store);
    assert_eq!(opened.append(records).expect_err("is refused").to_string(), expected);
    assert_eq!(recovered(&mut *opened.store), recorded);
}

#[test]
fn a_batch_with_a_refused_record_is_refused_whole() {
    let unknown = "a record names run 9, which does not exist or has ended";
    let after_its_end = "a record names run 2, which does not exist or has ended";
    for (record, expected) in [
        (fired(9, "sync", 60, range(3)), "the run `sync@20260311T020100Z` exists already"),
        (claimed(9, 1), unknown),
        (ended(9, 0, Outcome::Lost), unknown),
        (retried(9, 0, 2), unknown),
        (finished(9, RunOutcome::Failed), unknown),
        (claimed(2, 1), after_its_end),
        (ended(2, 0, Outcome::Lost), after_its_end),
        (retried(2, 0, 2), after_its_end),
        (finished(2, RunOutcome::Failed), after_its_end),
        (missed("other", 60), "a record decides for job `other`, which has no watermark"),
    ] {
        check_refused(&[watermark("sync"), record], expected);
    }
}

#[test]
fn a_run_whose_decision_is_refused_does_not_exist() {
    for decides in [Decides::Nominal, Decides::Boot("boot".into())] {
        check_refused(&[fired_as(9, "other", 60, range(3), decides)], "a record decides for job `other`, which has no watermark");
    }
}

#[test]
fn nothing_is_recorded_before_joining() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = Sqlite::open(dir.path()).expect("opens");
    assert!(matches!(store.append(Epoch(1), &[watermark("sync")]), Err(StoreError::NotJoined)));
}

#[test]
fn nodes_share_the_keys_and_take_up_their_own_runs() {
    let mut daemon = Opened::with(&[fired(5, "sync", 60, range(3))]);
    let (mut by_hand, epoch) = join(daemon.dir.path(), "run-9");
    by_hand.append(epoch, &[fired(7, "once", 60, range(2))]).expect("is recorded");
    daemon.append(&[fired(6, "sweep", 60, range(1))]).expect("is recorded");
    assert_eq!(recovered(&mut *by_hand), "last 7; run 7 claimed 0/2");
    assert_eq!(recovered(&mut *daemon.store), "last 7; run 5 claimed 0/3; run 6 claimed 0/1");
}

/// A run of another node, of which the first partial succeeded, the second waits for another attempt, the third is in flight
/// and the fourth was never started.
fn under_way(dir: &Path, pid: u32, name: &str) {
    let mut store = Sqlite::open(dir).expect("opens");
    let epoch = store.join(&Node { pid, ..node(&format!("run-{pid}")) }).expect("joins");
    let key = i64::from(pid);
    let records = [fired(key, name, 60, range(4)), claimed(key, 3), ended(key, 0, Outcome::Succeeded), retrying(key, 1, 1)];
    store.append(epoch, &records).expect("is recorded");
}

#[test]
fn runs_of_dead_nodes_are_interrupted() {
    let mut daemon = Opened::with(&[fired(1, "sync", 60, range(3))]);
    under_way(daemon.dir.path(), 8, "alive");
    under_way(daemon.dir.path(), 9, "dead");
    let is_alive = |pid, boot: &str| pid == 8 && boot == "boot";
    let ended = daemon.store.finish_abandoned(daemon.epoch, at(99), &is_alive).expect("is recorded");
    assert_eq!(ended.iter().map(|id| &*id.0).collect::<Vec<_>>(), ["dead@20260311T020100Z"]);
    let outcomes = ["alive", "dead", "sync"].map(|job| daemon.reader().run(job).expect("is there").outcome);
    assert_eq!(outcomes, [None, Some(RunOutcome::Interrupted), None]);
}

#[test]
fn an_abandoned_run_counts_what_it_left() {
    let mut daemon = Opened::new();
    under_way(daemon.dir.path(), 9, "dead");
    daemon.store.finish_abandoned(daemon.epoch, at(99), &|_, _| false).expect("is recorded");
    let run = daemon.reader().run("dead").expect("is there");
    assert_eq!((run.succeeded, run.failed, run.cancelled, run.ended), (1, 2, 1, Some(at(99))));
    let counts = daemon.reader().partial_counts(run.key).expect("counts");
    assert_eq!(counts, PartialCounts::from([("succeeded".to_owned(), 1), ("failed".to_owned(), 1)]));
}

mod accountings;
mod files;
mod forgetting;
mod outbox;
mod plans;
mod restart;
mod state;
mod streaks;
mod views;
