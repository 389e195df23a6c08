//! A crash after any record leads to what was recorded.

use super::*;

/// Appends the records one by one. After each the daemon crashes, its connection never closed, and a new one joins beside it;
/// `expected` is what it reads.
fn check<const N: usize>(story: [(Record, &str); N]) {
    let mut opened = Opened::new();
    for (record, expected) in story {
        opened.append(&[record]).expect("is recorded");
        let (successor, epoch) = join(opened.dir.path(), "daemon");
        std::mem::forget(std::mem::replace(&mut opened.store, successor));
        opened.epoch = epoch;
        assert_eq!(recovered(&mut *opened.store), expected);
    }
}

#[test]
fn a_run_from_its_fire_to_its_end() {
    check([
        (watermark("sync"), "last 0; sync decided to 0"),
        (missed("sync", 30), "last 0; sync decided to 30"),
        (fired_as(1, "sync", 60, range(3), Decides::Nominal), "last 1; sync decided to 60; run 1 claimed 0/3"),
        (claimed(1, 2), "last 1; sync decided to 60; run 1 claimed 2/3"),
        (ended(1, 0, Outcome::Succeeded), "last 1; sync decided to 60; run 1 claimed 2/3, 0 succeeded 1"),
        (ended(1, 1, Outcome::TimedOut), "last 1; sync decided to 60; run 1 claimed 2/3, 0 succeeded 1, 1 timed_out 1"),
        (finished(1, RunOutcome::Failed), "last 1; sync decided to 60"),
    ]);
}

#[test]
fn a_partial_from_attempt_to_attempt() {
    check([
        (fired(1, "sync", 60, range(1)), "last 1; run 1 claimed 0/1"),
        (claimed(1, 1), "last 1; run 1 claimed 1/1"),
        (retrying(1, 0, 1), "last 1; run 1 claimed 1/1, 0 retrying 1 after failed"),
        (retried(1, 0, 2), "last 1; run 1 claimed 1/1, 0 retried 2"),
        (retrying(1, 0, 2), "last 1; run 1 claimed 1/1, 0 retrying 2 after failed"),
        (retried(1, 0, 3), "last 1; run 1 claimed 1/1, 0 retried 3"),
        // A drain comes before it is started, and leaves it to the next daemon.
        (Record::Released { run: RunKey(1), index: 0 }, "last 1; run 1 claimed 1/1, 0 retrying 2 after failed"),
        (retried(1, 0, 3), "last 1; run 1 claimed 1/1, 0 retried 3"),
        (attempt(1, 0, 3, Outcome::Failed), "last 1; run 1 claimed 1/1, 0 failed 3"),
        // A restart resumes the run: what has failed gets another attempt.
        (retried(1, 0, 4), "last 1; run 1 claimed 1/1, 0 retried 4"),
        (attempt(1, 0, 4, Outcome::Succeeded), "last 1; run 1 claimed 1/1, 0 succeeded 4"),
    ]);
}

#[test]
fn targets_are_edited_while_a_run_is_interrupted() {
    let Record::Fired { run, .. } = fired(1, "sync", 60, range(5)) else { unreachable!("it is a fire") };
    let replanned = Record::Replanned { run, dropped: [1, 2, 3].into_iter().collect(), at: at(90) };
    check([
        (fired(1, "sync", 60, range(4)), "last 1; run 1 claimed 0/4"),
        (claimed(1, 3), "last 1; run 1 claimed 3/4"),
        (ended(1, 0, Outcome::Succeeded), "last 1; run 1 claimed 3/4, 0 succeeded 1"),
        (retrying(1, 1, 1), "last 1; run 1 claimed 3/4, 0 succeeded 1, 1 retrying 1 after failed"),
        (ended(1, 2, Outcome::Failed), "last 1; run 1 claimed 3/4, 0 succeeded 1, 2 failed 1, 1 retrying 1 after failed"),
        (replanned, "last 1; run 1 claimed 3/5, 0 succeeded 1, 1-2 cancelled 1, 3 cancelled 0"),
        // It is listed again after another crash.
        (retried(1, 3, 1), "last 1; run 1 claimed 3/5, 0 succeeded 1, 1-2 cancelled 1, 3 retried 1"),
    ]);
}

#[test]
fn a_claim_is_released() {
    check([
        (fired(1, "sync", 60, range(9)), "last 1; run 1 claimed 0/9"),
        (claimed(1, 8), "last 1; run 1 claimed 8/9"),
        (claimed(1, 3), "last 1; run 1 claimed 3/9"),
        (claimed(1, 0), "last 1; run 1 claimed 0/9"),
    ]);
}

#[test]
fn a_boot_is_decided_with_its_run_and_not_by_others() {
    check([
        (watermark("sync"), "last 0; sync decided to 0"),
        (fired_as(1, "sync", 60, range(1), Decides::Boot("first".into())), "last 1; sync decided to 0, booted first; run 1 claimed 0/1"),
        (finished(1, RunOutcome::Succeeded), "last 1; sync decided to 0, booted first"),
        (fired_as(2, "sync", 61, range(1), Decides::Nominal), "last 2; sync decided to 61, booted first; run 2 claimed 0/1"),
        (finished(2, RunOutcome::Succeeded), "last 2; sync decided to 61, booted first"),
        (fired_as(3, "sync", 62, range(1), Decides::Nothing), "last 3; sync decided to 61, booted first; run 3 claimed 0/1"),
    ]);
}

#[test]
fn a_late_decision_does_not_move_the_watermark_back() {
    check([
        (watermark("sync"), "last 0; sync decided to 0"),
        (missed("sync", 120), "last 0; sync decided to 120"),
        (fired_as(1, "sync", 60, range(1), Decides::Nominal), "last 1; sync decided to 120; run 1 claimed 0/1"),
        (watermark("sync"), "last 1; sync decided to 0; run 1 claimed 0/1"),
    ]);
}

#[test]
fn what_a_run_was_fired_with_reads_back() {
    for (key, targets) in [(1, Targets::None), (2, Targets::List(hosts().into())), (3, range(5))] {
        let mut opened = Opened::with(&[fired(key, "sync", 60, targets.clone())]);
        let run = opened.store.recover().expect("reads back").runs.pop().expect("one run");
        assert_eq!((run.targets, run.nominal, run.cause, &*run.job), (targets, at(60), Cause::Schedule, "sync"));
    }
}

#[test]
fn a_job_reads_back() {
    let job = Opened::with(&[watermark("sync")]).store.recover().expect("reads back").jobs.pop().expect("one job");
    assert_eq!((job.watermark, job.fingerprint, job.boot_id), (at(0), u64::MAX, None));
}
