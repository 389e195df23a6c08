//! What is wrong with records is found, a copy has them all, and what can be read of damaged ones is saved.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;

/// Ended runs: enough for tables of several pages.
const RUNS: i64 = 150;

/// Ended and live runs, decisions, retries and outputs.
fn story() -> Opened {
    let output = |key| {
        let output = CapturedOutput { head: vec![b'x'; 3_000], tail: Vec::new(), cut: 0 };
        Record::Partials(vec![PartialRecord { output: Some(output), ..partial(key, 0, Outcome::Succeeded) }])
    };
    let mut records = vec![watermark("sync"), watermark("other")];
    for key in 1..=RUNS {
        records.push(fired_as(key, "sync", 60 * key, range(3), Decides::Nominal));
        records.extend([claimed(key, 3), output(key), ended(key, 1, Outcome::Succeeded), ended(key, 2, Outcome::Cancelled)]);
        records.push(finished(key, RunOutcome::Succeeded));
    }
    let live = RUNS + 1;
    records.extend([fired(live, "other", 60, range(2)), claimed(live, 2), ended(live, 1, Outcome::Failed), retrying(live, 0, 1)]);
    Opened::with(&records)
}

fn problems(opened: &Opened) -> Vec<String> {
    opened.reader().inspect().expect("can be read").problems
}

#[test]
fn records_as_they_are_written_are_sound() {
    let opened = story();
    let inspected = opened.reader().inspect().expect("can be read");
    assert_eq!(inspected.problems, Vec::<String>::new());
    assert_eq!(inspected.rows.values().copied().collect::<Vec<_>>(), [150, 300, 452, 151], "decisions, outputs, partials, runs");
}

#[test]
fn forgetting_leaves_sound_records_at_every_step() {
    let mut opened = story();
    let retention = Retention { before: at(600), runs: 5, output: 20_000 };
    while opened.store.forget(opened.epoch, &retention).expect("forgets") {
        assert_eq!(problems(&opened), Vec::<String>::new());
    }
}

/// Records changed by `sql` have this problem.
#[track_caller]
fn check(sql: &str, expected: &str) {
    let opened = story();
    let connection = rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens");
    connection.execute_batch(&format!("PRAGMA foreign_keys = off; {sql}")).expect("is SQL");
    let problems = problems(&opened);
    assert!(problems.iter().any(|problem| problem == expected), "{sql}: {problems:?}");
}

#[test]
fn what_does_not_hang_together_is_named() {
    let run = "sync@20260311T020100Z";
    let time = at(60).as_microsecond();
    for (sql, what, thing) in [
        ("UPDATE run SET outcome = NULL WHERE key = 1", "the run has an end without an outcome, or an outcome without an end", run),
        ("UPDATE run SET cancelled = 0 WHERE key = 1", "the run has counted more or fewer partials than it has", run),
        ("UPDATE partial SET outcome = 'failed' WHERE run = 1 AND idx = 1", "the run's counts are not those of its recorded partials", run),
        ("UPDATE run SET failed = 0 WHERE key = 151", "the run's counts are not those of its recorded partials", "other@20260311T020100Z"),
        ("UPDATE partial SET idx = 7 WHERE run = 1 AND idx = 1", "the run has a partial beyond their number", run),
        ("UPDATE partial SET outcome = NULL WHERE run = 1 AND idx = 2", "the run has ended, and one of its partials has not", run),
        ("DELETE FROM node", "the run is live, and its node is unknown", "other@20260311T020100Z"),
        ("UPDATE run SET id = 'other@1' WHERE key = 1", "the run is not named after its job", "other@1"),
        ("UPDATE decision SET run = NULL WHERE run = 1", "the decision does not fit its run", &format!("sync {time}")),
        ("UPDATE decision SET count = 0 WHERE run = 1", "the decision covers no time", &format!("sync {time}")),
        (
            "INSERT INTO decision SELECT job, first, last, count, 'missed', NULL, at, accounting FROM decision WHERE run = 1",
            "the nominal time has two decisions",
            &format!("sync {time}"),
        ),
        ("UPDATE decision SET run = 1 WHERE run = 2", "the run was decided twice", "1"),
        ("UPDATE decision SET accounting = 9 WHERE run = 1", "the decision belongs to no accounting", &format!("sync {time}")),
        ("INSERT INTO accounting VALUES ('sync', 2, 0, NULL, '{}', 'new')", "the job has several open accountings", "sync"),
        ("DELETE FROM job WHERE name = 'other'", "the open accounting has no job", "other"),
        ("UPDATE job SET watermark = 0 WHERE name = 'sync'", "the watermark of the job is before its last decision", "sync"),
        ("UPDATE captured SET bytes = 7", "the bytes of captured output are counted wrong", "7 counted, 450600 found"),
    ] {
        check(sql, &format!("{what}: {thing}"));
    }
    check("DELETE FROM run WHERE key = 1", "rows of `partial` belong to a run that does not exist");
}

#[test]
fn a_backup_has_everything_and_overwrites_nothing() {
    let mut opened = story();
    let to = opened.dir.path().join("copy/batchd.db");
    let reader = opened.reader();
    assert!(matches!(reader.backup(&to), Err(BackupError::Io { .. })), "there is no such directory");
    fs::create_dir(to.parent().expect("a directory")).expect("is made");
    reader.backup(&to).expect("is copied");
    // It is a state directory, with the files of one.
    let files: Vec<_> =
        fs::read_dir(to.parent().expect("a directory")).expect("reads").map(|file| file.expect("reads").file_name()).collect();
    assert_eq!(files, ["batchd.db"]);
    assert_eq!(to.metadata().expect("is there").permissions().mode() & 0o777, 0o600);
    let copy = Reader::open(to.parent().expect("a directory")).expect("opens");
    assert_eq!(copy.inspect().expect("reads"), reader.inspect().expect("reads"));

    opened.append(&[missed("sync", 60 * (RUNS + 1))]).expect("is recorded");
    assert!(matches!(reader.backup(&to), Err(BackupError::Exists { .. })));
    let mut restored = Sqlite::open(to.parent().expect("a directory")).expect("opens");
    restored.join(&node("daemon")).expect("joins");
    assert_eq!(
        recovered(&mut restored),
        "last 151; other decided to 0; sync decided to 9000; run 151 claimed 2/2, 1 failed 1, 0 retrying 1 after failed"
    );
}

/// Overwrites the page of `table` that holds the row in its middle, and returns the state directory.
fn damaged(table: &str) -> tempfile::TempDir {
    let Opened { dir, store, .. } = story();
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let database = rusqlite::Connection::open(&path).expect("opens");
    let root: u32 =
        database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).expect("there is the table");
    database.close().expect("closes");
    let file = File::options().read(true).write(true).open(&path).expect("opens");
    // An interior page has the number of its cells at 3, and from 12 on their places; each begins with the number of a child.
    let mut page = [0; 4096];
    file.read_exact_at(&mut page, u64::from(root - 1) * 4096).expect("reads");
    assert!([2, 5].contains(&page[0]), "`{table}` has several pages");
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    let cell = number(12 + 2 * (number(3) / 2));
    let child = u32::from_be_bytes(page[cell..cell + 4].try_into().expect("four bytes"));
    file.write_all_at(&[0xA5; 4096], u64::from(child - 1) * 4096).expect("is damaged");
    dir
}

#[test]
fn what_can_be_read_is_saved() {
    for table in ["run", "partial", "decision", "output"] {
        let all = story().reader().inspect().expect("can be read").rows[table];
        let dir = damaged(table);
        let before = fs::read(dir.path().join(DATABASE_FILE)).expect("reads");
        let repaired = repair(dir.path(), at(100_000)).expect("is repaired").expect("was damaged");
        let aside = dir.path().join("batchd.db.broken-20260312T054640Z");
        assert_eq!(repaired.aside, aside);
        assert_eq!(fs::read(&aside).expect("is kept"), before);
        let saved = repaired.saved.iter().find(|saved| saved.table == table).expect("is told");
        assert!(saved.rows > 0 && saved.rows < all && saved.lost > 0, "{saved:?}");
        // A page is lost, and the rows after it are there.
        assert!(saved.rows * 3 > all, "{saved:?}");
        for other in repaired.saved.iter().filter(|other| other.table != table && table != "run") {
            assert_eq!((other.lost, other.refused), (0, 0), "{other:?}");
        }
        assert_eq!(repaired.problems, Vec::<String>::new(), "{table}");

        let mut store = Sqlite::open(dir.path()).expect("opens");
        let epoch = store.join(&node("daemon")).expect("joins");
        store.append(epoch, &[missed("sync", 60 * (RUNS + 1))]).expect("goes on");
        assert_eq!(Reader::open(dir.path()).expect("opens").inspect().expect("reads").problems, Vec::<String>::new(), "{table}");
    }
}

#[test]
fn a_run_that_lost_partials_says_so() {
    let dir = damaged("partial");
    let repaired = repair(dir.path(), at(100_000)).expect("is repaired").expect("was damaged");
    let run = Reader::open(dir.path()).expect("opens").run(&repaired.incomplete[0]).expect("is there");
    assert_eq!(run.reason.as_deref(), Some("all went well; some of its partials were lost with a damaged database"));
}

#[test]
fn what_is_sound_is_not_repaired() {
    let opened = story();
    let before = opened.dir.path().read_dir().expect("reads").count();
    drop(opened.store);
    assert_eq!(repair(opened.dir.path(), at(0)).expect("is looked at"), None);
    assert!(opened.dir.path().read_dir().expect("reads").count() <= before + 1, "only the lock is new");
}

#[test]
fn what_cannot_be_read_at_all_stays_as_it_is() {
    let Opened { dir, store, .. } = story();
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    // The first page, behind its header, says which tables there are.
    File::options().write(true).open(&path).and_then(|file| file.write_all_at(&[0xA5; 3_000], 100)).expect("is damaged");
    let before = fs::read(&path).expect("reads");
    let refused = repair(dir.path(), at(0)).expect_err("cannot be read").to_string();
    assert!(refused.starts_with("nothing can be read of the database"), "{refused}");
    assert_eq!(fs::read(&path).expect("reads"), before);
    assert!(dir.path().read_dir().expect("reads").all(|file| !file.expect("reads").file_name().to_string_lossy().contains("broken")));
}

#[test]
fn a_repair_that_was_broken_off_is_done_from_what_it_kept() {
    let dir = damaged("output");
    let path = dir.path().join(DATABASE_FILE);
    let kept = path.with_extension("db.broken-earlier");
    fs::hard_link(&path, &kept).expect("is linked");
    assert_eq!(repair(dir.path(), at(0)).expect("is repaired").expect("was damaged").aside, kept);
}
