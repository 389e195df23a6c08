//! Quick successes share a row, and nobody sees it.

use super::*;
use crate::engine::{Streak, Success};

/// A success of a handler of the embedding program.
fn quick(index: u32) -> Success {
    Success {
        duration: Duration::from_micros(u64::from(index % 7)),
        started: at(61) + Duration::from_micros(u64::from(index) * 3),
        ended: at(61) + Duration::from_micros(u64::from(index) * 3 + 1),
        result: (!index.is_multiple_of(3)).then(|| json(&format!("{{\"a\":[{index}]}}"))),
    }
}

fn streak(key: i64, index: u32, success: Success) -> Streak {
    Streak {
        run: RunKey(key),
        first: index,
        planned: false,
        targets: vec![partial(key, index, Outcome::Succeeded).target],
        ends: [success].into_iter().collect(),
    }
}

fn quick_ended(key: i64, index: u32) -> Record {
    Record::Streak(streak(key, index, quick(index)))
}

/// A run of a hundred: of the first fifty the partial 7 has failed, 13 waits for another attempt, 20 has not ended; two transactions.
fn hundred() -> Opened {
    let mut opened = Opened::with(&[watermark("sync"), fired_as(1, "sync", 60, range(100), Decides::Nominal), claimed(1, 60)]);
    let first = (0..50).filter(|index| *index != 20).rev().map(|index| match index {
        7 => ended(1, 7, Outcome::Failed),
        13 => retrying(1, 13, 1),
        index => quick_ended(1, index),
    });
    opened.append(&first.collect::<Vec<_>>()).expect("is recorded");
    opened.append(&(50..60).map(|index| quick_ended(1, index)).collect::<Vec<_>>()).expect("is recorded");
    opened
}

/// How many rows there are in each of the tables.
fn rows(opened: &Opened) -> (i64, i64) {
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    let count = |table| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts");
    (count("partial"), count("streak"))
}

fn shown(partials: &[PartialView]) -> Vec<String> {
    partials.iter().map(|partial| serde_json::to_string(partial).expect("is JSON")).collect()
}

#[test]
fn neighbours_share_a_row() {
    // 0 to 6 are too few; 8 to 12 are, and 14 to 19.
    assert_eq!(rows(&hundred()), (2 + 7 + 5 + 6, 2));
    assert_eq!(problems(&hundred()), Vec::<String>::new());
}

fn problems(opened: &Opened) -> Vec<String> {
    opened.reader().inspect().expect("can be read").problems
}

#[test]
fn they_read_back_as_if_each_had_its_own() {
    let whole = hundred();
    let mut apart = Opened::with(&[watermark("sync"), fired_as(1, "sync", 60, range(100), Decides::Nominal), claimed(1, 60)]);
    for index in (0..60).filter(|index| *index != 20) {
        let record = match index {
            7 => ended(1, 7, Outcome::Failed),
            13 => retrying(1, 13, 1),
            index => Record::Partials(streak(1, index, quick(index)).partials().collect()),
        };
        apart.append(&[record]).expect("is recorded");
    }
    assert_eq!(rows(&apart), (59, 0));
    let all = |opened: &Opened| shown(&opened.reader().partials(RunKey(1), false, None, 1_000).expect("reads"));
    assert_eq!(all(&whole), all(&apart));
    assert_eq!(recovered(&mut *hundred().store), recovered(&mut *apart.store));
    for after in 0..60 {
        for limit in [1, 2, 9, 100] {
            let page = whole.reader().partials(RunKey(1), false, Some(after), limit).expect("reads");
            let expected: Vec<u32> = (after + 1..60).filter(|index| *index != 20).take(limit as usize).collect();
            assert_eq!(page.iter().map(|partial| partial.index).collect::<Vec<_>>(), expected, "after {after}, {limit}");
        }
    }
    assert!(whole.reader().partials(RunKey(1), false, Some(u32::MAX), 9).expect("reads").is_empty());
}

#[test]
fn whoever_reads_on_from_the_last_reads_each_once() {
    let opened = hundred();
    let expected: Vec<u32> = (0..60).filter(|index| *index != 20).collect();
    for enough in [1, 2, 7, 30, 100] {
        let (mut read, mut pages) = (Vec::new(), 0);
        loop {
            let page = opened.reader().next_partials(RunKey(1), read.last().copied(), enough).expect("reads");
            if page.is_empty() {
                break;
            }
            read.extend(page.iter().map(|partial| partial.index));
            pages += 1;
        }
        assert_eq!(read, expected, "{enough}");
        assert!(pages <= 59_u32.div_ceil(enough), "{enough}: {pages} pages");
    }
}

#[test]
fn one_that_took_longer_has_a_row() {
    let mut opened = Opened::with(&[fired(1, "sync", 60, range(30)), claimed(1, 30)]);
    let ends =
        (0..30).map(|index| Success { duration: Duration::from_micros(if index == 12 { 1_000 } else { 999 }), ..quick(index) }).collect();
    let targets = (0..30).map(|index| range(30).get(index)).collect();
    opened.append(&[Record::Streak(Streak { targets, ends, ..streak(1, 0, quick(0)) })]).expect("is recorded");
    assert_eq!(rows(&opened), (1, 2));
    let slowest = opened.reader().slowest(RunKey(1), 9).expect("reads");
    assert_eq!(slowest.iter().map(|partial| partial.index).collect::<Vec<_>>(), [12]);
}

#[test]
fn the_view_has_them_all() {
    let opened = hundred();
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    let row = |index: u32| -> String {
        let sql = "SELECT idx || ' ' || target || ' ' || outcome || ' ' || attempt || ' ' || started || ' ' || ended || ' ' || duration_us
                       || ' ' || coalesce(result, 'none') FROM every_partial WHERE run = 1 AND idx = ?1";
        connection.query_row(sql, [index], |row| row.get(0)).expect("is there")
    };
    assert_eq!(row(12), r#"12 "22" succeeded 1 1773194461000036 1773194461000037 5 none"#);
    assert_eq!(row(55), r#"55 "65" succeeded 1 1773194461000165 1773194461000166 6 {"a":[55]}"#);
}

#[test]
fn those_of_version_8_are_put_in_order() {
    let opened = hundred();
    let before = shown(&opened.reader().partials(RunKey(1), false, None, 1_000).expect("reads"));
    let Opened { store, dir, .. } = opened;
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    let as_version_8 = "
        UPDATE streak SET partials = (
            SELECT json_group_array(json_array(value -> 0, value -> 2, value -> 1, value -> 4, value -> 5, value -> 3) ORDER BY key)
            FROM json_each(streak.partials));
        DROP VIEW every_target; DROP TABLE listed; PRAGMA user_version = 8;";
    connection.execute_batch(as_version_8).expect("is SQL");
    drop(connection);
    drop(Sqlite::open(dir.path()).expect("migrates"));
    let reader = Reader::open(dir.path()).expect("can be read");
    assert_eq!(shown(&reader.partials(RunKey(1), false, None, 1_000).expect("reads")), before);
}

#[test]
fn a_further_attempt_takes_a_streak_apart() {
    let mut opened = hundred();
    let before = shown(&opened.reader().partials(RunKey(1), false, None, 1_000).expect("reads"));
    opened.append(&[retried(1, 30, 2)]).expect("is recorded");
    assert_eq!(rows(&opened), (20 + 29, 1));
    assert_eq!(shown(&opened.reader().partials(RunKey(1), false, None, 1_000).expect("reads")), before);
    opened.append(&[attempt(1, 30, 2, Outcome::Failed), attempt(1, 55, 2, Outcome::Failed)]).expect("is recorded");
    assert_eq!(rows(&opened), (20 + 29 + 10, 0));
    assert_eq!(problems(&opened), Vec::<String>::new());
    let run = opened.reader().run("sync").expect("is there");
    assert_eq!((run.succeeded, run.failed), (55, 3));
}

#[test]
fn what_came_back_to_the_list_is_recorded_once() {
    let Record::Fired { run, .. } = fired(1, "sync", 60, range(20)) else { unreachable!("it is a fire") };
    let replanned = Record::Replanned { run, dropped: [4].into_iter().collect(), at: at(90) };
    let mut opened = Opened::with(&[fired(1, "sync", 60, range(20)), claimed(1, 3), replanned, retried(1, 4, 1)]);
    opened.append(&(0..20).map(|index| quick_ended(1, index)).collect::<Vec<_>>()).expect("is recorded");
    assert_eq!(problems(&opened), Vec::<String>::new());
    assert_eq!(opened.reader().run("sync").expect("is there").succeeded, 20);
}

#[test]
fn a_row_has_a_limit() {
    let mut opened = Opened::with(&[fired(1, "sync", 60, range(10_000)), claimed(1, 10_000)]);
    let large = json(&format!("\"{}\"", "x".repeat(9_000)));
    let records: Vec<_> = (0..100)
        .map(|index| Record::Streak(streak(1, index, Success { result: Some(large.clone()), ..quick(index) })))
        .chain((100..5_000).map(|index| quick_ended(1, index)))
        .collect();
    opened.append(&records).expect("is recorded");
    let longest = "SELECT max(length(partials)) FROM streak";
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    let longest: i64 = connection.query_row(longest, [], |row| row.get(0)).expect("reads");
    assert!(longest < (64 << 10) + 10_000, "{longest}");
    assert_eq!(opened.reader().partials(RunKey(1), false, None, 10_000).expect("reads").len(), 5_000);
}

#[test]
fn targets_that_were_planned_are_shown() {
    let mut opened = Opened::with(&[fired(1, "sync", 60, Targets::Unplanned(crate::config::Selection::All))]);
    opened.store.plan(opened.epoch, &PlanStep::Begin { run: RunKey(1) }).expect("begins");
    let targets: Vec<Target> = hosts().into_iter().chain((2..30).filter_map(|index| range(30).get(index))).collect();
    let mut packed = PackedTargets::default();
    targets.iter().try_for_each(|target| packed.push(target)).expect("is JSON");
    opened.store.plan(opened.epoch, &PlanStep::List { run: RunKey(1), next: 0, targets: packed }).expect("is kept");
    let Record::Fired { run, .. } = fired(1, "sync", 60, Targets::Planned { count: 30 }) else { unreachable!("it is a fire") };
    opened.append(&[Record::Planned { run }, claimed(1, 30)]).expect("is recorded");
    let record = |index| match index {
        14 => Record::Partials(vec![PartialRecord { planned: true, ..partial(1, index, Outcome::Failed) }]),
        index => Record::Streak(Streak { planned: true, ..streak(1, index, quick(index)) }),
    };
    let records: Vec<_> = (0..30).map(record).collect();
    opened.append(&records).expect("is recorded");
    assert_eq!(rows(&opened), (1, 2));
    let targets = |after, limit| -> String {
        let page = opened.reader().partials(RunKey(1), false, after, limit).expect("reads");
        page.iter().map(|partial| partial.target.as_ref().map_or("none", |target| target.get())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((targets(None, 1), targets(Some(0), 1)), (r#""a""#.into(), r#"{"key":"b","port":5432}"#.into()), "also on a page of one");
    assert_eq!(targets(None, 4), r#""a" {"key":"b","port":5432} "12" "13""#);
    assert_eq!(targets(Some(26), 9), r#""37" "38" "39""#);
    let behind: Vec<_> = (12..40).map(|number| format!("\"{number}\"")).collect();
    assert_eq!(targets(Some(1), 30), behind.join(" "), "also behind the one that failed");
}

#[test]
fn open_targets_are_those_without_a_success() {
    let open = hundred().reader().targets(RunKey(1), true).expect("reads");
    let expected: Vec<String> = [7, 13, 20].into_iter().chain(60..100).map(|index| (index + 10).to_string()).collect();
    assert_eq!(open, expected);
}

#[test]
fn an_abandoned_run_counts_them() {
    let mut daemon = Opened::new();
    let mut store = Sqlite::open(daemon.dir.path()).expect("opens");
    let epoch = store.join(&node("run-9")).expect("joins");
    let records: Vec<_> =
        [fired(9, "dead", 60, range(30)), claimed(9, 25)].into_iter().chain((0..20).map(|index| quick_ended(9, index))).collect();
    store.append(epoch, &records).expect("is recorded");
    daemon.store.finish_abandoned(daemon.epoch, at(99), &|_, _| false).expect("is recorded");
    let run = daemon.reader().run("dead").expect("is there");
    assert_eq!((run.succeeded, run.failed, run.cancelled), (20, 5, 5));
}

#[test]
fn they_are_forgotten_with_their_run() {
    let mut opened = hundred();
    opened.append(&[finished(1, RunOutcome::Failed)]).expect("is recorded");
    while opened.store.forget(opened.epoch, &Retention { before: at(600), runs: 5, output: 0 }).expect("forgets") {}
    assert_eq!(rows(&opened), (0, 0));
}

#[test]
fn they_are_saved_from_a_damaged_database() {
    let opened = hundred();
    let before = shown(&opened.reader().partials(RunKey(1), false, None, 1_000).expect("reads"));
    let path = opened.dir.path().join(DATABASE_FILE);
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute_batch("PRAGMA foreign_keys = off; UPDATE run SET succeeded = 77 WHERE key = 1;").expect("is SQL");
    drop(connection);
    let dir = opened.dir;
    drop(opened.store);
    let repaired = repair(dir.path(), at(99)).expect("is repaired").expect("there was something to repair");
    assert_eq!(repaired.problems, Vec::<String>::new());
    let reader = Reader::open(dir.path()).expect("can be read");
    assert_eq!(shown(&reader.partials(RunKey(1), false, None, 1_000).expect("reads")), before);
    assert_eq!(reader.run("sync").expect("is there").succeeded, 57);
}

#[test]
fn a_partial_that_is_there_twice_is_named() {
    for sql in [
        "INSERT INTO partial (run, idx, outcome, attempt, started, ended, duration_us) VALUES (1, 55, 'succeeded', 1, 0, 0, 0)",
        "UPDATE streak SET count = 9 WHERE first = 50",
    ] {
        let opened = hundred();
        let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
        connection.execute_batch(sql).expect("is SQL");
        let expected = "the run has a partial twice: sync@20260311T020100Z";
        assert!(problems(&opened).iter().any(|problem| problem == expected), "{sql}: {:?}", problems(&opened));
    }
}
