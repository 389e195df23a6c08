//! Jobs as other users, with limits, and with nothing of the daemon's but what they are to have. These tests are root's: the daemon
//! must be able to become somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::unistd::{User, geteuid};

use crate::site::{Site, text};

/// A site that every user can enter.
fn site(jobs: &str) -> Site {
    assert!(geteuid().is_root(), "run the tests of `users` as root: a daemon that is not cannot start jobs as somebody else");
    let site = Site::new(jobs);
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).expect("is ours");
    site
}

/// The row of the one partial of a job that a daemon has run once, with these keys and this script.
#[track_caller]
fn row(keys: &str, script: &str) -> serde_json::Value {
    let site = site(&format!("[jobs.a]\nschedule = \"manual\"\nshell = '''\n{script}\n'''\n{keys}\n"));
    let _daemon = site.daemon();
    ran(&site)
}

fn ran(site: &Site) -> serde_json::Value {
    site.batchd(&["trigger", "a", "--wait"]);
    serde_json::from_str(site.ask(&["results", "a"]).trim()).expect("a row")
}

/// What the script says, as JSON in its last line.
#[track_caller]
fn check(keys: &str, script: &str, expected: &serde_json::Value) {
    let row = row(keys, script);
    assert_eq!((&row["outcome"], &row["result"]), (&"succeeded".into(), expected), "{keys}\n{script}\n{row}");
}

fn nobody() -> User {
    User::from_name("nobody").expect("users can be looked up").expect("every Linux has `nobody`")
}

const WHO: &str = r#"set -- $(grep -E '^(Uid|Gid|Groups|NoNewPrivs):' /proc/self/status | cut -f 2-)
printf '{"status": "%s", "is": "%s", "env": "%s"}\n' "$*" "$(id -un)" "$HOME $USER $LOGNAME $SHELL""#;

#[test]
fn a_job_is_another_user_in_all_respects() {
    let (nobody, home) = (nobody(), nobody().dir.display().to_string());
    let (uid, gid) = (nobody.uid, nobody.gid);
    let status = format!("{uid} {uid} {uid} {uid} {gid} {gid} {gid} {gid} {gid} 1");
    let expected = serde_json::json!({"status": status, "is": "nobody", "env": format!("{home} nobody nobody /bin/sh")});
    check("user = \"nobody\"", WHO, &expected);
    check(&format!("user = {uid}\ninherit_env = [\"HOME\", \"USER\"]"), WHO, &expected);
}

#[test]
fn a_group_alone_leaves_the_user() {
    let row = row("group = \"daemon\"", "printf '\"%s %s\"\\n' \"$(id -u)\" \"$(id -gn)\"");
    assert_eq!(row["result"], "0 daemon", "{row}");
}

#[test]
fn a_gather_is_the_same_user_and_reads_the_results() {
    let site = site(
        "[jobs.a]\nschedule = \"manual\"\ncommand = [\"id\", \"-u\"]\ntargets = [\"x\", \"y\"]\nuser = \"nobody\"\n\
         gather = [\"/bin/sh\", \"-c\", \"grep -c 65534; id -u\"]\n",
    );
    let _daemon = site.daemon();
    let shown = site.ask_json(&["trigger", "a", "--wait"]);
    assert_eq!((&shown["outcome"], &shown["result"]), (&"succeeded".into(), &serde_json::json!(nobody().uid.as_raw())), "{shown}");
    let outputs = site.ask_json(&["show", "a"]);
    assert!(outputs["gather_output"].to_string().contains('2'), "{outputs}");
}

#[test]
fn another_user_hands_its_result_over_in_the_file() {
    check("user = \"nobody\"", "echo '[1, 2]' > \"$BATCHD_RESULT\"", &serde_json::json!([1, 2]));
    // Whatever else it may do there: the file is the daemon's to name.
    let row = row(
        "user = \"nobody\"",
        "rm -f \"$BATCHD_RESULT\" 2> /dev/null; ln -sf /etc/shadow \"$BATCHD_RESULT\" 2> /dev/null; ls \"$(dirname \"$BATCHD_RESULT\")\"",
    );
    assert_eq!((&row["outcome"], &row["result"]), (&"failed".into(), &serde_json::Value::Null), "{row}");
}

#[test]
fn what_the_user_may_not_have_is_a_spawn_failure_in_words() {
    let cannot = |keys: &str, script: &str, words: &str| {
        let row = row(keys, script);
        assert_eq!(row["outcome"], "spawn_failed", "{keys}: {row}");
        assert!(row["error"].as_str().is_some_and(|error| error.contains(words)), "{keys}: {row}");
    };
    cannot("user = \"nobody\"\ncwd = \"/root\"", "true", "the working directory `/root` cannot be entered: Permission denied");
}

/// CVE-2006-2607: where the kernel refuses to make a process of the user, nothing runs, least of all as root.
#[test]
fn a_user_with_all_the_processes_it_may_have_gets_none_as_root() {
    let site = site(
        "[jobs.hold]\nschedule = \"manual\"\nuser = \"uucp\"\nshell = \"echo held; exec sleep 1000\"\ntargets = [\"x\", \"y\"]\n\
         [jobs.a]\nschedule = \"manual\"\nuser = \"uucp\"\nshell = \"id -u; touch here\"\n",
    );
    let mut daemon = site.start_under(&["prlimit", "--nproc=1"]);
    daemon.line("ready");
    site.ask(&["trigger", "hold"]);
    daemon.line("stdout| held");
    daemon.line("stdout| held");
    site.ask(&["trigger", "a"]);
    daemon.line("user `uucp` has as many processes as it may");
    assert!(!site.path("here").exists());
    site.ask(&["cancel", "hold"]);
    daemon.line("run cancelled");
}

#[test]
fn limits_a_umask_and_a_nice_value_are_seen_by_the_job() {
    check(
        "umask = \"0027\"\nnice = 7\nlimits = { open_files = 64, cpu_time = \"100s\" }",
        "echo \"[\\\"$(umask)\\\", $(nice), $(ulimit -Sn), $(ulimit -Hn), $(ulimit -St), $(ulimit -Ht)]\"",
        &serde_json::json!(["0027", 7, 64, 64, 100, 105]),
    );
}

#[test]
fn a_job_that_takes_too_much_of_the_processor_is_ended_by_name() {
    let row = row("limits = { cpu_time = \"1s\" }", "while :; do :; done");
    assert_eq!((&row["outcome"], row["signal"].as_i64()), (&"signalled".into(), Some(24)), "{row}");
    assert!(row["error"].as_str().is_some_and(|error| error.contains("SIGXCPU")), "{row}");
}

#[test]
fn a_fork_bomb_stays_in_its_limit() {
    // Forks until it cannot, and says how many there were.
    let script = "n=0; while [ $n -lt 200 ]; do sleep 1000 & n=$((n + 1)); done";
    let row = row("user = \"games\"\nlimits = { processes = 20 }\ntimeout = \"30s\"", script);
    assert_eq!(row["outcome"], "failed", "{row}");
    assert!(row["error"].as_str().is_some_and(|error| error.to_lowercase().contains("cannot fork")), "{row}");
    let left = fs::read_dir("/proc").expect("/proc").flatten().filter(|entry| {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        status.contains("Name:\tsleep\n") && status.contains("Uid:\t5\t")
    });
    assert_eq!(left.count(), 0, "the background processes are gone");
}

#[test]
fn a_daemon_that_is_not_root_refuses_other_users_and_what_needs_a_cgroup() {
    let site = site("[jobs.a]\nschedule = \"manual\"\nuser = \"daemon\"\ncommand = [\"true\"]\n");
    let nobody = nobody();
    std::os::unix::fs::chown(site.path(""), Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).expect("root may");
    let mut daemon = site.start_under(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    daemon.line("a daemon of user 65534 cannot start processes of user `daemon`");
    assert_eq!(daemon.left().code(), Some(78));
    site.write_jobs("[jobs.a]\nschedule = \"manual\"\nlimits = { memory = \"64MiB\" }\ncommand = [\"true\"]\n");
    let mut daemon = site.start_under(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    daemon.line("`limits.memory` needs a delegated cgroup v2: ");
    assert_eq!(daemon.left().code(), Some(78));
    let refused = text(&site.batchd(&["run", "a"]).stderr);
    assert!(refused.contains("`limits.memory` needs a delegated cgroup v2: ") && refused.contains("Delegate=yes"), "{refused}");
    site.write_jobs("[jobs.a]\nschedule = \"manual\"\nuser = \"nobody\"\ncommand = [\"id\", \"-u\"]\n");
    let mut daemon = site.start_under(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    daemon.line("ready");
    assert_eq!(ran(&site)["result"], 65534);
    let checked = site.batchd(&["check"]);
    assert!(checked.status.success(), "who only looks may be somebody else: {}", text(&checked.stderr));
}

/// The capabilities that the documentation names for the unit of a daemon of root.
#[test]
fn a_daemon_of_root_needs_few_capabilities() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/jobs-toml.md")).expect("the documentation");
    let set = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a line of the unit");
    let set: String = set.split(' ').map(|capability| capability.replace("CAP_", ",+").to_lowercase()).collect();
    let site = site(
        "[jobs.a]\nschedule = \"manual\"\nuser = \"nobody\"\nnice = -1\n\
         shell = '''setsid sleep 1000 > /dev/null 2>&1 & echo \"$(id -u)\" > \"$BATCHD_RESULT\"'''\n",
    );
    let mut daemon = site.start_under(&["setpriv", &format!("--bounding-set=-all{set}"), "--"]);
    daemon.line("ready");
    let row = ran(&site);
    assert_eq!((&row["outcome"], &row["result"]), (&"succeeded".into(), &serde_json::json!(65534)), "{row}");
    daemon.line("killed what was left in the background");
}

#[test]
fn nothing_of_the_daemon_leaks_into_a_job() {
    // glibc has two signals of its own, 32 and 33, which it ignores between a fork and an exec.
    let script = r#"fds=$(cd /proc/self/fd && echo *)
eval "$(grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\t' | tr : =)"
printf '{"fds": "%s", "blocked": "%s", "ignored": %d}\n' "$fds" "$SigBlk" $((0x$SigIgn & 0x7fffffff))"#;
    let expected = serde_json::json!({"fds": "0 1 2 3", "blocked": "0".repeat(16), "ignored": 0});
    let jobs = |keys: &str| format!("[jobs.a]\nschedule = \"manual\"\nshell = '''\n{script}\n'''\n{keys}\n");
    for keys in ["", "umask = \"0022\"", "user = \"nobody\""] {
        let site = site(&jobs(keys));
        // Whoever starts it ignores signals, blocks one and has a file open.
        let starter = "trap '' INT QUIT HUP USR2 XFSZ; exec 7< /etc/passwd; exec \"$@\"";
        let mut daemon = site.start_under(&["env", "--block-signal=USR1", "/bin/sh", "-c", starter, "sh"]);
        daemon.line("ready");
        let row = ran(&site);
        assert_eq!(row["result"], expected, "{keys}: {row}");
    }
}
