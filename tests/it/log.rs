//! The log of the real daemon while others touch its files, and while its disk has no place for a new one.

use std::fs;

use nix::sys::signal::Signal;

use crate::site::{Daemon, Site};

fn ticking(log: &str) -> Site {
    Site::bare(&format!("[log]\nconsole = true\n{log}\n[jobs.tick]\nschedule = \"* * * * * *\"\ntimezone = \"UTC\"\nhandler = \"echo\"\n"))
}

/// Whether it holds, after some more runs at the latest.
fn soon(daemon: &mut Daemon, holds: impl Fn(&Daemon) -> bool) -> bool {
    (0..10).any(|_| {
        daemon.line("run succeeded");
        holds(daemon)
    })
}

#[test]
fn a_directory_that_is_moved_or_deleted_is_made_again() {
    let site = ticking("");
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    fs::rename(site.path("logs"), site.path("logs.old")).expect("renamed");
    assert!(soon(&mut daemon, |_| site.read("logs/batch.log").contains("run succeeded")));
    let moved = site.read("logs.old/batch.log");
    fs::remove_dir_all(site.path("logs")).expect("removed");
    assert!(soon(&mut daemon, |_| site.read("logs/batch.log").contains("run succeeded")));
    assert_eq!(site.read("logs.old/batch.log"), moved, "it is not written any more");
}

#[test]
fn a_file_that_others_rotate_is_left_to_them_and_reopened_at_once_when_asked() {
    let site = ticking("");
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    fs::rename(site.path("logs/batch.log"), site.path("logs/batch.log.theirs")).expect("renamed");
    daemon.signal(Signal::SIGUSR1);
    daemon.line("the log is reopened");
    assert!(soon(&mut daemon, |_| site.read("logs/batch.log").contains("the log is reopened")));
    assert!(!site.read("logs/batch.log.theirs").contains("the log is reopened"));
}

#[test]
fn where_the_path_is_blocked_one_message_says_so_and_runs_go_on() {
    let site = ticking("");
    let mut daemon = site.daemon();
    fs::rename(site.path("logs"), site.path("logs.old")).expect("renamed");
    fs::write(site.path("logs"), "in the way").expect("written");
    daemon.line("cannot rotate or reopen the log file");
    for _ in 0..3 {
        daemon.line("run succeeded");
    }
    fs::remove_file(site.path("logs")).expect("removed");
    assert!(soon(&mut daemon, |_| site.read("logs/batch.log").contains("run succeeded")));
    let messages = daemon.seen().iter().filter(|line| line.contains("cannot rotate or reopen")).count();
    assert_eq!(messages, 1, "{:?}", daemon.seen());
}

#[test]
fn without_inodes_the_old_file_is_written_on_until_there_are_some() {
    let site = ticking("max_size = \"1KiB\"");
    // The directory and the file.
    let mut daemon = site.start_on_a_small_disk("logs", "1m,nr_inodes=2");
    daemon.line("cannot rotate or reopen the log file");
    daemon.line("run succeeded");
    assert_eq!(site.inside(&daemon, "ls logs").trim(), "batch.log");
    site.inside(&daemon, "mount -o remount,nr_inodes=100 logs");
    assert!(soon(&mut daemon, |daemon| site.inside(daemon, "ls logs").contains("batch.log.1")));
    let first = site.inside(&daemon, "cat logs/batch.log*");
    assert!(first.contains("starts with"), "{first}");
}

#[test]
fn the_end_of_a_run_is_written_through_to_the_disk() {
    let site = ticking("");
    let log = site.path("logs/batch.log").display().to_string();
    let trace = site.path("trace").display().to_string();
    let mut daemon = site.start_under(&["strace", "-f", "-qq", "-o", &trace, "-P", &log, "-e", "trace=fdatasync"]);
    daemon.line("run succeeded");
    assert!(soon(&mut daemon, |_| site.read("trace").contains("fdatasync(")), "{}", site.read("trace"));
    // Once a second at most, however many runs end.
    let pid = site.ask_json(&["status"])["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("it lives");
    assert!(daemon.left().success());
}
