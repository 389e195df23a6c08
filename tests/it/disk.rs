//! The real daemon on a disk that fails for a while: it says so, starts nothing that it could not record, and heals by itself.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::Site;

const TICK: &str = "[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n";

/// A daemon whose system calls of this kind fail with `error`, from the `from`th on for a while.
#[track_caller]
fn check(call: &str, error: &str, from: usize, words: &str) {
    let site = Site::new(TICK);
    let inject = format!("inject={call}:error={error}:when={from}..{}", from + 5);
    let mut daemon = site.start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let told = daemon.line("the store cannot write");
    assert!(told.contains(words), "{told}");
    daemon.line("the store can write again");
    daemon.line("run succeeded");
    let status = site.ask_json(&["status"]);
    assert_eq!(status["store"]["healthy"], true);
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("the daemon lives");
    assert!(daemon.left().success());

    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    let sound: String = records.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("is SQL");
    assert_eq!(sound, "ok");
    site.ask(&["audit"]);
}

#[test]
fn a_full_disk_heals() {
    check("pwrite64", "ENOSPC", 40, "no space left");
}

#[test]
fn a_sync_that_fails_heals() {
    check("fdatasync,fsync", "EIO", 30, "I/O");
}

#[test]
fn a_disk_that_became_read_only_heals() {
    check("pwrite64", "EROFS", 40, "");
}
