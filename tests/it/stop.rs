//! How the daemon leaves: what a first, second and third signal do, and what the next daemon makes of the rest.

use nix::sys::signal::Signal;

use crate::site::Site;

/// A job that does not end, and does not obey.
const STUBBORN: &str = "shell = \"trap '' TERM; echo begun; while :; do sleep 1; done\"\n";

#[test]
fn a_third_signal_kills() {
    let site = Site::new(&format!("[jobs.stuck]\nschedule = \"manual\"\nstop = {{ grace = \"1h\" }}\n{STUBBORN}"));
    let mut daemon = site.daemon();
    site.ask(&["trigger", "stuck"]);
    daemon.line("begun");
    for said in ["draining", "stopping", "stopping"] {
        daemon.signal(Signal::SIGTERM);
        daemon.line(said);
    }
    assert!(daemon.left().success());
}

#[test]
fn after_the_drain_timeout_runs_are_stopped_and_the_next_daemon_goes_on() {
    let site =
        Site::new("drain_timeout = \"100ms\"\n[jobs.long]\nschedule = \"manual\"\nshell = \"echo begun; test -e go || exec sleep 1000\"\n");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "long"]);
    daemon.line("begun");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    assert!(site.ask_json(&["show", "long"])["run"]["ended"].is_null());
    std::fs::write(site.path("go"), "").expect("written");
    site.daemon().line("run succeeded");
    let row = site.ask(&["results", "long"]);
    assert!(row.contains("\"attempts\":2"), "{row}");
}

#[test]
fn a_run_that_is_cancelled_while_its_partial_waits_after_a_shutdown_counts_as_its_row_says() {
    let job = |name: &str| format!("[jobs.{name}]\nschedule = \"manual\"\nshell = \"echo begun; exec sleep 1000\"\n");
    let jobs = |limit: &str| format!("{limit}drain_timeout = \"100ms\"\n{}{}", job("first"), job("second"));
    let site = Site::new(&jobs(""));
    let mut daemon = site.daemon();
    for name in ["first", "second"] {
        site.ask(&["trigger", name]);
        daemon.line("begun");
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    // Of the next daemon, the first run has the only place.
    site.write_jobs(&jobs("max_partials = 1\n"));
    let mut next = site.daemon();
    next.line("begun");
    site.ask(&["cancel", "second"]);
    next.line("run cancelled");
    let shown = site.ask_json(&["show", "second"]);
    let counts = ["succeeded", "failed", "cancelled"].map(|outcome| shown["run"][outcome].as_u64());
    assert_eq!(counts, [Some(0), Some(0), Some(1)], "{shown}");
    assert!(site.ask(&["results", "second"]).contains("\"outcome\":\"cancelled\""));
}

#[test]
fn a_drain_starts_no_run_that_waits() {
    let site =
        Site::new("[jobs.queued]\nschedule = \"manual\"\noverlap = \"queue\"\nshell = \"echo begun; head -c 1 < fifo > /dev/null\"\n");
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "queued"]);
    daemon.line("begun");
    site.ask(&["trigger", "queued"]);
    daemon.signal(Signal::SIGTERM);
    daemon.line("draining");
    std::fs::write(site.path("fifo"), "x").expect("the job reads");
    assert!(daemon.left().success());
    assert_eq!(daemon.seen().iter().filter(|line| line.contains("begun")).count(), 1);
    let mut next = site.daemon();
    next.line("begun");
    std::fs::write(site.path("fifo"), "x").expect("the job reads");
    next.line("run succeeded");
}
