//! What a reload does with files that no one should trust, and with the work that goes on meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::site::{Daemon, Site};

const A: &str = "[jobs.a]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n";
const B: &str = "[jobs.b]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n";

/// A descriptor that is open after so many looks stays open.
const LOOKS: usize = 10_000;

/// Puts something else in the place of `jobs.toml`, and reloads: nothing changes, and the log says why.
#[track_caller]
fn refused(site: &Site, daemon: &mut Daemon, why: &str, replace: impl FnOnce(&std::path::Path)) {
    let path = site.path("jobs.toml");
    fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).or_else(|_| fs::remove_file(&path)).ok();
    replace(&path);
    daemon.signal(Signal::SIGHUP);
    daemon.line("the old configuration stays");
    daemon.line(why);
}

/// Nothing stays open. One more may be open for a moment: a file that is read, or the log while it is synced; and on a busy machine a
/// moment is long.
#[track_caller]
fn closes(daemon: &Daemon, before: usize) {
    assert!((0..LOOKS).any(|_| daemon.descriptors() <= before + 1), "{} are open, {before} were before", daemon.descriptors());
}

#[test]
fn what_cannot_be_taken_over_changes_nothing() {
    let site = Site::new(A);
    let mut daemon = site.daemon();
    let before = daemon.descriptors();
    let write = |text: &'static [u8]| move |path: &std::path::Path| fs::write(path, text).expect("written");
    refused(&site, &mut daemon, "a device, FIFO or socket", |path| mkfifo(path, Mode::S_IRWXU).expect("made"));
    refused(&site, &mut daemon, "is a directory", |path| fs::create_dir(path).expect("made"));
    refused(&site, &mut daemon, "too large: 104857600 bytes", |path| {
        File::create(path).and_then(|file| file.set_len(100 << 20)).expect("a sparse file");
    });
    refused(&site, &mut daemon, "jobs.toml:2:", write(b"[jobs.a]\nschedule = \"0 2 *"));
    refused(&site, &mut daemon, "defines no jobs", write(b""));
    refused(&site, &mut daemon, "UTF-8", write(b"[jobs.a]\nschedule = \"\xff\xfe\"\n"));
    refused(&site, &mut daemon, "No such file", |_| {});
    refused(&site, &mut daemon, "No such file", |path| symlink("nowhere.toml", path).expect("linked"));
    refused(&site, &mut daemon, "symbolic links", |path| symlink("jobs.toml", path).expect("linked"));
    closes(&daemon, before);

    // A link that is flipped to another file is taken over; this is how ConfigMaps change.
    site.write_jobs(B);
    fs::rename(site.path("jobs.toml"), site.path("next.toml")).expect("renamed");
    symlink("next.toml", site.path("jobs.toml")).expect("linked");
    daemon.signal(Signal::SIGHUP);
    daemon.line("added b");
    daemon.line("removed a");
    closes(&daemon, before);
}

#[test]
fn the_status_says_why_the_last_reload_was_refused_until_one_is_applied() {
    let site = Site::new(A);
    let mut daemon = site.daemon();
    refused(&site, &mut daemon, "is a directory", |path| fs::create_dir(path).expect("made"));
    fs::remove_dir(site.path("jobs.toml")).expect("removed");
    site.write_jobs(A);
    let problems = || site.ask_json(&["status"])["reload_problems"].as_array().expect("a list").len();
    assert_eq!(problems(), 1);
    site.ask(&["reload"]);
    assert_eq!(problems(), 0);
}

#[test]
fn a_sighup_that_comes_before_the_daemon_is_ready_waits() {
    let site = Site::new(A);
    let mut daemon = site.start();
    daemon.line("starts with");
    daemon.signal(Signal::SIGHUP);
    daemon.line("ready");
    daemon.line("reloaded");
}

#[test]
fn a_sigterm_during_a_reload_drains() {
    let site = Site::new(A);
    let mut daemon = site.daemon();
    site.write_jobs(B);
    daemon.signal(Signal::SIGHUP);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success(), "{:?}", daemon.seen());
}

#[test]
fn a_job_that_is_removed_while_it_runs_ends_and_starts_no_more() {
    let slow = "[jobs.slow]\nschedule = \"* * * * * *\"\nshell = \"echo begun; head -c 1 < fifo > /dev/null; echo old\"\n";
    let site = Site::new(slow);
    mkfifo(&site.path("fifo"), Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    daemon.line("begun");
    site.write_jobs(A);
    daemon.signal(Signal::SIGHUP);
    daemon.line("removed slow");
    fs::write(site.path("fifo"), "x").expect("the job reads");
    daemon.line("stdout| old");
    daemon.line("run succeeded");
    assert_eq!(site.batchd(&["trigger", "slow"]).status.code(), Some(5));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    let runs = site.ask_json(&["history"])["runs"].as_array().expect("runs").len();
    assert_eq!(runs, 1, "{:?}", daemon.seen());
}

#[test]
fn a_schedule_that_is_edited_at_any_moment_fires_each_instant_once() {
    let every = |spelling: &str| format!("[jobs.tick]\nschedule = \"{spelling}\"\nhandler = \"echo\"\n");
    let site = Site::new(&every("* * * * * *"));
    let mut daemon = site.daemon();
    // The reloads drift through the second.
    for round in 0..24 {
        site.write_jobs(&every(if round % 2 == 0 { "*/1 * * * * *" } else { "* * * * * *" }));
        daemon.signal(Signal::SIGHUP);
        daemon.line("reloaded");
        if round % 6 == 0 {
            daemon.line("run succeeded");
        }
    }
    daemon.line("run succeeded");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    site.ask(&["audit"]);
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    let spans = "SELECT count(*), count(DISTINCT nominal), (max(nominal) - min(nominal)) / 1000000 + 1 FROM run";
    let (runs, instants, seconds): (i64, i64, i64) =
        records.query_row(spans, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("is SQL");
    assert_eq!((runs, instants), (seconds, seconds), "runs, and instants, in so many seconds");
}
