//! The suite that every store passes, and what is special about the `SQLite` one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use serde_json::value::RawValue;

use super::*;
use crate::config::{
    CatchUp, CatchUpPolicy, Interrupted, Job, MaxFailures, Overlap, Process, Retry, StopPolicy, Target, TargetValue, Targets, Work,
};
use crate::engine::{CapturedOutput, Cause, Decision, Outcome, PartialRecord, RunInfo, RunKey, RunOutcome, RunSummary};
use crate::schedule::{Dst, Timetable, Zone};

/// Seconds after the start of every story here.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + (1_773_194_400 + seconds).seconds()
}

fn job(name: &str) -> Arc<Job> {
    Arc::new(Job {
        name: name.into(),
        description: None,
        schedule_text: vec![],
        timetable: Timetable {
            schedules: vec![],
            zone: Zone { name: "Europe/Berlin".into(), rules: jiff::tz::TimeZone::UTC },
            dst: Dst::default(),
        },
        jitter: Duration::ZERO,
        enabled: true,
        work: Work::Command(vec!["true".into()]),
        targets: Targets::None,
        concurrency: 1,
        partial_timeout: None,
        timeout: None,
        retry: Retry { attempts: 1, delay: Duration::ZERO, factor: 1.0, max_delay: Duration::ZERO, jitter: 0.0, on_exit: vec![] },
        max_failures: MaxFailures::Any,
        gather: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp { policy: CatchUpPolicy::None, window: Duration::ZERO, max: 1 },
        on_interrupted: Interrupted::Resume,
        stop: StopPolicy { signal: 15, grace: Duration::from_secs(10) },
        process: Process::default(),
        output_max_size: 1024,
    })
}

fn node(name: &str) -> Node {
    Node { name: name.into(), pid: 7, boot_id: "boot".into() }
}

fn range(partials: i64) -> Targets {
    Targets::Range { start: 10, end: 10 + partials }
}

fn watermark(job: &str) -> Record {
    Record::Watermark { job: job.into(), watermark: at(0), schedule_fingerprint: u64::MAX, boot_id: Some("boot".into()) }
}

pub(super) fn decided(job: &str, run: Option<i64>, seconds: i64) -> Record {
    let decision = if run.is_some() { Decision::Ran } else { Decision::Missed };
    let (first, last, run) = (at(seconds), at(seconds), run.map(RunKey));
    Record::Decided { job: job.into(), first, last, count: 1, decision, run, at: at(seconds) }
}

pub(super) fn fired(key: i64, name: &str, seconds: i64, targets: Targets) -> Record {
    let (cause, nominal) = (Cause::Schedule, at(seconds));
    let id = RunId::new(name, cause, nominal);
    Record::Fired { run: Arc::new(RunInfo { key: RunKey(key), id, job: job(name), cause, nominal, fired: nominal, targets }) }
}

fn claimed(key: i64, upto: u32) -> Record {
    Record::Claimed { run: RunKey(key), upto, at: at(61) }
}

fn partial(key: i64, index: u32, outcome: Outcome) -> PartialRecord {
    PartialRecord {
        run: RunKey(key),
        index,
        target: range(i64::from(index) + 1).get(index),
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
    }
}

fn ended(key: i64, index: u32, outcome: Outcome) -> Record {
    Record::Partial(Box::new(partial(key, index, outcome)))
}

fn retrying(key: i64, index: u32, attempt: u32) -> Record {
    Record::Partial(Box::new(PartialRecord { attempt, retry: Some(at(90)), ..partial(key, index, Outcome::Failed) }))
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
    }))
}

fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

/// A state directory, and a store in it that has joined as `daemon`.
struct Opened {
    dir: tempfile::TempDir,
    store: Box<dyn Store>,
    epoch: Epoch,
}

impl Opened {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, epoch) = join(dir.path(), "daemon");
        Self { dir, store, epoch }
    }

    fn with(records: &[Record]) -> Self {
        let mut opened = Self::new();
        opened.append(records).unwrap();
        opened
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.store.append(self.epoch, records)
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).unwrap()
    }
}

fn join(dir: &Path, name: &str) -> (Box<dyn Store>, Epoch) {
    let mut store: Box<dyn Store> = Box::new(Sqlite::open(dir).unwrap());
    let epoch = store.join(&node(name)).unwrap();
    (store, epoch)
}

/// What a restart reads, on one line a thing.
fn recovered(store: &mut dyn Store) -> String {
    use std::fmt::Write;
    let recovery = store.recover().unwrap();
    let mut text = format!("last {}", recovery.last_key);
    for job in recovery.jobs {
        let seconds = job.watermark.as_second() - at(0).as_second();
        write!(text, "; {} decided to {seconds}", job.name).unwrap();
    }
    for run in recovery.runs {
        let ended: Vec<_> = run.ended.iter().map(|(index, outcome)| format!("{index} {outcome}")).collect();
        let (claimed, partials) = (run.claimed, run.targets.partials());
        write!(text, "; run {} claimed {claimed}/{partials} ended {ended:?} retrying {:?}", run.key.0, run.retrying).unwrap();
    }
    text
}

#[test]
fn a_restart_after_any_record_reads_what_was_recorded() {
    let story = [
        (watermark("sync"), "last 0; sync decided to 0"),
        (decided("sync", Some(1), 60), "last 0; sync decided to 60"),
        (fired(1, "sync", 60, range(3)), "last 1; sync decided to 60; run 1 claimed 0/3 ended [] retrying []"),
        (claimed(1, 2), "last 1; sync decided to 60; run 1 claimed 2/3 ended [] retrying []"),
        (ended(1, 0, Outcome::Succeeded), r#"last 1; sync decided to 60; run 1 claimed 2/3 ended ["0 succeeded"] retrying []"#),
        (retrying(1, 1, 1), r#"last 1; sync decided to 60; run 1 claimed 2/3 ended ["0 succeeded"] retrying [(1, 1)]"#),
        (retrying(1, 1, 2), r#"last 1; sync decided to 60; run 1 claimed 2/3 ended ["0 succeeded"] retrying [(1, 2)]"#),
        (
            ended(1, 1, Outcome::TimedOut),
            r#"last 1; sync decided to 60; run 1 claimed 2/3 ended ["0 succeeded", "1 timed_out"] retrying []"#,
        ),
        (finished(1, RunOutcome::Succeeded), "last 1; sync decided to 60"),
    ];
    let mut opened = Opened::new();
    for (record, expected) in story {
        opened.append(&[record]).unwrap();
        // A crash: the old connection is never closed, a new daemon joins beside it.
        let (successor, epoch) = join(opened.dir.path(), "daemon");
        std::mem::forget(std::mem::replace(&mut opened.store, successor));
        opened.epoch = epoch;
        assert_eq!(recovered(&mut *opened.store), expected);
    }
}

#[test]
fn what_a_run_was_fired_with_reads_back() {
    let table = serde_json::from_str(r#"{"host":"b","port":5432}"#).unwrap();
    let list = [
        Target { key: "a".into(), value: TargetValue::Text("a".into()) },
        Target { key: "b".into(), value: TargetValue::Table(Arc::new(table)) },
    ];
    for (key, targets) in [(1, Targets::None), (2, Targets::List(list.into())), (3, range(5))] {
        let mut opened = Opened::with(&[fired(key, "sync", 60, targets.clone())]);
        let run = opened.store.recover().unwrap().runs.pop().unwrap();
        assert_eq!((run.targets, run.nominal, run.cause, &*run.job), (targets, at(60), Cause::Schedule, "sync"));
    }
}

#[test]
fn a_job_reads_back() {
    let job = Opened::with(&[watermark("sync")]).store.recover().unwrap().jobs.pop().unwrap();
    assert_eq!((job.watermark, job.schedule_fingerprint, job.boot_id.as_deref()), (at(0), u64::MAX, Some("boot")));
}

#[test]
fn a_late_decision_does_not_move_the_watermark_back() {
    let mut opened = Opened::with(&[watermark("sync"), decided("sync", None, 120), decided("sync", None, 60)]);
    assert_eq!(recovered(&mut *opened.store), "last 0; sync decided to 120");
}

#[test]
fn a_later_writer_fences_the_earlier() {
    let mut earlier = Opened::new();
    let (mut later, epoch) = join(earlier.dir.path(), "daemon");
    let refused = earlier.append(&[watermark("sync")]).unwrap_err().to_string();
    assert_eq!(refused, "a later writer has taken over as node `daemon` (its epoch is 2, ours 1); this process must end");
    later.append(epoch, &[watermark("sync")]).unwrap();
}

/// The records are refused with this message, and none of them is kept.
fn check_refused(records: &[Record], expected: &str) {
    let mut opened = Opened::with(&[fired(1, "sync", 60, range(3))]);
    let before = recovered(&mut *opened.store);
    assert_eq!(opened.append(records).unwrap_err().to_string(), expected);
    assert_eq!(recovered(&mut *opened.store), before);
}

#[test]
fn a_batch_with_a_refused_record_is_refused_whole() {
    check_refused(&[watermark("sync"), fired(2, "sync", 60, range(3))], "the run `sync@20260311T020100Z` exists already");
    check_refused(&[watermark("sync"), claimed(2, 1)], "a record names run 2, which does not exist or has ended");
    check_refused(&[watermark("sync"), ended(2, 0, Outcome::Lost)], "a record names run 2, which does not exist or has ended");
    check_refused(&[watermark("sync"), finished(2, RunOutcome::Failed)], "a record names run 2, which does not exist or has ended");
    check_refused(
        &[watermark("sync"), decided("other", None, 60)],
        "a record decides nominal times of job `other`, which has no watermark",
    );
}

#[test]
fn a_run_ends_once() {
    let mut opened = Opened::with(&[fired(1, "sync", 60, range(3)), finished(1, RunOutcome::Succeeded)]);
    assert!(matches!(opened.append(&[finished(1, RunOutcome::Failed)]), Err(StoreError::UnknownRun { .. })));
}

#[test]
fn nothing_is_recorded_before_joining() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(dir.path()).unwrap();
    assert!(matches!(store.append(Epoch(1), &[watermark("sync")]), Err(StoreError::NotJoined)));
}

#[test]
fn a_foreground_run_takes_no_key_of_the_daemon() {
    let mut daemon = Opened::with(&[fired(1, "sync", 60, range(3))]);
    let (mut foreground, epoch) = join(daemon.dir.path(), "run-9");
    let base = foreground.recover().unwrap().last_key;
    assert_eq!(base, 1 << 32);
    foreground.append(epoch, &[fired(base + 1, "once", 60, range(3))]).unwrap();
    assert_eq!(foreground.recover().unwrap().last_key, base + 1);
    assert_eq!(recovered(&mut *daemon.store), "last 1; run 1 claimed 0/3 ended [] retrying []");
}

#[test]
fn runs_of_dead_nodes_are_interrupted() {
    let mut daemon = Opened::with(&[fired(1, "sync", 60, range(3))]);
    for (name, job) in [("run-8", "alive"), ("run-9", "dead")] {
        let mut store = Sqlite::open(daemon.dir.path()).unwrap();
        let pid = name[4..].parse().unwrap();
        let epoch = store.join(&Node { pid, ..node(name) }).unwrap();
        let key = store.recover().unwrap().last_key + 1;
        store.append(epoch, &[fired(key, job, 60, range(3)), ended(key, 0, Outcome::Succeeded)]).unwrap();
    }
    let dead = daemon.store.finish_abandoned(daemon.epoch, at(99), &|pid, boot| pid == 8 && boot == "boot").unwrap();
    assert_eq!(dead.iter().map(|id| &*id.0).collect::<Vec<_>>(), ["dead@20260311T020100Z"]);
    let run = daemon.reader().run("dead").unwrap();
    assert_eq!((run.outcome, run.succeeded, run.cancelled, run.ended), (Some(RunOutcome::Interrupted), 1, 2, Some(at(99))));
    assert_eq!(daemon.reader().run("alive").unwrap().outcome, None);
}

mod files;
mod views;
