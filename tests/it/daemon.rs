//! The daemon as its users have it: fires, reload, stop, crash and restart, on the real binary.

use std::fs;

use nix::sys::signal::Signal;

use crate::site::{Site, text};

const FAN: &str = r#"
[jobs.fan]
schedule = "manual"
shell = '''
echo working on {{ target }}
if [ "$BATCHD_TARGET" = b ] && [ "$BATCHD_ATTEMPT" = 1 ]; then exit 75; fi
echo '{"n": '$BATCHD_PARTIAL_INDEX'}'
'''
targets = ["a", "b", "c"]
retry = { attempts = 2, delay = "10ms" }
gather = ["/bin/sh", "-c", "grep -c succeeded"]
"#;

#[test]
fn a_run_is_gathered_recorded_and_logged() {
    let site = Site::new(FAN);
    let mut daemon = site.daemon();
    let run = site.ask_json(&["trigger", "fan", "--wait"])["id"].as_str().expect("an id").to_owned();
    daemon.line("run succeeded");

    let rows = site.ask(&["results", &run]);
    let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let facts: Vec<_> =
        rows.iter().map(|row| (row["index"].as_u64(), row["target"].as_str(), row["attempts"].as_u64(), &row["result"]["n"])).collect();
    let number = |n: u64| serde_json::Value::from(n);
    let (zero, one, two) = (number(0), number(1), number(2));
    assert_eq!(facts, [(Some(0), Some("a"), Some(1), &zero), (Some(1), Some("b"), Some(2), &one), (Some(2), Some("c"), Some(1), &two)]);

    let shown = site.ask_json(&["show", &run]);
    assert_eq!((&shown["run"]["outcome"], &shown["run"]["result"]), (&"succeeded".into(), &number(3)));
    assert_eq!(site.ask_json(&["history"])["runs"][0]["id"], run.as_str());
    let log = site.read("logs/batch.log");
    for part in ["fired for", "working on b", "next attempt in", "run succeeded"] {
        assert!(log.contains(part), "{part:?} is not in the log:\n{log}");
    }
    assert!(log.lines().filter(|line| line.contains("working on")).all(|line| line.contains(&run)), "{log}");
}

#[test]
fn an_edit_is_live_after_sighup_and_a_broken_one_changes_nothing() {
    let site = Site::new("[jobs.old]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n");
    let mut daemon = site.daemon();

    site.write_jobs("[jobs.new]\nschedule = \"* * * * * *\"\ncommand = [\"true\"]\n");
    daemon.signal(Signal::SIGHUP);
    daemon.line("reloaded");
    daemon.line("run succeeded");

    site.write_jobs("[jobs.new]\nschedule = \"61 * * * *\"\ncommand = [\"true\"]\n");
    daemon.signal(Signal::SIGHUP);
    daemon.line("the old configuration stays");
    let status = site.ask(&["status"]);
    assert!(status.contains("61"), "{status}");
    daemon.line("run succeeded");
    let reload = site.batchd(&["reload"]);
    assert_eq!(reload.status.code(), Some(78), "{}", text(&reload.stderr));
}

#[test]
fn sigterm_lets_live_runs_end_and_the_next_daemon_goes_on() {
    let site = Site::new("[jobs.slow]\nschedule = \"manual\"\nshell = \"echo begun; head -c 1 < fifo; echo done\"\n");
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "slow"]);
    daemon.line("begun");
    daemon.signal(Signal::SIGTERM);
    daemon.line("draining");
    let refused = site.batchd(&["trigger", "slow"]);
    assert!(!refused.status.success());
    fs::write(site.path("fifo"), "x").expect("the job reads");
    assert!(daemon.left().success());
    assert!(daemon.seen().iter().any(|line| line.contains("run succeeded")), "{:?}", daemon.seen());

    let _next = site.daemon();
    assert_eq!(site.ask_json(&["history"])["runs"][0]["outcome"], "succeeded");
}

#[test]
fn a_second_sigterm_stops_the_runs_now() {
    let site = Site::new(
        "[jobs.stuck]\nschedule = \"manual\"\nshell = \"trap '' TERM; echo begun; while :; do sleep 1; done\"\nstop = { grace = \"100ms\" }\n",
    );
    let mut daemon = site.daemon();
    site.ask(&["trigger", "stuck"]);
    daemon.line("begun");
    daemon.signal(Signal::SIGTERM);
    daemon.line("draining");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
}

#[test]
fn after_kill_9_only_what_has_no_recorded_success_runs_again() {
    let site = Site::new(
        "[jobs.fan]\nschedule = \"manual\"\ntargets = [\"a\", \"b\", \"c\"]\nconcurrency = 1\n\
         shell = \"echo {{ target }} >> started; test {{ target }} = a || test -e go || exec sleep 1000\"\n",
    );
    let mut daemon = site.daemon();
    site.ask(&["trigger", "fan"]);
    daemon.line("partial=a] succeeded in");
    // What has ended is on disk 50 ms later at the most; asking for it reads the disk.
    while site.ask(&["results", "fan"]).lines().count() < 1 {}
    daemon.signal(Signal::SIGKILL);
    daemon.left();

    fs::write(site.path("go"), "").expect("write");
    let mut next = site.daemon();
    next.line("run succeeded");
    let started: Vec<_> = site.read("started").lines().map(str::to_owned).collect();
    assert_eq!(started.iter().filter(|target| *target == "a").count(), 1, "{started:?}");
    let outcomes: Vec<_> = site.ask(&["results", "fan"]).lines().map(|line| line.contains("\"succeeded\"")).collect();
    assert_eq!(outcomes, [true; 3]);
}

#[test]
fn a_list_that_was_edited_meanwhile_is_compared_by_target() {
    let jobs = |targets: &str| {
        format!(
            "[jobs.fan]\nschedule = \"@reboot\"\ntargets = {targets}\nconcurrency = 1\n\
             shell = \"echo {{{{ target }}}} >> started; test {{{{ target }}}} = a || test -e go || exec sleep 1000\"\n"
        )
    };
    let site = Site::new(&jobs(r#"["a", "b", "c"]"#));
    let mut daemon = site.daemon();
    daemon.line("partial=a] succeeded in");
    while site.ask(&["results", "fan"]).lines().count() < 1 {}
    daemon.signal(Signal::SIGKILL);
    daemon.left();

    site.write_jobs(&jobs(r#"["x", "c", "a"]"#));
    fs::write(site.path("go"), "").expect("write");
    let mut next = site.start();
    next.line("its targets were edited since: it has 4 partials now, 1 of them dropped");
    next.line("run succeeded");
    let started = site.read("started");
    let counts: Vec<_> = ["a", "c", "x"].iter().map(|target| started.lines().filter(|line| line == target).count()).collect();
    assert_eq!(counts, [1, 1, 1], "{started}");
    let results = site.ask(&["results", "fan"]);
    let rows: Vec<serde_json::Value> = results.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let facts: Vec<_> = rows.iter().map(|row| (row["target"].as_str(), row["outcome"].as_str())).collect();
    let succeeded = Some("succeeded");
    assert_eq!(facts, [(Some("a"), succeeded), (Some("b"), Some("cancelled")), (Some("c"), succeeded), (Some("x"), succeeded)]);
    let shown = site.ask_json(&["show", "fan"]);
    assert_eq!(shown["run"]["reason"], "1 target was taken out of the list while the run was interrupted");
}

#[test]
fn one_daemon_per_state_directory() {
    let site = Site::new(FAN);
    let daemon = site.daemon();
    let second = site.batchd(&["daemon"]);
    let stderr = text(&second.stderr);
    assert!(!second.status.success() && stderr.contains(&daemon.pid().to_string()), "{stderr}");
}

#[test]
fn a_broken_configuration_at_the_start_is_exit_78() {
    let site = Site::new("[jobs.a]\nschedule = \"0 2 * * *\"\ncmd = [\"true\"]\n");
    let output = site.batchd(&["daemon"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("did you mean `command`"), "{}", text(&output.stderr));
}

#[test]
fn cancel_stops_the_whole_tree() {
    let site = Site::new("[jobs.tree]\nschedule = \"manual\"\nshell = \"(sleep 1000; :) & echo $! > child; echo begun; wait\"\n");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "tree"]);
    daemon.line("begun");
    site.ask(&["cancel", "tree"]);
    daemon.line("run cancelled");
    let child: i32 = site.read("child").trim().parse().expect("a pid");
    assert_eq!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), None), Err(nix::errno::Errno::ESRCH));
}

#[test]
fn a_thousand_sighups_come_to_few_reloads() {
    let site = Site::new("[jobs.a]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n");
    let mut daemon = site.daemon();
    let descriptors = daemon.descriptors();
    for _ in 0..1_000 {
        daemon.signal(Signal::SIGHUP);
    }
    site.write_jobs("[jobs.last]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n");
    daemon.signal(Signal::SIGHUP);
    daemon.line("added last");
    let reloads = daemon.seen().iter().filter(|line| line.contains("reloaded")).count();
    assert!(reloads < 100, "{reloads} reloads");
    // Another reading may be under way, and a sync of the log.
    assert!(daemon.descriptors() <= descriptors + 2);
}

#[test]
fn run_works_without_a_daemon_and_says_how_it_went() {
    let site = Site::new(&format!("{FAN}[jobs.bad]\nschedule = \"manual\"\ncommand = [\"false\"]\n"));
    let good = site.batchd(&["run", "fan"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let bad = site.batchd(&["run", "bad"]);
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad.stderr));
    let outcomes: Vec<_> =
        site.ask_json(&["history"])["runs"].as_array().expect("a list").iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "succeeded"]);
    assert_eq!(site.batchd(&["run", "nothing"]).status.code(), Some(5));
    assert_eq!(site.batchd(&["trigger", "fan"]).status.code(), Some(4));
}

#[test]
fn a_paused_job_lets_its_times_pass_also_after_a_restart() {
    let site = Site::new("[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n");
    let mut daemon = site.daemon();
    daemon.line("run succeeded");
    site.ask(&["pause", "tick"]);
    daemon.line("suppressed");
    assert_eq!(site.ask_json(&["jobs"])["jobs"][0]["paused"], true);
    daemon.signal(Signal::SIGTERM);
    daemon.left();
    let mut daemon = site.daemon();
    daemon.line("suppressed");
    assert!(!daemon.seen().iter().any(|line| line.contains("fired for")), "{:?}", daemon.seen());
    site.ask(&["resume", "tick"]);
    daemon.line("run succeeded");
}

#[test]
fn a_backfill_goes_one_by_one_and_once() {
    let site = Site::new("[jobs.day]\nschedule = \"0 2 * * *\"\ncommand = [\"echo\", \"{{ nominal.date }}\"]\n");
    let mut daemon = site.daemon();
    let fill = ["backfill", "day", "--from", "2026-03-01", "--to", "2026-03-04"];
    let made = site.ask_json(&fill);
    assert_eq!(made["runs"].as_array().map(Vec::len), Some(3));
    for day in ["2026-03-01", "2026-03-02", "2026-03-03"] {
        daemon.line(&format!("stdout| {day}"));
    }
    let again = site.ask_json(&fill);
    assert_eq!((again["runs"].as_array().map(Vec::len), again["left_out"].as_array().map(Vec::len)), (Some(0), Some(3)));
}

#[test]
fn a_job_runs_after_others_have_succeeded_for_the_same_time() {
    let jobs = "[jobs.extract]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n\
                [jobs.load]\nafter = [\"extract\"]\ncommand = [\"echo\", \"{{ nominal.date }}\"]\n\
                [jobs.report]\nafter = [\"extract\", \"load\"]\ncommand = [\"echo\", \"{{ nominal.date }}\"]\n";
    let site = Site::new(jobs);
    let mut daemon = site.daemon();
    site.ask(&["backfill", "extract", "--from", "2026-03-01", "--to", "2026-03-02"]);
    for job in ["extract", "load", "report"] {
        daemon.line(&format!("job={job} "));
        daemon.line("run succeeded");
    }
    let shown = site.ask_json(&["show", "report"]);
    assert_eq!((&shown["run"]["cause"], &shown["run"]["nominal"]), (&"after".into(), &"2026-03-01T02:00:00Z".into()));
    assert_eq!(site.ask_json(&["history"])["runs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn an_audit_adds_up_and_finds_a_hole() {
    let site = Site::new("[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n");
    let mut daemon = site.daemon();
    for _ in 0..3 {
        daemon.line("run succeeded");
    }
    let audited = site.ask_json(&["audit"]);
    assert_eq!((&audited["adds_up"], &audited["jobs"][0]["problems"]), (&true.into(), &serde_json::json!([])));
    daemon.signal(Signal::SIGTERM);
    daemon.left();
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    records.execute("DELETE FROM decision WHERE rowid = 2", []).expect("a row less");
    let audit = site.batchd(&["audit", "tick"]);
    assert_eq!(audit.status.code(), Some(1));
    assert!(text(&audit.stdout).contains("has no decision"), "{}", text(&audit.stdout));
    assert_eq!(site.batchd(&["audit", "tock"]).status.code(), Some(5));
}

#[test]
fn a_retry_works_on_what_failed_for_the_same_nominal_time() {
    let jobs = "[jobs.sum]\nschedule = \"manual\"\nshell = 'test {{ target }} != b || test -e mended || exit 1; echo {{ nominal.date }}'\n\
                targets = [\"a\", \"b\", \"c\"]\ngather = [\"/usr/bin/wc\", \"-l\"]\n";
    let site = Site::new(jobs);
    let mut daemon = site.daemon();
    let failed = site.batchd(&["trigger", "sum", "--nominal", "2026-03-01T02:00:00Z", "--wait"]);
    assert_eq!(failed.status.code(), Some(1));
    fs::write(site.path("mended"), "").expect("write");
    site.ask(&["retry", "sum", "--wait"]);
    let shown = site.ask_json(&["show", "sum"]);
    assert_eq!((&shown["run"]["cause"], &shown["run"]["partials"]), (&"retry".into(), &1.into()));
    daemon.line("stdout| 2026-03-01");
    assert_eq!(site.batchd(&["retry", "sum"]).status.code(), Some(2), "nothing is left");
    assert_eq!(site.ask_json(&["retry", "sum", "--all", "--wait"])["partials"], 1);
}

#[test]
fn a_run_in_the_foreground_leaves_the_results_of_the_daemon_alone() {
    let site = Site::new(
        "[jobs.slow]\nschedule = \"manual\"\nshell = \"echo begun; echo 7 > $BATCHD_RESULT; cat fifo\"\n\
         [jobs.quick]\nschedule = \"manual\"\nhandler = \"echo\"\n",
    );
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "slow"]);
    daemon.line("begun");
    let writer = fs::OpenOptions::new().write(true).open(site.path("fifo")).expect("the job reads, so its result is written");
    site.ask(&["run", "quick"]);
    drop(writer);
    daemon.line("run succeeded");
    assert!(site.ask(&["results", "slow"]).contains("\"result\":7"), "{}", site.ask(&["results", "slow"]));
}
