//! What is not kept goes, whole, and nothing else does.

use super::*;

/// Forgets to the end; how many steps it took.
fn forget(opened: &mut Opened, before: i64, runs: u32) -> usize {
    forget_to(opened, &Retention { before: at(before), runs, output: u64::MAX })
}

fn forget_to(opened: &mut Opened, retention: &Retention) -> usize {
    let mut steps = 1;
    while opened.store.forget(opened.epoch, retention).expect("forgets") {
        steps += 1;
    }
    steps
}

/// The keys of the runs that are left, and how many partials, outputs and decisions.
fn left(opened: &Opened) -> (Vec<i64>, Vec<i64>) {
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    let mut keys = connection.prepare("SELECT key FROM run ORDER BY key").expect("is SQL");
    let keys = keys.query_map([], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("reads");
    let count = |table| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("reads");
    (keys, ["partial", "output", "decision"].map(count).to_vec())
}

fn run(key: i64, job: &str, seconds: i64) -> Vec<Record> {
    let decided = fired_as(key, job, seconds, range(1), Decides::Nominal);
    vec![watermark(job), decided, ended(key, 0, Outcome::Succeeded), finished(key, RunOutcome::Succeeded)]
}

#[test]
fn what_is_old_goes_with_all_that_belongs_to_it() {
    let mut opened = Opened::with(&[run(1, "a", 60), run(2, "b", 120), run(3, "a", 180)].into_iter().flatten().collect::<Vec<_>>());
    forget(&mut opened, 150, 100);
    assert_eq!(left(&opened), (vec![3], vec![1, 1, 1]));
    assert_eq!(opened.reader().pruned_before().expect("reads"), Some(at(150)));
    forget(&mut opened, 100, 100);
    assert_eq!(left(&opened).0, [3], "what is kept longer now stays");
}

#[test]
fn of_each_job_the_latest_stay() {
    let mut opened =
        Opened::with(&[run(1, "a", 60), run(2, "a", 120), run(3, "b", 90), run(4, "a", 180)].into_iter().flatten().collect::<Vec<_>>());
    forget(&mut opened, 0, 2);
    assert_eq!(left(&opened).0, [2, 3, 4]);
    opened.append(&run(5, "a", 240)).expect("is recorded");
    forget(&mut opened, 0, 2);
    assert_eq!(left(&opened).0, [3, 4, 5]);
    // Decisions stay as long as they are young: an audit needs them.
    assert_eq!(left(&opened).1[2], 5);
}

/// The bytes of each output and what was cut of it, in the order of the runs, and how many bytes the store knows of.
fn outputs(opened: &Opened) -> (Vec<(i64, i64)>, i64) {
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    let mut outputs = connection.prepare("SELECT length(head) + length(tail), cut FROM output ORDER BY run, idx").expect("is SQL");
    let outputs = outputs.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("reads").collect::<Result<_, _>>().expect("reads");
    (outputs, connection.query_row("SELECT bytes FROM captured", [], |row| row.get(0)).expect("reads"))
}

fn said(key: i64, bytes: usize) -> Record {
    let output = CapturedOutput { head: vec![b'x'; bytes], tail: Vec::new(), cut: 0 };
    Record::Partials(vec![PartialRecord { output: Some(output), ..partial(key, 0, Outcome::Succeeded) }])
}

#[test]
fn the_oldest_output_is_cut_to_nothing_and_says_so() {
    let mut opened = Opened::with(&[fired(1, "a", 60, range(1)), fired(2, "b", 120, range(1)), fired(3, "c", 180, range(1))]);
    for key in [1, 2, 3] {
        opened.append(&[said(key, 100)]).expect("is recorded");
    }
    assert_eq!(outputs(&opened), (vec![(100, 0); 3], 300));
    let retention = Retention { before: at(0), runs: 100, output: 300 };
    assert!(!opened.store.is_over(&retention));
    forget_to(&mut opened, &retention);
    assert_eq!(outputs(&opened).1, 300);

    let retention = Retention { output: 150, ..retention };
    assert!(opened.store.is_over(&retention));
    forget_to(&mut opened, &retention);
    assert_eq!(outputs(&opened), (vec![(0, 100), (0, 100), (100, 0)], 100));
    assert!(!opened.store.is_over(&retention));
}

/// Outputs that came after the latest were forgotten have their numbers.
#[test]
fn an_output_that_was_passed_is_cut_all_the_same() {
    let runs = (1..=3).flat_map(|key| [fired(key, "a", 60 * key, range(1)), said(key, 100)]);
    let mut opened = Opened::with(&runs.chain([finished(3, RunOutcome::Succeeded)]).collect::<Vec<_>>());
    let retention = Retention { before: at(0), runs: 100, output: 0 };
    forget_to(&mut opened, &retention);
    opened.append(&[finished(1, RunOutcome::Succeeded), finished(2, RunOutcome::Succeeded)]).expect("is recorded");
    forget(&mut opened, 1_000, 1);
    assert_eq!(outputs(&opened), (vec![], 0));
    opened.append(&[fired(4, "b", 240, range(1)), said(4, 100)]).expect("is recorded");
    forget_to(&mut opened, &retention);
    assert_eq!(outputs(&opened), (vec![(0, 100)], 0));
}

/// A second gather command after a crash.
#[test]
fn what_takes_the_place_of_an_output_counts_once() {
    let mut opened = Opened::with(&[fired(1, "a", 60, range(1)), said(1, 100), said(1, 30)]);
    assert_eq!(outputs(&opened), (vec![(30, 0)], 30));
    forget_to(&mut opened, &Retention { before: at(0), runs: 100, output: 0 });
    assert_eq!(outputs(&opened), (vec![(0, 30)], 0));
}

#[test]
fn what_goes_with_its_run_counts_no_more() {
    let mut opened = Opened::with(&[fired(1, "a", 60, range(1)), said(1, 100), finished(1, RunOutcome::Succeeded)]);
    forget(&mut opened, 1_000, 1);
    assert_eq!(outputs(&opened), (vec![], 0));
}

#[test]
fn a_live_run_stays() {
    let mut opened = Opened::with(&[fired(1, "a", 60, range(1)), fired(2, "a", 120, range(1))]);
    forget(&mut opened, 1_000, 1);
    assert_eq!(left(&opened).0, [1, 2]);
}

#[test]
fn a_great_run_goes_little_by_little() {
    let mut records = vec![fired(1, "a", 60, range(3_500))];
    records.extend((0..3_500).map(|index| ended(1, index, Outcome::Succeeded)));
    records.push(finished(1, RunOutcome::Succeeded));
    let mut opened = Opened::with(&records);
    // Three full steps with partials, the rest with the run, and one that finds nothing.
    assert_eq!(forget(&mut opened, 1_000, 1), 5);
    assert_eq!(left(&opened), (vec![], vec![0, 0, 0]));
}
