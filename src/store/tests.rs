//! The suite that every [`Store`] passes, the refusals of the file, the writer thread and the reader.

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::config::Targets;
use crate::engine::{CapturedOutput, Cause, Decision, Outcome, PartialRecord, RunInfo, RunKey, RunOutcome, RunSummary, Then, Ticket};

fn node(name: &str) -> Node {
    Node { name: name.to_owned(), pid: 1, boot_id: "boot".to_owned() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn fired(key: i64, targets: Targets) -> Record {
    let job = crate::config::test_job("job");
    let id = RunId::new("job", Cause::Schedule, at(key));
    let run = RunInfo { key: RunKey(key), id, job: Arc::new(job), cause: Cause::Schedule, nominal: at(key), fired: at(key), targets };
    Record::Fired { run: Arc::new(run) }
}

fn partial(key: i64, index: u32, attempt: u32, outcome: Outcome, retry: bool) -> Record {
    Record::Partial(Box::new(PartialRecord {
        run: RunKey(key),
        index,
        target: Targets::Range { start: 0, end: 10 }.get(index),
        attempt,
        outcome,
        retry: retry.then(|| at(9)),
        started: at(1),
        ended: at(2),
        duration: Duration::from_millis(1_500),
        exit_code: Some(3),
        signal: None,
        result: serde_json::value::to_raw_value(&index).ok(),
        error: None,
        output: Some(CapturedOutput { head: b"\xff\0raw".to_vec(), tail: Vec::new(), cut: 0 }),
    }))
}

fn finished(key: i64, outcome: RunOutcome) -> Record {
    let run = RunKey(key);
    let (reason, result, output) = (None, None, None);
    Record::Finished(Box::new(RunSummary { run, outcome, ended: at(60), succeeded: 2, failed: 1, cancelled: 0, reason, result, output }))
}

/// Runs `check` against every implementation; `reopen` is a crash and a restart.
fn every_store(check: impl Fn(&dyn Fn() -> Box<dyn Store>)) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state/batchd.db");
    check(&|| Box::new(Sqlite::open(&path).expect("opens")));
}

#[test]
fn each_prefix_of_a_story_is_recovered_as_recorded() {
    every_store(|reopen| {
        let mut expected = Vec::new();
        let mut tell = |records: &[Record], state: &str| {
            let mut store = reopen();
            let epoch = store.join(&node("daemon")).expect("joined");
            store.append(epoch, records).expect("appended");
            drop(store);
            let recovery = reopen().recover(&node("daemon")).expect("recovered");
            let runs = recovery
                .runs
                .iter()
                .map(|run| format!("{} claimed {} ended {:?} retrying {:?}", run.key.0, run.claimed, run.ended, run.retrying));
            let runs = runs.collect::<Vec<_>>().join("; ");
            let watermarks: Vec<_> = recovery.jobs.iter().map(|job| job.watermark.duration_since(at(0)).as_secs()).collect();
            expected.push(state.to_owned());
            assert_eq!(format!("{watermarks:?} {runs}"), state, "after {expected:?}");
        };
        let watermark =
            Record::Watermark { job: "job".into(), watermark: at(0), schedule_fingerprint: u64::MAX, boot_id: Some("b".into()) };
        let ran = |key| Record::Decided {
            job: "job".into(),
            first: at(key),
            last: at(key),
            count: 1,
            decision: Decision::Ran,
            run: Some(RunKey(key)),
            at: at(key),
        };
        tell(&[watermark], "[0] ");
        tell(&[fired(5, Targets::Range { start: 0, end: 3 }), ran(5)], "[5] 5 claimed 0 ended [] retrying []");
        tell(&[Record::Claimed { run: RunKey(5), upto: 2, at: at(6) }], "[5] 5 claimed 2 ended [] retrying []");
        tell(&[partial(5, 1, 1, Outcome::Failed, true)], "[5] 5 claimed 2 ended [] retrying [(1, 1)]");
        tell(&[partial(5, 0, 1, Outcome::Succeeded, false)], "[5] 5 claimed 2 ended [(0, Succeeded, 1)] retrying [(1, 1)]");
        tell(&[partial(5, 1, 2, Outcome::TimedOut, false)], "[5] 5 claimed 2 ended [(0, Succeeded, 1), (1, TimedOut, 2)] retrying []");
        tell(&[finished(5, RunOutcome::Failed)], "[5] ");
    });
}

#[test]
fn a_batch_is_whole_or_not_at_all() {
    every_store(|reopen| {
        let mut store = reopen();
        let epoch = store.join(&node("daemon")).expect("joined");
        store.append(epoch, &[fired(1, Targets::None)]).expect("appended");
        let twice = store.append(epoch, &[fired(2, Targets::None), fired(1, Targets::None)]).expect_err("it exists");
        assert_eq!(twice.to_string(), "run `job@20270115T080001Z` exists already");
        let unknown = store.append(epoch, &[fired(3, Targets::None), finished(99, RunOutcome::Failed)]).expect_err("nobody knows it");
        assert_eq!(unknown.to_string(), "a record names a run that is not known: 99");
        let keys: Vec<_> = store.recover(&node("daemon")).expect("recovered").runs.iter().map(|run| run.key.0).collect();
        assert_eq!(keys, [1]);
    });
}

#[test]
fn a_later_writer_fences_the_earlier() {
    every_store(|reopen| {
        let mut store = reopen();
        let old = store.join(&node("daemon")).expect("joined");
        let new = store.join(&node("daemon")).expect("joined");
        assert!(new > old);
        assert!(matches!(store.append(old, &[fired(1, Targets::None)]), Err(StoreError::Fenced)));
        store.append(new, &[fired(1, Targets::None)]).expect("appended");
    });
}

#[test]
fn what_a_dead_foreground_run_left_is_closed() {
    every_store(|reopen| {
        let mut store = reopen();
        let epoch = store.join(&node("run-7")).expect("joined");
        store
            .append(epoch, &[fired(1, Targets::Range { start: 0, end: 3 }), partial(1, 0, 1, Outcome::Succeeded, false)])
            .expect("appended");
        let epoch = store.join(&node("daemon")).expect("joined");
        assert_eq!(store.recover(&node("daemon")).expect("recovered").runs.len(), 0);
        let others = store.others(&node("daemon")).expect("read");
        assert_eq!(others, [node("run-7")]);
        assert_eq!(store.close(&others[0], at(9)).expect("closed"), 1);
        assert_eq!(store.others(&node("daemon")).expect("read"), []);
        assert!(store.append(epoch, &[]).is_ok());
    });
}

#[test]
fn what_is_not_our_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("batchd.db");
    let refused = |path: &PathBuf| Sqlite::open(path).expect_err("refused").to_string().replace(&path.display().to_string(), "DB");

    std::fs::write(&path, "a diary, not a database, and long enough to have a header of its own: ".repeat(9)).expect("write");
    assert_eq!(refused(&path), "`DB` is not a batchd database; move it away, or name another `state_dir`");
    std::fs::remove_file(&path).expect("removed");

    let other = rusqlite::Connection::open(&path).expect("opens");
    other.execute_batch("CREATE TABLE theirs (a)").expect("created");
    assert_eq!(refused(&path), "`DB` is not a batchd database; move it away, or name another `state_dir`");
    drop(other);
    std::fs::remove_file(&path).expect("removed");

    drop(Sqlite::open(&path).expect("made"));
    let newer = rusqlite::Connection::open(&path).expect("opens");
    newer.pragma_update(None, "user_version", 9_999).expect("set");
    assert_eq!(refused(&path), "the database `DB` has version 9999, and this batchd knows up to 1; install the newer batchd");
    assert!(matches!(Reader::open(&directory.path().join("none.db")), Err(StoreError::NoState(_))));
}

/// Fails as often as it is told to, then works.
struct Flaky {
    failures: u32,
    written: Arc<Mutex<Vec<usize>>>,
    error: fn() -> StoreError,
}

impl Store for Flaky {
    fn join(&mut self, _: &Node) -> Result<Epoch, StoreError> {
        Ok(Epoch(1))
    }
    fn recover(&mut self, _: &Node) -> Result<crate::engine::Recovery, StoreError> {
        Ok(crate::engine::Recovery::default())
    }
    fn others(&mut self, _: &Node) -> Result<Vec<Node>, StoreError> {
        Ok(Vec::new())
    }
    fn close(&mut self, _: &Node, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
    fn append(&mut self, _: Epoch, records: &[Record]) -> Result<(), StoreError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err((self.error)());
        }
        self.written.lock().expect("not poisoned").push(records.len());
        Ok(())
    }
}

fn full() -> StoreError {
    StoreError::Io { path: "db".into(), source: std::io::ErrorKind::StorageFull.into() }
}

fn ticket(n: u64) -> Then {
    Then::Answer { ticket: Ticket(n), answer: crate::engine::Answer::Stopping }
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let (notify, notified) = channel();
    let (report, reported) = channel();
    let store = Flaky { failures: 2, written: Arc::clone(&written), error: full };
    let writer = Writer::spawn(
        Box::new(store),
        Epoch(1),
        move |then| notify.send(then).expect("listening"),
        move |health| report.send(health).expect("listening"),
    );
    let writer = writer.expect("a thread");
    writer.record(fired(1, Targets::None));
    writer.when_durable(ticket(1));
    writer.record(fired(2, Targets::None));
    writer.when_durable(ticket(2));
    assert_eq!([notified.recv().expect("told"), notified.recv().expect("told")], [ticket(1), ticket(2)]);
    assert!(matches!(reported.recv(), Ok(Health::Degraded { reason }) if reason.contains("`db`")));
    assert!(matches!(reported.recv(), Ok(Health::Healthy)));
    assert!(writer.close(Duration::from_secs(10)));
    assert_eq!(written.lock().expect("not poisoned").iter().sum::<usize>(), 2);
}

#[test]
fn what_can_never_be_written_is_reported_and_nobody_is_told_it_is_durable() {
    let (notify, notified) = channel();
    let (report, reported) = channel();
    let store = Flaky { failures: u32::MAX, written: Arc::default(), error: || StoreError::Fenced };
    let writer = Writer::spawn(
        Box::new(store),
        Epoch(1),
        move |then| notify.send(then).expect("listening"),
        move |health| report.send(health).expect("listening"),
    );
    let writer = writer.expect("a thread");
    writer.record(fired(1, Targets::None));
    writer.when_durable(ticket(1));
    assert!(matches!(reported.recv(), Ok(Health::Failed(StoreError::Fenced))));
    assert!(notified.recv().is_err());
    assert!(!writer.close(Duration::from_secs(10)));
}

#[test]
fn readers_see_what_was_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("batchd.db");
    let mut store = Sqlite::open(&path).expect("made");
    let epoch = store.join(&node("daemon")).expect("joined");
    for key in [1, 2, 62] {
        store
            .append(epoch, &[fired(key, Targets::Range { start: 0, end: 10 }), Record::Claimed { run: RunKey(key), upto: 10, at: at(3) }])
            .expect("appended");
    }
    let ends = [(0, Outcome::Succeeded), (3, Outcome::Failed), (7, Outcome::Succeeded)];
    let partials: Vec<_> = ends.iter().map(|(index, outcome)| partial(2, *index, 1, *outcome, false)).collect();
    store.append(epoch, &partials).expect("appended");
    store.append(epoch, &[finished(2, RunOutcome::PartlyFailed), finished(1, RunOutcome::Succeeded)]).expect("appended");

    let reader = Reader::open(&path).expect("opens beside the writer");
    let keys = |filter: RunFilter| reader.runs(&filter).expect("read").iter().map(|run| run.key.0).collect::<Vec<_>>();
    assert_eq!(keys(RunFilter::default()), [62, 2, 1]);
    assert_eq!(keys(RunFilter { before: Some(RunKey(62)), limit: 1, ..RunFilter::default() }), [2]);
    assert_eq!(keys(RunFilter { failed: true, ..RunFilter::default() }), [2]);
    assert_eq!(keys(RunFilter { since: Some(at(2)), until: Some(at(62)), ..RunFilter::default() }), [2]);
    assert_eq!(keys(RunFilter { job: Some("other".into()), ..RunFilter::default() }), [0_i64; 0]);

    assert_eq!(reader.run("job").expect("the latest").key, RunKey(62));
    let run = reader.run("job@20270115T080002Z").expect("by name");
    assert_eq!((run.key, run.duration_ms, run.failed), (RunKey(2), Some(57_000), 1));
    assert_eq!(reader.run("job@20270115T0801").expect("by its beginning").key, RunKey(62));
    let ambiguous = reader.run("job@20270115T08000").expect_err("two").to_string();
    assert_eq!(ambiguous, "`job@20270115T08000` could be any of `job@20270115T080002Z`, `job@20270115T080001Z`");
    assert_eq!(reader.run("x").expect_err("none").to_string(), "no run is called `x`");
    assert_eq!(reader.last_runs().expect("read").len(), 1);

    let indexes =
        |filter, after| reader.partials(RunKey(2), &filter, after, 2).expect("read").iter().map(|row| row.index).collect::<Vec<_>>();
    assert_eq!(indexes(PartialFilter::default(), None), [0, 3]);
    assert_eq!(indexes(PartialFilter::default(), Some(3)), [7]);
    assert_eq!(indexes(PartialFilter { failed: true }, None), [3]);
    assert_eq!(reader.partial_counts(RunKey(2)).expect("read"), [("failed".to_owned(), 1), ("succeeded".to_owned(), 2)].into());
    assert_eq!(reader.outputs(RunKey(2), Some(3)).expect("read")[0].head, b"\xff\0raw");

    let mut lines = reader.result_lines(RunKey(2));
    let first = String::from_utf8(lines().expect("a line")).expect("UTF-8");
    assert_eq!(
        first,
        r#"{"index":0,"target":"0","outcome":"succeeded","attempts":1,"started":"2027-01-15T08:00:01Z","ended":"2027-01-15T08:00:02Z","duration_ms":1500.0,"exit_code":3,"signal":null,"result":0,"error":null}"#
    );
    assert_eq!((lines().is_some(), lines().is_some(), lines()), (true, true, None));
}
