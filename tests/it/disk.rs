//! The real daemon on a disk that fails for a while: it says so, starts nothing that it could not record, and heals by itself.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{Daemon, Site};

const TICK: &str = "[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n";

/// A daemon whose system calls of this kind fail with `error`, from the `from`th on for a while.
#[track_caller]
fn check(call: &str, error: &str, from: usize, words: &str) {
    let site = Site::new(TICK);
    // The records are there already, so that what fails is work, and not the making of them.
    let mut before = site.daemon();
    before.line("run succeeded");
    before.signal(Signal::SIGTERM);
    assert!(before.left().success());
    let inject = format!("inject={call}:error={error}:when={from}..{}", from + 5);
    let mut daemon = site.start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let told = daemon.line("nothing new is started");
    assert!(told.contains(words), "{told}");
    let failed_at = daemon.seen().len();
    daemon.line("the store can write again");
    let meanwhile = &daemon.seen()[failed_at..];
    assert!(!meanwhile.iter().any(|line| line.contains("run succeeded")), "success was told without a record: {meanwhile:#?}");
    daemon.line("run succeeded");
    let status = site.ask_json(&["status"]);
    assert_eq!(status["store"]["healthy"], true);
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("the daemon lives");
    assert!(daemon.left().success());

    site.ask(&["state", "check"]);
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

const SLOW: &str = "[jobs.slow]\nschedule = \"manual\"\nshell = \"echo begun; head -c 1 < fifo; head -c 1M /dev/zero | tr '\\\\0' y\"\n";

/// Fills a disk. What the daemon has given up of its reserve by then, a sixteenth of 8 MiB at most, is its own.
#[track_caller]
fn fill(site: &Site, daemon: &Daemon, dir: &str) {
    let left = site.inside(daemon, &format!("cat /dev/zero > {dir}/others 2> /dev/null; df --output=avail {dir} | tail -n 1"));
    assert!(left.trim().parse::<u32>().is_ok_and(|kibibytes| kibibytes <= 512), "{left} KiB are left");
}

#[test]
fn on_a_full_disk_what_is_live_ends_on_record_and_nothing_new_starts() {
    let site = Site::new(&format!("{TICK}{SLOW}"));
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.start_on_a_small_disk("state", "8m");
    daemon.line("ready");
    let slow = site.inside(&daemon, "batchd trigger slow");
    daemon.line("begun");

    fill(&site, &daemon, "state");
    let told = daemon.line("nothing new is started");
    assert!(told.contains("what ends is still recorded"), "{told}");
    let status: serde_json::Value = serde_json::from_str(&site.inside(&daemon, "batchd status --json")).expect("JSON");
    assert_eq!(status["store"]["healthy"], false);
    std::fs::write(site.path("fifo"), "x").expect("the job reads");
    daemon.line("+manual] run succeeded");
    let shown = site.inside(&daemon, "batchd show slow");
    assert!(shown.contains("succeeded") && slow.contains("slow@"), "{shown}");

    site.inside(&daemon, "rm state/others");
    daemon.line("the store can write again");
    daemon.line("job=tick");
    let audit = site.inside(&daemon, "batchd audit; ls state");
    assert!(audit.contains("reserve") && !audit.contains("hole"), "{audit}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_lives_in_the_room_that_was_kept() {
    let site = Site::new("[jobs.quick]\nschedule = \"manual\"\nhandler = \"echo\"\n");
    let mut daemon = site.start_on_a_small_disk("state", "8m");
    daemon.line("ready");
    fill(&site, &daemon, "state");
    let mut again = site.restart_inside(&daemon);
    let told = again.line("nothing new is started");
    assert!(told.contains("what ends is still recorded"), "{told}");
    site.inside(&again, "rm state/others");
    again.line("the store can write again");
    let asked = site.inside(&again, "batchd trigger quick --wait");
    assert!(asked.contains("succeeded"), "{asked}");
}

#[test]
fn on_a_full_disk_of_the_log_runs_go_on_and_the_lost_lines_are_counted() {
    let site = Site::new(TICK);
    let mut daemon = site.start_on_a_small_disk("logs", "1m");
    daemon.line("ready");
    fill(&site, &daemon, "logs");
    daemon.line("its lines are lost");
    daemon.line("run succeeded");
    let log = |daemon: &Daemon| -> serde_json::Value {
        let status: serde_json::Value = serde_json::from_str(&site.inside(daemon, "batchd status --json")).expect("JSON");
        status["log"].clone()
    };
    let ill = log(&daemon);
    assert_eq!(ill["healthy"], false, "{ill}");
    assert!(ill["reason"].as_str().is_some_and(|reason| reason.contains("its lines are lost")), "{ill}");
    site.inside(&daemon, "rm logs/others");
    daemon.line("is written again");
    let text = site.inside(&daemon, "cat logs/batch.log");
    assert!(text.contains("lines lost from"), "{text}");
    let healed = log(&daemon);
    assert!(healed["healthy"] == true && healed["lost"].as_u64() > Some(0), "{healed}");
}

#[test]
fn a_log_without_a_line_to_write_heals_as_well() {
    let site = Site::bare("[log]\nconsole = true\nmax_size = \"1KiB\"\n[jobs.once]\nschedule = \"manual\"\nhandler = \"echo\"\n");
    let mut daemon = site.daemon();
    std::fs::rename(site.path("logs"), site.path("logs.old")).expect("renamed");
    std::fs::write(site.path("logs"), "in the way").expect("written");
    let healthy = || site.ask_json(&["status"])["log"]["healthy"].clone();
    // The path is looked at once a second, when there is something to write.
    let noticed = (0..1_000).any(|_| {
        site.ask(&["trigger", "once", "--wait"]);
        healthy() == false
    });
    assert!(noticed, "{:?}", daemon.seen());
    let shown = site.ask(&["status"]);
    assert!(shown.contains("log        in trouble"), "{shown}");
    std::fs::remove_file(site.path("logs")).expect("removed");
    daemon.line("is where it belongs again");
    assert_eq!(healthy(), true);
}
