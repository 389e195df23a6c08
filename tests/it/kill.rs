//! The real daemon killed at each moment at which it brings something to the disk: what is recorded is taken up, and nothing of it
//! twice. `KILL_PAIRS=1` also kills the daemon that takes it up, at each of its first moments: some hundred kills.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{Daemon, Site};

/// Ten targets from `targets`.
fn ten(targets: &str) -> String {
    format!(
        "[jobs.ten]\nschedule = \"manual\"\nshell = \"echo {{{{ target }}}} >> started\"\ntargets = {targets}\nconcurrency = 3\n\
         gather = [\"/usr/bin/wc\", \"-l\"]\n\
         [jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n"
    )
}

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

/// One run with ten partials, each with one recorded success; one decision for each nominal time; a sound database, with so many planned
/// targets.
fn check(site: &Site, planned: usize, moments: &str) {
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    let ask = |sql: &str| -> String { records.query_row(sql, [], |row| row.get(0)).expect("is SQL") };
    assert_eq!(ask("PRAGMA integrity_check"), "ok", "{moments}");
    let runs = "SELECT group_concat(outcome || ' ' || succeeded || '/' || partials || ', gathered ' || result) FROM run WHERE job = 'ten'";
    assert_eq!(ask(runs), "succeeded 10/10, gathered 10", "{moments}");
    let partials = "SELECT count(*) || ' ' || count(DISTINCT idx) FROM partial JOIN run ON run.key = run WHERE job = 'ten' AND partial.outcome = 'succeeded'";
    assert_eq!(ask(partials), "10 10", "{moments}");
    let unended = "SELECT count(*) || '' FROM run WHERE ended IS NULL AND job = 'ten'";
    assert_eq!(ask(unended), "0", "{moments}");
    let targets = "SELECT count(*) || ' ' || count(DISTINCT idx) || ' ' || count(DISTINCT key) FROM every_target";
    assert_eq!(ask(targets), format!("{planned} {planned} {planned}"), "{moments}");
    site.ask(&["audit", "--since", "1h"]);
    site.ask(&["state", "check"]);
}

#[test]
fn a_kill_at_any_sync_loses_and_doubles_nothing() {
    kill_at_each_sync(&ten("{ range = \"0..10\" }"), 0);
}

#[test]
fn a_kill_at_any_sync_of_a_reading_leaves_one_plan() {
    kill_at_each_sync(&ten("{ command = [\"/usr/bin/seq\", \"10\"] }"), 10);
}

#[expect(clippy::print_stdout, reason = "how many there were must be seen")]
fn kill_at_each_sync(jobs: &str, planned: usize) {
    let mut killed = 0;
    for first in 1..NEVER {
        let seconds = if std::env::var_os("KILL_PAIRS").is_some() { 1..12 } else { NEVER..NEVER + 1 };
        for second in seconds {
            let site = Site::new(jobs);
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
            check(&site, planned, &format!("killed at sync {first}, then {second}"));
        }
    }
}

/// Its first process clears its environment, says who it is and stays; the next finds out whether that is alive still.
const HIDDEN: &str = r#"
[jobs.hidden]
schedule = "manual"
shell = '''
if test -e first; then grep -q . "/proc/$(cat first)/cmdline" 2> /dev/null && echo beside it; exit 0; fi
for try in $(seq 5000); do grep -q "^$$ " state/leaders && break; done
exec env -i /bin/sh -c 'echo $$ > fifo; exec /bin/sleep 1000'
'''
"#;

#[test]
fn a_leftover_that_cleared_its_environment_is_killed_before_anything_starts() {
    let site = Site::new(HIDDEN);
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "hidden"]);
    let first = site.read("fifo");
    daemon.signal(Signal::SIGKILL);
    daemon.left();
    std::fs::write(site.path("first"), &first).expect("written");
    let mut next = site.daemon();
    next.line("run succeeded");
    let killed = format!("killed pid {} (sleep), left over", first.trim());
    assert!(next.seen().iter().any(|line| line.contains(&killed)), "{:?}", next.seen());
    assert!(!next.seen().iter().any(|line| line.contains("beside it")), "{:?}", next.seen());
}

#[test]
fn a_process_that_was_started_and_not_noted_is_killed_as_well() {
    let site = Site::new("[jobs.long]\nschedule = \"@reboot\"\nshell = \"test -e go || { echo > fifo; exec sleep 1000; }\"\n");
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let on_file = site.path("state/leaders").display().to_string();
    let inject = "inject=pwrite64:signal=SIGKILL:when=1";
    let mut daemon =
        site.start_under(&["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-P", &on_file, "-e", "trace=pwrite64", "-e", inject]);
    assert_eq!(daemon.left().signal(), Some(9));
    // It has looked, and goes on to sleep.
    site.read("fifo");
    std::fs::write(site.path("go"), "").expect("written");
    let mut next = site.daemon();
    next.line("run succeeded");
    assert!(next.seen().iter().any(|line| line.contains("killed pid") && line.contains("left over")), "{:?}", next.seen());
    assert!(site.ask(&["results", "long"]).contains("\"attempts\":2"));
}

#[test]
fn a_run_in_the_foreground_that_was_killed_leaves_nothing_running() {
    let site = Site::new(
        "[jobs.long]\nschedule = \"manual\"\nshell = \"for try in $(seq 5000); do grep -q ^$$ state/run-*/leaders && break; done; echo $$ > fifo; exec env -i /bin/sleep 1000\"\n",
    );
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut run = site.spawn(&["run", "long"]);
    let child = site.read("fifo");
    run.kill().and_then(|()| run.wait()).expect("it was alive");
    let mut daemon = site.daemon();
    assert!(daemon.seen().iter().any(|line| line.contains(&format!("killed pid {}", child.trim()))), "{:?}", daemon.seen());
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    let left = std::fs::read_dir(site.path("state")).expect("there").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with("run-")).count(), 0);
}
