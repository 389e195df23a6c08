//! The targets of runs that read them from elsewhere. Whether they stand side by side, have a row each, or were being moved when a
//! crash came, nobody sees.

use super::*;
use crate::config::{Selection, Target};
use crate::engine::{Kind, RunInfo};

const RUN: i64 = 7;

/// Enough rows for two steps when each target is listed alone.
const KEYS: &str = "a b c d e f g h i j k l";

/// Where the targets of a first reading are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    SideBySide,
    InRows,
    /// A crash came while they were moved from there to here.
    Between,
}

const EVERYWHERE: [Held; 3] = [Held::SideBySide, Held::InRows, Held::Between];

/// A store with a run whose targets are to be read.
fn fired_run() -> Opened {
    Opened::with(&[watermark("sync"), fired(RUN, "sync", 60, Targets::Unplanned(Selection::All))])
}

fn take(opened: &mut Opened, step: &PlanStep) -> PlanAnswer {
    opened.store.plan(opened.epoch, step).expect("is taken")
}

fn begin(opened: &mut Opened) -> (i64, u32) {
    loop {
        match take(opened, &PlanStep::Begin { run: RunKey(RUN) }) {
            PlanAnswer::Begun { listing, recorded } => return (listing, recorded),
            PlanAnswer::More => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Lists targets before which there are `next`, each in a row of its own.
fn list(opened: &mut Opened, next: u32, targets: impl IntoIterator<Item = Target>) -> u32 {
    targets.into_iter().fold(next, |next, target| {
        let mut targets = PackedTargets::default();
        targets.push(&target).expect("is JSON");
        assert_eq!(take(opened, &PlanStep::List { run: RunKey(RUN), next, targets }), PlanAnswer::Kept { next: next + 1 });
        next + 1
    })
}

fn unpack(opened: &mut Opened) -> PlanAnswer {
    take(opened, &PlanStep::Unpack { run: RunKey(RUN), listing: 1 })
}

fn crash(opened: &mut Opened) {
    (opened.store, opened.epoch) = join(opened.dir.path(), "daemon");
}

/// A run whose first reading has listed these targets; how many there are.
fn listed(held: Held, targets: impl IntoIterator<Item = Target>) -> (Opened, u32) {
    let mut opened = fired_run();
    assert_eq!(begin(&mut opened), (1, 0));
    let count = list(&mut opened, 0, targets);
    match held {
        Held::SideBySide => {}
        Held::InRows => while unpack(&mut opened) == PlanAnswer::More {},
        Held::Between => {
            assert_eq!(unpack(&mut opened), PlanAnswer::More);
            crash(&mut opened);
        }
    }
    let rows = ["listed", "planned"].map(|table| rows(&opened, table) > 0);
    assert_eq!(rows, [held != Held::InRows, held != Held::SideBySide], "{held:?}");
    (opened, count)
}

fn texts(keys: &str) -> impl Iterator<Item = Target> {
    keys.split_whitespace().map(Target::text)
}

/// The same, and the run has its targets as partials from now on.
fn planned(held: Held, targets: impl IntoIterator<Item = Target>) -> Opened {
    let (mut opened, count) = listed(held, targets);
    record_planned(&mut opened, count);
    opened
}

fn record_planned(opened: &mut Opened, count: u32) {
    let Record::Fired { run, .. } = fired(RUN, "sync", 60, Targets::Planned { count }) else { panic!("a run") };
    let run: Arc<RunInfo> = run;
    opened.append(&[Record::Planned { run }]).expect("commits");
}

fn keep(opened: &mut Opened, (listing, next): (i64, u32), grows: bool, keys: &str) -> PlanAnswer {
    take(opened, &PlanStep::Keep { run: RunKey(RUN), listing, next, grows, targets: texts(keys).collect() })
}

fn duplicate(position: usize, key: &str, first: u32) -> PlanAnswer {
    PlanAnswer::Duplicate { position, key: key.into(), first }
}

fn keys_of(targets: &[(u32, Target)]) -> String {
    targets.iter().map(|(index, target)| format!("{index}:{}", target.key)).collect::<Vec<_>>().join(" ")
}

fn keys(opened: &Opened) -> String {
    keys_of(&opened.reader().planned(RunKey(RUN), 0, 10_000).expect("reads"))
}

fn connection(opened: &Opened) -> rusqlite::Connection {
    rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens")
}

fn rows(opened: &Opened, table: &str) -> i64 {
    connection(opened).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts")
}

fn problems(opened: &Opened) -> Vec<String> {
    opened.reader().inspect().expect("can be read").problems
}

#[test]
fn a_plan_is_read_back_in_order_and_by_part() {
    for held in EVERYWHERE {
        let mut opened = planned(held, texts(KEYS));
        assert_eq!(keys(&opened), "0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i 9:j 10:k 11:l", "{held:?}");
        let part = |from, upto| keys_of(&opened.reader().planned(RunKey(RUN), from, upto).expect("reads"));
        assert_eq!(part(6, 9), "6:g 7:h 8:i", "{held:?}");
        assert_eq!((part(11, u32::MAX).as_str(), part(12, u32::MAX).as_str(), part(3, 3).as_str()), ("11:l", "", ""), "{held:?}");
        assert_eq!(opened.reader().targets(RunKey(RUN), false).expect("reads").join(" "), KEYS, "{held:?}");
        assert_eq!(opened.store.recover().expect("recovers").runs[0].targets, Targets::Planned { count: 12 });
        assert_eq!(problems(&opened), Vec::<String>::new(), "{held:?}");
    }
}

/// What is no plain word: characters that JSON escapes, tables, and texts that are not their key.
#[test]
fn every_target_reads_back_as_it_was() {
    let [_, table] = hosts();
    let text = |key: &str, text: &str| Target { key: key.into(), value: TargetValue::Text(text.into()) };
    let odd = [Target::text("\"[\\\n\u{0}ü"), table, text("k", "another"), Target::text("[\"b\",1]"), Target::text("null")];
    let targets: Vec<Target> = odd.into_iter().chain(texts("a c d e f g h i j")).collect();
    for held in EVERYWHERE {
        let opened = planned(held, targets.clone());
        let found: Vec<Target> =
            opened.reader().planned(RunKey(RUN), 0, 100).expect("reads").into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, targets, "{held:?}");
        for (place, target) in (0..).zip(&targets) {
            assert_eq!(opened.reader().place_of(RunKey(RUN), &target.key).expect("reads"), Some(place), "{held:?} {target:?}");
        }
        let sql = "SELECT group_concat(idx || ' ' || key || ' ' || coalesce(target, 'itself'), '; ' ORDER BY idx) FROM every_target WHERE idx BETWEEN 1 AND 5";
        let seen: String = connection(&opened).query_row(sql, [], |row| row.get(0)).expect("reads");
        assert_eq!(seen, r#"1 b {"key":"b","port":5432}; 2 k "another"; 3 ["b",1] itself; 4 null itself; 5 a itself"#, "{held:?}");
    }
}

/// As many as rows of the table begin and end with.
#[test]
fn a_row_has_a_limit() {
    let long = "x".repeat(1_000);
    let many =
        (0..1_500).map(|number| Target::text(&number.to_string())).chain((0..40).map(|number| Target::text(&format!("{long}{number}"))));
    let mut targets = PackedTargets::default();
    many.clone().try_for_each(|target| targets.push(&target)).expect("is JSON");
    let mut opened = fired_run();
    begin(&mut opened);
    take(&mut opened, &PlanStep::List { run: RunKey(RUN), next: 0, targets });
    record_planned(&mut opened, 1_540);
    let sql = "SELECT max(length(targets)) < 18000 AND max(count) = 512 AND count(*) BETWEEN 5 AND 7 FROM listed";
    assert!(connection(&opened).query_row(sql, [], |row| row.get::<_, bool>(0)).expect("reads"));
    let found = opened.reader().planned(RunKey(RUN), 0, 10_000).expect("reads").into_iter().map(|(_, target)| target);
    assert!(found.eq(many));
    assert_eq!(problems(&opened), Vec::<String>::new());
}

#[test]
fn a_duplicate_is_found_and_nothing_of_its_group_kept() {
    let (mut opened, next) = listed(Held::InRows, texts("a b"));
    assert_eq!(keep(&mut opened, (1, next), true, "c d b e"), duplicate(2, "b", 1));
    assert_eq!(keep(&mut opened, (1, next), true, "c c"), duplicate(1, "c", 2));
    assert_eq!(keys(&opened), "0:a 1:b");
}

#[test]
fn a_reading_that_a_crash_ended_leaves_nothing() {
    let many = (0..2_500).map(|number| Target::text(&format!("old{number}")));
    for held in EVERYWHERE {
        let (mut opened, next) = listed(held, texts(KEYS));
        if held == Held::InRows {
            take(&mut opened, &PlanStep::Keep { run: RunKey(RUN), listing: 1, next, grows: true, targets: many.clone().collect() });
        }
        crash(&mut opened);
        assert_eq!(begin(&mut opened), (2, 0), "{held:?}");
        assert_eq!([rows(&opened, "listed"), rows(&opened, "planned")], [0, 0], "{held:?}");
        list(&mut opened, 0, texts("x y"));
        assert_eq!(keys(&opened), "0:x 1:y");
    }
}

#[test]
fn a_list_that_was_edited_is_compared_by_key() {
    for held in EVERYWHERE {
        let mut opened = planned(held, texts(KEYS));
        assert_eq!(begin(&mut opened), (2, 12), "{held:?}");
        assert_eq!(keep(&mut opened, (2, 12), true, "d x a l"), PlanAnswer::Kept { next: 13 });
        assert_eq!(keep(&mut opened, (2, 13), true, "d"), duplicate(0, "d", 3));
        let unlisted = opened.reader().unlisted(RunKey(RUN), 2).expect("reads");
        assert_eq!(unlisted.iter().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(keys(&opened), "0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i 9:j 10:k 11:l 12:x");
        let before = keys(&opened).replace(" 12:x", "");
        assert_eq!((begin(&mut opened), keys(&opened)), ((3, 12), before.clone()), "`x` belonged to a reading without an end");
        assert_eq!(keep(&mut opened, (3, 12), false, "y c"), PlanAnswer::Kept { next: 12 }, "by hand, nothing joins");
        assert_eq!(keys(&opened), before);
        assert_eq!(problems(&opened), Vec::<String>::new());
    }
}

#[test]
fn a_further_reading_that_crashes_before_it_begins_is_taken_up() {
    let mut opened = planned(Held::SideBySide, texts(KEYS));
    let before = keys(&opened);
    assert_eq!(take(&mut opened, &PlanStep::Begin { run: RunKey(RUN) }), PlanAnswer::More);
    crash(&mut opened);
    assert_eq!([rows(&opened, "listed"), rows(&opened, "planned")], [4, 8]);
    assert_eq!((keys(&opened), problems(&opened)), (before.clone(), vec![]));
    assert_eq!(begin(&mut opened), (2, 12));
    assert_eq!((keys(&opened), rows(&opened, "listed")), (before, 0));
    assert_eq!(opened.reader().unlisted(RunKey(RUN), 2).expect("reads").iter().count(), 12, "no reading has listed them since");
}

#[test]
fn results_name_the_planned_target() {
    for held in EVERYWHERE {
        let mut opened = planned(held, texts("\"a\" b c d e f g h i j k l"));
        let ended = |index, outcome| Record::Partials(vec![PartialRecord { planned: true, target: None, ..partial(RUN, index, outcome) }]);
        opened
            .append(&[claimed(RUN, 12), ended(0, Outcome::Succeeded), ended(7, Outcome::Failed), ended(11, Outcome::Succeeded)])
            .expect("commits");
        let reader = opened.reader();
        let targets = |partials: Vec<PartialView>| {
            partials.iter().map(|partial| partial.target.as_ref().expect("a target").to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(targets(reader.partials(RunKey(RUN), false, None, 10).expect("reads")), r#""\"a\"" "h" "l""#, "{held:?}");
        assert_eq!(targets(reader.partials(RunKey(RUN), true, None, 10).expect("reads")), r#""h""#, "{held:?}");
        assert_eq!(targets(reader.slowest(RunKey(RUN), 10).expect("reads")), r#""l" "h""#, "{held:?}");
        assert_eq!(reader.targets(RunKey(RUN), true).expect("reads"), ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"], "{held:?}");
    }
}

#[test]
fn who_is_told_of_a_failure_is_told_the_planned_targets() {
    for held in EVERYWHERE {
        let mut opened = planned(held, texts(KEYS));
        let failed = |index| Record::Partials(vec![PartialRecord { planned: true, target: None, ..partial(RUN, index, Outcome::Failed) }]);
        let Record::Finished(mut summary) = finished(RUN, RunOutcome::Failed) else { panic!("an end") };
        summary.tells = vec![super::outbox::tell(Kind::Failure, &["a"], "1", Some(RUN))];
        opened.append(&[claimed(RUN, 12), failed(2), failed(9), Record::Finished(summary)]).expect("is recorded");
        let notice = opened.reader().letters("a", 1).expect("reads").pop().expect("one letter").notice;
        let targets: Vec<_> = notice.failed_targets.iter().map(|failed| failed.target.as_deref()).collect();
        assert_eq!(targets, [Some("c"), Some("j")], "{held:?}");
    }
}

#[test]
fn they_are_forgotten_with_their_run_little_by_little() {
    for held in EVERYWHERE {
        let mut opened = planned(held, (0..600).map(|number| Target::text(&number.to_string())));
        opened.append(&[finished(RUN, RunOutcome::Failed)]).expect("is recorded");
        let retention = Retention { before: at(600), runs: 5, output: 0 };
        let steps = std::iter::from_fn(|| opened.store.forget(opened.epoch, &retention).expect("forgets").then_some(())).count();
        assert!(steps >= if held == Held::SideBySide { 5 } else { 1 }, "{held:?}: {steps}");
        assert_eq!(["run", "listed", "planned"].map(|table| rows(&opened, table)), [0, 0, 0], "{held:?}");
    }
}

#[test]
fn they_are_saved_from_a_damaged_database() {
    for held in EVERYWHERE {
        let Opened { dir, store, .. } = planned(held, texts(KEYS));
        drop(store);
        let connection = rusqlite::Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
        connection.execute_batch("PRAGMA foreign_keys = off; UPDATE run SET failed = 3;").expect("is SQL");
        drop(connection);
        let repaired = repair(dir.path(), at(99)).expect("is repaired").expect("there was something to repair");
        assert!(repaired.saved.iter().all(|saved| (saved.lost, saved.refused, saved.given_up) == (0, 0, false)), "{repaired:?}");
        let targets = Reader::open(dir.path()).expect("opens").planned(RunKey(RUN), 0, 100).expect("reads");
        assert_eq!(keys_of(&targets), "0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i 9:j 10:k 11:l", "{held:?}");
    }
}

#[test]
fn targets_that_do_not_hang_together_are_named() {
    for (sql, expected) in [
        ("UPDATE listed SET count = 2 WHERE first = 10", "the run has a target twice: sync@20260311T020100Z"),
        ("UPDATE listed SET count = 2, targets = '[\"x\", \"y\"]' WHERE first = 3", "the run has a target twice: sync@20260311T020100Z"),
        ("INSERT INTO planned VALUES (7, 4, 'z', NULL, 1)", "the run has a target twice: sync@20260311T020100Z"),
        ("UPDATE listed SET first = 12 WHERE first = 11", "the run has a target beyond their number: sync@20260311T020100Z"),
    ] {
        let opened = planned(Held::SideBySide, texts(KEYS));
        connection(&opened).execute_batch(sql).expect("is SQL");
        assert_eq!(problems(&opened), [expected], "{sql}");
    }
}

/// Before a daemon of this release has opened it.
#[test]
fn the_targets_of_an_older_database_are_read() {
    let mut opened = planned(Held::InRows, texts(KEYS));
    let ended = PartialRecord { planned: true, target: None, ..partial(RUN, 3, Outcome::Succeeded) };
    opened.append(&[claimed(RUN, 12), Record::Partials(vec![ended])]).expect("commits");
    connection(&opened)
        .execute_batch("DROP VIEW every_target; DROP TABLE listed; PRAGMA user_version = 8;")
        .expect("is as version 8 left it");
    assert_eq!(opened.reader().targets(RunKey(RUN), false).expect("reads").join(" "), KEYS);
    let partials = opened.reader().partials(RunKey(RUN), false, None, 10).expect("reads");
    assert_eq!(partials[0].target.as_ref().expect("a target").get(), "\"d\"");
}
