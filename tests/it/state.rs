//! The real binary and records that cannot be used: refused with what to do, never silently begun anew; moved away, locked and put
//! back under the running daemon; checked, copied and repaired.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::site::{Daemon, Site, text};

const QUICK: &str = "[jobs.quick]\nschedule = \"manual\"\nhandler = \"echo\"\n";
const TICK: &str = "[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n";

/// A site whose records have some runs, all of them in the database and not in its log, and no daemon.
fn stopped() -> Site {
    let site = Site::new(QUICK);
    let mut daemon = site.daemon();
    for _ in 0..3 {
        site.ask(&["trigger", "quick", "--wait"]);
    }
    stop(&mut daemon);
    let database = rusqlite::Connection::open(site.path("state/batchd.db")).expect("a database");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    site
}

fn stop(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
}

/// Both the daemon and a reading command refuse records that were changed so, in these words, and leave them as they are.
#[track_caller]
fn check(damage: impl Fn(&Path), words: &str) {
    let site = stopped();
    let path = site.path("state/batchd.db");
    damage(&path);
    let before = fs::read(&path).ok();
    let mut daemon = site.start();
    let told = daemon.line("error: ");
    assert!(told.contains(words), "{told}");
    assert!(!daemon.left().success());
    for command in [&["history"][..], &["state", "check"]] {
        let refused = site.batchd(command);
        let said = text(&refused.stdout) + &text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(words), "{command:?}: {said}");
    }
    assert_eq!(fs::read(&path).ok(), before, "refused records were changed");
}

fn write(path: &Path, bytes: &[u8], at: u64) {
    File::options().write(true).open(path).and_then(|file| file.write_all_at(bytes, at)).expect("is written");
}

#[test]
fn records_that_cannot_be_used_are_refused() {
    check(|path| write(path, b"no header of a database", 0), "is not a batchd database (it is no SQLite file)");
    check(|path| write(path, &[0xA5; 8192], 3 * 4096), "is damaged: ");
    check(|path| File::options().write(true).open(path).and_then(|file| file.set_len(8192)).expect("is cut off"), "is damaged: ");
    check(|path| drop(File::create(path).expect("is emptied")), "is damaged: the file is empty");
    check(|path| fs::remove_file(path).expect("is removed"), "is missing, and there has been one: put it back");
    check(|path| fs::remove_file(path).and_then(|()| fs::create_dir(path)).expect("is a directory now"), "cannot read or write");
    let pragma = |path: &Path, name: &str, value: i64| {
        rusqlite::Connection::open(path).and_then(|database| database.pragma_update(None, name, value)).expect("is SQL");
    };
    check(|path| pragma(path, "user_version", 9_999), "has schema version 9999, this batchd knows up to");
    check(|path| pragma(path, "application_id", 7), "is not a batchd database (its application id is 0x7)");
}

/// Root may do everything, so it enters a user namespace, in which it may not.
#[test]
fn records_without_permission_are_refused() {
    let site = stopped();
    fs::set_permissions(site.path("state/batchd.db"), fs::Permissions::from_mode(0o000)).expect("is ours");
    let mut daemon = site.start_under(&["unshare", "--user"]);
    let told = daemon.line("error: ");
    assert!(told.contains("batchd.db`: ") && told.contains("unable to open database file"), "{told}");
    assert!(!daemon.left().success());
}

#[test]
fn records_that_are_moved_away_stop_what_is_new_until_they_are_back() {
    let site = Site::new(TICK);
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    fs::rename(site.path("state/batchd.db"), site.path("state/away")).expect("is moved");
    daemon.line("nothing new is started: the database");
    let status = site.ask_json(&["status"]);
    assert_eq!(status["store"]["healthy"], false);
    assert!(status["store"]["reason"].as_str().is_some_and(|reason| reason.contains("moved, removed or replaced")), "{status}");
    assert!(status["store"]["since"].is_string(), "{status}");
    assert!(site.ask(&["status"]).contains("put the file back"), "{}", site.ask(&["status"]));
    let history = site.batchd(&["audit"]);
    assert!(text(&history.stderr).contains("is missing"), "a database that is away is no empty one");

    fs::rename(site.path("state/away"), site.path("state/batchd.db")).expect("is moved");
    daemon.line("the store can write again");
    daemon.line("run succeeded");
    assert_eq!(site.ask_json(&["status"])["store"]["healthy"], true);
    assert_eq!(daemon.seen().iter().filter(|line| line.contains("nothing new is started")).count(), 1);
    site.ask(&["audit"]);
    site.ask(&["state", "check"]);
    stop(&mut daemon);
}

#[test]
fn records_that_another_program_locks_are_waited_for() {
    let site = Site::new(TICK);
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    let other = rusqlite::Connection::open(site.path("state/batchd.db")).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("is locked");
    let told = daemon.line("nothing new is started");
    assert!(told.contains("is locked by another program"), "{told}");
    other.execute_batch("ROLLBACK").expect("is unlocked");
    daemon.line("the store can write again");
    daemon.line("run succeeded");
    stop(&mut daemon);
    site.ask(&["audit"]);
}

#[test]
fn a_deleted_log_of_the_database_loses_nothing() {
    let site = Site::new(TICK);
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    for file in ["state/batchd.db-wal", "state/batchd.db-shm"] {
        fs::remove_file(site.path(file)).expect("is there");
    }
    // The one that was being written when the log went, and one after it.
    daemon.line("run succeeded");
    daemon.line("run succeeded");
    daemon.signal(Signal::SIGKILL);
    daemon.left();
    let told = daemon.seen().iter().filter(|line| line.contains("run succeeded")).count();
    let kept = site.ask_json(&["history", "--limit", "1000"])["runs"].as_array().map_or(0, Vec::len);
    assert!(kept >= told, "{kept} of {told} runs are on record");
    site.ask(&["state", "check"]);
    site.ask(&["audit"]);
}

#[test]
fn damaged_records_are_repaired_while_no_daemon_runs() {
    let site = stopped();
    let path = site.path("state/batchd.db");
    assert!(site.ask(&["state", "repair"]).contains("nothing is wrong"));
    let index: u64 = rusqlite::Connection::open(&path)
        .and_then(|database| {
            database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'run_by_time'", [], |row| row.get::<_, u32>(0))
        })
        .map_or(0, u64::from);
    write(&path, &[0xA5; 4096], (index - 1) * 4096);
    let found = site.batchd(&["state", "check"]);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stdout));
    let repaired = site.ask(&["state", "repair"]);
    assert!(repaired.contains("run: 3 saved") && repaired.contains("batchd.db.broken-"), "{repaired}");
    assert!(site.ask(&["state", "check"]).contains("sound"));

    let mut daemon = site.daemon();
    let refused = site.batchd(&["state", "repair"]);
    assert!(text(&refused.stderr).contains(&format!("another batchd (pid {})", daemon.pid())), "{}", text(&refused.stderr));
    site.ask(&["trigger", "quick", "--wait"]);
    assert_eq!(site.ask_json(&["history"])["runs"].as_array().map(Vec::len), Some(4));
    stop(&mut daemon);
}

#[test]
fn a_backup_beside_a_busy_daemon_is_whole() {
    let site = Site::new(TICK);
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    site.ask(&["state", "backup", "copy.db"]);
    let again = site.batchd(&["state", "backup", "copy.db"]);
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
    daemon.line("run succeeded");
    stop(&mut daemon);

    fs::rename(site.path("copy.db"), site.path("state/batchd.db")).expect("is put in its place");
    assert!(site.ask(&["state", "check"]).contains("sound"));
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    stop(&mut daemon);
    site.ask(&["audit"]);
}
