//! Programs that behave badly, on the real binary. After each nothing of it is left, the daemon is as before, and what is on
//! record is what happened.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::site::{Daemon, Site};

mod floods;
mod group;

/// What has not settled by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// The allocator keeps a little of what it once had.
const RSS_SLACK_KIB: u64 = 8 * 1024;

/// The daemon in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    descriptors: usize,
    rss_kib: u64,
}

/// A daemon that has run something already, and what it looks like when it is idle.
struct Zoo {
    site: Site,
    daemon: Daemon,
    idle: Shape,
}

impl Zoo {
    /// The jobs are called by hand.
    fn new(jobs: &str) -> Self {
        let site = Site::new(&format!("{jobs}\n[jobs.calm]\nschedule = \"manual\"\nshell = \"seq 5000\"\n"));
        let daemon = site.daemon();
        site.ask(&["trigger", "calm", "--wait"]);
        let idle = until(|| Some(shape(&daemon)).filter(|shape| children(daemon.pid()).is_empty() && shape.descriptors < 100));
        Self { site, daemon, idle }
    }

    /// Runs a job and returns its partials by target, once nothing of it is left.
    fn run(&self, job: &str) -> BTreeMap<String, Value> {
        self.site.batchd(&["trigger", job, "--wait"]);
        let results = self.site.ask(&["results", job]);
        self.check_clean(job);
        let rows = results.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
        rows.map(|row| (row["target"].as_str().unwrap_or_default().to_owned(), row)).collect()
    }

    /// No process of the site survives, none is a zombie, and the daemon is as it was.
    fn check_clean(&self, job: &str) {
        let mark = self.site.path("state/results").display().to_string();
        until(|| (marked(&mark).is_empty() && children(self.daemon.pid()).is_empty()).then_some(()));
        let Shape { descriptors, rss_kib } = until(|| Some(shape(&self.daemon)).filter(|now| now.descriptors <= self.idle.descriptors));
        assert!(rss_kib <= self.idle.rss_kib + RSS_SLACK_KIB, "{job}: {descriptors} descriptors, {rss_kib} KiB; idle: {:?}", self.idle);
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came to be");
        std::thread::yield_now();
    }
}

fn shape(daemon: &Daemon) -> Shape {
    let pid = daemon.pid();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    Shape { descriptors, rss_kib: rss.trim().trim_end_matches(" kB").parse().expect("a number") }
}

/// Children of the process, zombies too.
fn children(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Processes in whose environment the text stands.
fn marked(mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("procfs").flatten();
    let found = processes.filter(|process| {
        let environ = fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(mark)
    });
    found.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

/// Outcome, exit code and signal.
fn end(row: &Value) -> (&str, Option<i64>, Option<i64>) {
    (row["outcome"].as_str().unwrap_or_default(), row["exit_code"].as_i64(), row["signal"].as_i64())
}

fn job(name: &str, keys: &str, script: &str) -> String {
    format!("[jobs.{name}]\nschedule = \"manual\"\n{keys}\nshell = '''\n{script}\n'''\n")
}

/// One animal: what it does and how it is recorded.
fn check(keys: &str, script: &str, expected: (&str, Option<i64>, Option<i64>), error: &str) {
    let zoo = Zoo::new(&job("animal", keys, script));
    let rows = zoo.run("animal");
    let row = &rows[""];
    assert_eq!(end(row), expected, "{script}: {row}");
    let found = row["error"].as_str().unwrap_or_default();
    assert!(found.contains(error), "{script}: {found:?} has no {error:?}");
}

const SHORT: &str = "partial_timeout = \"500ms\"\nstop = { grace = \"200ms\" }";

#[test]
fn what_ignores_the_stop_is_killed() {
    check(SHORT, "trap '' TERM INT HUP; while :; do sleep 1; done", ("timed_out", None, Some(9)), "killed by SIGKILL");
}

#[test]
fn what_stops_itself_is_woken_to_die() {
    check(SHORT, "kill -STOP $$", ("timed_out", None, Some(15)), "killed by SIGTERM");
}

#[test]
fn what_forks_twice_into_sessions_of_its_own_does_not_outlive_its_run() {
    let script = "setsid sh -c 'setsid sleep 1000 > /dev/null 2>&1 & exit 0' > /dev/null 2>&1 & wait; exit 0";
    check("", script, ("succeeded", Some(0), None), "");
}

#[test]
fn what_holds_stdout_is_named_and_holds_nothing_up() {
    check("", "setsid sleep 1000 & exit 7", ("failed", Some(7), None), "output cut: the pipe was held by process");
}

#[test]
fn what_closes_its_output_is_waited_for() {
    check("", "exec >&- 2>&-; head -c 1000 /dev/zero | wc -c > count; exit 3", ("failed", Some(3), None), "exit code 3");
}

#[test]
fn every_exit_code_and_every_signal_is_recorded() {
    let codes = [0, 1, 2, 126, 127, 128, 137, 254, 255].map(|code| (format!("exit {code}"), Some(code), None));
    // Those that are ignored by default, or stop a process, do not end it. The two after SIGSYS belong to the C library.
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28];
    let ends = (1..=31).chain(34..=64).filter(|signal| !harmless.contains(signal));
    let signals = ends.map(|signal| (format!("ulimit -c 0; exec kill -{signal} $$"), None, Some(signal)));
    let animals: Vec<(String, Option<i64>, Option<i64>)> = codes.into_iter().chain(signals).collect();
    let scripts: Vec<_> = animals.iter().map(|(script, ..)| script.as_str()).collect();
    let zoo = Zoo::new(&job("ends", &format!("targets = {scripts:?}\n"), "eval \"$BATCHD_TARGET\""));
    let rows = zoo.run("ends");
    for (script, code, signal) in &animals {
        let outcome = match (code, signal) {
            (Some(0), _) => "succeeded",
            (_, Some(_)) => "signalled",
            _ => "failed",
        };
        assert_eq!(end(&rows[script]), (outcome, *code, *signal), "{script}");
    }
}

#[test]
fn starts_that_fail_say_why_and_are_tried_again_only_where_that_helps() {
    let zoo = Zoo::new(
        "[jobs.starts]\nschedule = \"manual\"\nretries = 3\nenv = { PATH = \"/nowhere:/bin\" }\ncommand = [\"{{ target }}\"]\n\
         targets = [\"no-such-program\", \"/etc/passwd\", \"./plain\", \"./lost\", \"/\"]\n",
    );
    for (name, text) in [("plain", "echo hello\n"), ("lost", "#!/no/such/interpreter\n")] {
        fs::write(zoo.site.path(name), text).expect("write");
        fs::set_permissions(zoo.site.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    }
    let rows = zoo.run("starts");
    for (target, reason) in [
        ("no-such-program", "`no-such-program` not found in PATH `/nowhere:/bin`"),
        ("/etc/passwd", "is not executable: set its x bit"),
        ("./plain", "neither a program of this machine nor a script"),
        ("./lost", "interpreter of"),
        ("/", "is a directory"),
    ] {
        let row = &rows[target];
        assert!(row["error"].as_str().is_some_and(|error| error.contains(reason)), "{row}");
        assert_eq!((end(row), row["attempts"].as_u64()), (("spawn_failed", None, None), Some(1)), "{row}");
    }
}

/// The first start of a process fails.
fn check_shortage(error: &str, reason: &str) {
    let site = Site::new(&job("short", "", "exit 0"));
    let inject = format!("inject=clone:error={error}:when=1");
    let mut daemon = site.start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone", "-e", &inject]);
    daemon.line("ready");
    site.ask(&["trigger", "short"]);
    let line = daemon.line("next attempt in");
    assert!(line.contains(reason), "{line}");
    daemon.line("run succeeded");
    let results = site.ask(&["results", "short"]);
    assert!(results.lines().all(|line| line.contains("\"succeeded\"")), "{results}");
}

#[test]
fn a_start_without_room_for_a_process_or_its_memory_is_tried_again() {
    check_shortage("EAGAIN", "too many processes");
    check_shortage("ENOMEM", "not enough memory");
}

#[test]
fn starts_without_descriptors_wait_and_the_api_answers_meanwhile() {
    let targets: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let site = Site::new(&job("wide", &format!("concurrency = 40\ntargets = {targets:?}\n"), "cat go > /dev/null"));
    nix::unistd::mkfifo(&site.path("go"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.start_under(&["prlimit", "--nofile=72"]);
    daemon.line("ready");
    site.ask(&["trigger", "wide"]);
    let line = daemon.line("next attempt in");
    assert!(line.contains("too many open files"), "{line}");
    assert_eq!(site.ask_json(&["status"])["runs"].as_array().map(Vec::len), Some(1));
    // Those that live let go; what could not start comes later.
    let go = fs::OpenOptions::new().read(true).write(true).open(site.path("go")).expect("open");
    fs::remove_file(site.path("go")).expect("remove");
    fs::write(site.path("go"), "").expect("write");
    drop(go);
    daemon.line("run succeeded");
}

#[test]
fn children_have_the_soft_limit_that_the_daemon_was_started_with() {
    let site = Site::new(&job("limit", "", "echo $(ulimit -Sn) $(ulimit -Hn)"));
    let mut daemon = site.start_under(&["prlimit", "--nofile=200:300"]);
    daemon.line("ready");
    site.ask(&["trigger", "limit"]);
    daemon.line("stdout| 200 300");
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("it lives");
    let ours = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(ours.contains("300") && !ours.contains("200"), "{ours}");
}

#[test]
fn what_a_process_took_is_recorded() {
    let script = "python3 -c 'x = bytearray(96 << 20)\nn = 0\nfor i in range(3000000): n += i'";
    let zoo = Zoo::new(&job("hungry", "", script));
    let row = &zoo.run("hungry")[""];
    let (cpu, memory) = (row["cpu_ms"].as_f64().expect("measured"), row["max_rss"].as_u64().expect("measured"));
    assert!(cpu > 50.0 && cpu < row["duration_ms"].as_f64().expect("a time") * 2.0, "{row}");
    assert!((96 << 20..200 << 20).contains(&memory), "{row}");
    let shown = zoo.site.ask(&["show", "hungry"]);
    assert!(shown.contains("  used       ") && shown.contains("MiB of memory"), "{shown}");
}

/// The kernel tells a process of the end of each child by a signal, which wakes whatever thread of it sleeps: unless it is ignored.
#[test]
fn the_ends_of_programs_wake_no_thread_that_does_not_wait_for_them() {
    let site = Site::new(&job("many", "concurrency = 16\ntargets = { range = \"0..3000\" }", "exit 0"));
    let daemon = site.daemon();
    let before = sleeps(daemon.pid(), "log-sync");
    site.ask(&["trigger", "many", "--wait"]);
    let woken = sleeps(daemon.pid(), "log-sync") - before;
    assert!(woken < 40, "woken {woken} times");
}

/// How often a thread of the process has gone to sleep.
fn sleeps(pid: u32, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process").map(|task| task.expect("a thread").path());
    let status = |task: std::path::PathBuf| fs::read_to_string(task.join("status")).unwrap_or_default();
    let status = tasks.map(status).find(|status| status.starts_with(&format!("Name:\t{thread}\n"))).expect("the thread");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.expect("Linux counts them").trim().parse().expect("a number")
}

/// Without a control group it is the user's processes that are counted: those of one that nobody else is here.
#[test]
fn a_fork_bomb_in_its_limit_ends_with_its_time() {
    let keys = "user = \"backup\"\ncwd = \"/\"\nlimits = { processes = 40 }\npartial_timeout = \"2s\"\nstop = { grace = \"1s\" }";
    check(keys, "trap '' TERM; b() { b | b & }; b; sleep 1000", ("timed_out", None, Some(9)), "killed by SIGKILL");
}

#[test]
fn what_is_left_on_purpose_lives_on_and_is_named() {
    let script = "setsid sleep 1000 > /dev/null 2>&1 & echo $! > left; exit 0";
    let site = Site::new(&job("keeper", "stop = { leftovers = \"leave\" }", script));
    let mut daemon = site.daemon();
    site.ask(&["trigger", "keeper", "--wait"]);
    let line = daemon.line("left running in the background");
    let pid = site.read("left").trim().to_owned();
    // By the name it has then: the shell that becomes `setsid`, that becomes `sleep`.
    assert!(line.contains(&format!("{pid} (`")), "{line}");
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().expect("a pid")), nix::sys::signal::Signal::SIGKILL).expect("it lives");
    // It fell to the daemon, which reaps it.
    until(|| children(daemon.pid()).is_empty().then_some(()));
}

#[test]
fn as_the_first_process_of_a_container_it_reaps_strangers_and_takes_no_status() {
    let targets: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let script = "setsid sh -c 'sleep 0.05 & exit 0' > /dev/null 2>&1 & exit $BATCHD_TARGET";
    let keys = format!("concurrency = 10\nstop = {{ leftovers = \"leave\" }}\ntargets = {targets:?}\n");
    let site = Site::new(&job("strangers", &keys, script));
    let mut daemon = site.start_under(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    daemon.line("ready");
    site.batchd(&["trigger", "strangers", "--wait"]);
    let codes: Vec<_> = site.ask(&["results", "strangers"]).lines().map(str::to_owned).collect();
    for (number, line) in codes.iter().enumerate() {
        assert!(line.contains(&format!("\"exit_code\":{number},")), "{line}");
    }
    let inside: u32 = children(daemon.pid()).first().and_then(|pid| pid.parse().ok()).expect("the daemon");
    until(|| children(inside).is_empty().then_some(()));
    let inside = nix::unistd::Pid::from_raw(i32::try_from(inside).expect("a pid"));
    nix::sys::signal::kill(inside, nix::sys::signal::Signal::SIGTERM).expect("it lives");
    assert!(daemon.left().success());
}

#[test]
fn a_stderr_that_nobody_reads_delays_neither_a_start_nor_the_end() {
    let jobs = "[jobs.loud]\nschedule = \"manual\"\ncommand = [\"seq\", \"100000\"]\n[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n";
    let site = Site::new(jobs);
    let mut daemon = site.deaf();
    until(|| site.batchd(&["status"]).status.success().then_some(()));
    site.ask(&["trigger", "loud", "--wait"]);
    let before = site.ask_json(&["history", "tick"])["runs"].as_array().map_or(0, Vec::len);
    let late = "SELECT max(started - nominal) FROM (SELECT * FROM run WHERE job = 'tick' ORDER BY key DESC LIMIT 3)";
    until(|| site.ask_json(&["history", "tick"])["runs"].as_array().filter(|runs| runs.len() >= before + 3).map(drop));
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    let late: i64 = records.query_row(late, [], |row| row.get(0)).expect("runs");
    assert!(late < 500_000, "{late} us");
    let leaving = Instant::now();
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(daemon.left().success());
    assert!(leaving.elapsed() < Duration::from_secs(9), "{:?}", leaving.elapsed());
}
