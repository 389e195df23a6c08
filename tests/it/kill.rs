//! The real daemon killed at each moment at which it brings something to the disk: what is recorded is taken up, and nothing of it
//! twice. `KILL_PAIRS=1` also kills the daemon that takes it up, at each of its first moments: some hundred kills.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{Daemon, Site};

const TEN: &str = "[jobs.ten]\nschedule = \"manual\"\nshell = \"echo {{ target }} >> started\"\ntargets = { range = \"0..10\" }\nconcurrency = 3\n\
                   [jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n";

/// A moment later than all that a story has.
const NEVER: usize = 1_000;

/// The daemon, killed when it syncs for the `moment`th time.
fn killed_at(site: &Site, moment: usize) -> Daemon {
    let inject = format!("inject=fdatasync,fsync:signal=SIGKILL:when={moment}");
    site.start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject])
}

/// Has the job run, as far as it comes, and the daemon leave; whether it was killed before.
fn live(site: &Site, mut daemon: Daemon) -> bool {
    if daemon.line_if_any("ready").is_some() {
        if history(site) == 0 {
            // What becomes of it when the daemon dies is seen in the records.
            site.batchd(&["trigger", "ten", "--wait"]);
        }
        let status = site.batchd(&["status", "--json"]);
        if let Ok(status) = serde_json::from_slice::<serde_json::Value>(&status.stdout) {
            let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
            // It may have died meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
    daemon.left().signal() == Some(9)
}

fn history(site: &Site) -> usize {
    site.ask_json(&["history", "ten"])["runs"].as_array().map_or(0, Vec::len)
}

/// Lets an undisturbed daemon bring everything to its end.
fn settle(site: &Site) {
    let mut daemon = site.daemon();
    if history(site) == 0 {
        site.ask(&["trigger", "ten", "--wait"]);
    }
    while site.ask_json(&["show", "ten"])["run"]["ended"].is_null() {}
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
}

/// One run with ten partials, each with one recorded success; one decision for each nominal time; a sound database.
fn check(site: &Site, moments: &str) {
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    let ask = |sql: &str| -> String { records.query_row(sql, [], |row| row.get(0)).expect("is SQL") };
    assert_eq!(ask("PRAGMA integrity_check"), "ok", "{moments}");
    let runs = "SELECT group_concat(outcome || ' ' || succeeded || '/' || partials) FROM run WHERE job = 'ten'";
    assert_eq!(ask(runs), "succeeded 10/10", "{moments}");
    let partials = "SELECT count(*) || ' ' || count(DISTINCT idx) FROM partial JOIN run ON run.key = run WHERE job = 'ten' AND partial.outcome = 'succeeded'";
    assert_eq!(ask(partials), "10 10", "{moments}");
    let unended = "SELECT count(*) || '' FROM run WHERE ended IS NULL AND job = 'ten'";
    assert_eq!(ask(unended), "0", "{moments}");
    site.ask(&["audit", "--since", "1h"]);
}

#[test]
#[expect(clippy::print_stdout, reason = "how many there were must be seen")]
fn a_kill_at_any_sync_loses_and_doubles_nothing() {
    let mut killed = 0;
    for first in 1..NEVER {
        let seconds = if std::env::var_os("KILL_PAIRS").is_some() { 1..12 } else { NEVER..NEVER + 1 };
        for second in seconds {
            let site = Site::new(TEN);
            if !live(&site, killed_at(&site, first)) {
                println!("{killed} kills");
                assert!(killed > 10, "{killed} kills prove nothing");
                return;
            }
            killed += 1;
            if second < NEVER {
                killed += usize::from(live(&site, killed_at(&site, second)));
            }
            settle(&site);
            check(&site, &format!("killed at sync {first}, then {second}"));
        }
    }
}
