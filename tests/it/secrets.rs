//! What nobody is to see, and whom the daemon trusts: on the real binary. Root's, as the tests of `users`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::site::{Site, text};

const SECRET: &str = "correct-horse-\"battery\"";

/// Says a credential and a variable of a file in every way there is, and fails.
const TELLTALE: &str = r#"[jobs.a]
schedule = "manual"
env = { DB = '{{ credential("db") }}', UPPER = '{{ credential("db") | upper }}' }
env_file = "secrets.env"
shell = '''
test "$DB" = "$(cat creds/db)" || exit 9
printf 'a %s b' "$DB"; sleep 0.1; echo " $API_TOKEN $UPPER"
echo "{\"token\": \"$API_TOKEN\"}" > "$BATCHD_RESULT"
echo "fatal: https://me:$API_TOKEN@example.org and $DB" >&2
exit 3
'''
"#;

fn site() -> Site {
    assert!(geteuid().is_root(), "run the tests of `secrets` as root: they give files away");
    let site = Site::new(&format!("credentials_dir = \"creds\"\n{TELLTALE}"));
    fs::create_dir(site.path("creds")).expect("ours");
    fs::write(site.path("creds/db"), format!("{SECRET}\n")).expect("ours");
    fs::write(site.path("secrets.env"), "API_TOKEN=tok-0123456789\nPLAIN=visible\n").expect("ours");
    site
}

/// Every file below the directory holds none of the words.
fn assert_nowhere(directory: &Path, words: &[&str]) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            assert_nowhere(&entry.path(), words);
        } else if let Ok(bytes) = fs::read(entry.path()) {
            let found = words.iter().find(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()));
            assert_eq!(found, None, "is in {}", entry.path().display());
        }
    }
}

#[test]
fn a_secret_is_seen_by_the_job_and_by_nobody_else() {
    let site = site();
    let mut daemon = site.daemon();
    site.batchd(&["trigger", "a", "--wait"]);
    let row: serde_json::Value = serde_json::from_str(site.ask(&["results", "a"]).trim()).expect("a row");
    assert_eq!((row["exit_code"].as_i64(), &row["result"]), (Some(3), &serde_json::json!({"token": "***"})), "{row}");
    assert_eq!(row["error"], "exit code 3: fatal: https://***@example.org and ***");
    daemon.line("stdout| a *** b *** ***");

    let words = [SECRET, "correct-horse", "CORRECT-HORSE", "tok-0123456789"];
    for answer in [["show", "a"], ["logs", "a"], ["history", "a"], ["status", "--json"], ["show", "--json"]] {
        let answer = if answer[0] == "show" && answer[1] == "--json" { vec!["show", "a", "--json"] } else { answer.to_vec() };
        let output = site.batchd(&answer);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(words.iter().find(|word| said.contains(**word)), None, "{answer:?}: {said}");
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    assert_nowhere(&site.path("state"), &words);
    assert_nowhere(&site.path("logs"), &words);
    let said = daemon.seen().join("\n");
    assert_eq!(words.iter().find(|word| said.contains(**word)), None, "{said}");
}

#[test]
fn env_prints_what_a_start_gives() {
    let site = site();
    let shown = site.ask_json(&["env", "a"]);
    assert_eq!((&shown["DB"], &shown["API_TOKEN"], &shown["PLAIN"]), (&"***".into(), &"***".into(), &"visible".into()), "{shown}");
    let whole = site.ask_json(&["env", "a", "--show-secrets"]);
    assert_eq!((&whole["DB"], &whole["API_TOKEN"]), (&SECRET.into(), &"tok-0123456789".into()), "{whole}");

    // With the variables of the daemon, not of whoever asks.
    site.write_jobs(
        "[jobs.a]\nschedule = \"manual\"\nshell = 'env -0 | tr \"\\n\\0\" \" \\n\" | grep -v ^PWD= | sort > got'\ntargets = [\"x\", \"y\"]\ninherit_env = [\"LANG\", \"NOTIFY_SOCKET\"]\n",
    );
    let mut daemon = site.start_with(&[("LANG", "ko_KR.UTF-8"), ("LC_ALL", "C"), ("LD_BIND_NOW", "1")]);
    daemon.line("ready");
    site.batchd(&["trigger", "a", "--target", "y", "--wait"]);
    // A run of one target has one partial.
    let of_a_run =
        |line: &str| ["BATCHD_RUN=", "BATCHD_NOMINAL=", "BATCHD_RESULT=", "BATCHD_PARTIAL_"].iter().any(|name| line.starts_with(name));
    let lines = |text: &str| text.lines().filter(|line| !of_a_run(line)).map(str::to_owned).collect::<Vec<_>>();
    let got = lines(&site.read("got"));
    assert!(got.contains(&"LANG=ko_KR.UTF-8".to_owned()) && got.contains(&"BATCHD_TARGET=y".to_owned()), "{got:?}");
    assert_eq!(lines(&site.ask(&["env", "a", "--target", "y"])), got);
    assert_eq!(site.batchd(&["env", "a", "--target", "z"]).status.code(), Some(5));
}

#[test]
fn a_credential_that_is_not_there_fails_the_start_by_name() {
    let site = site();
    fs::remove_file(site.path("creds/db")).expect("is there");
    let output = site.batchd(&["run", "a"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("env `DB`: cannot read the credential"), "{}", text(&output.stdout));
}

/// A daemon of root does not start with this done to its site, and says why in words that hold these.
#[track_caller]
fn check_refused(change: impl Fn(&Site), words: &[&str]) {
    let site = site();
    change(&site);
    let mut daemon = site.start();
    let said = daemon.line("others can change");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert_eq!(daemon.left().code(), Some(78));
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("is ours");
}

#[test]
fn what_others_can_change_is_refused_by_a_daemon_of_root() {
    check_refused(|site| mode(&site.path("jobs.toml"), 0o666), &["jobs.toml`: it belongs to root:root and has mode 0666", "chmod go-w"]);
    check_refused(|site| chown(site.path("jobs.toml"), Some(65534), None).expect("root may"), &["jobs.toml`: it belongs to nobody:root"]);
    check_refused(|site| mode(&site.path(""), 0o777), &["has mode 0777"]);
    for name in ["state", "logs"] {
        check_refused(
            |site| {
                fs::create_dir(site.path(name)).expect("ours");
                mode(&site.path(name), 0o777);
            },
            &[name, "mode 0777"],
        );
        check_refused(
            |site| {
                fs::create_dir(site.path("theirs")).expect("ours");
                chown(site.path("theirs"), Some(65534), None).expect("root may");
                symlink("theirs", site.path(name)).expect("ours");
            },
            &["theirs`: it belongs to nobody:"],
        );
    }
}

#[test]
fn a_reload_of_what_others_can_change_leaves_the_old_configuration() {
    let site = site();
    let mut daemon = site.daemon();
    site.write_jobs("[jobs.other]\nschedule = \"manual\"\ncommand = [\"true\"]\n");
    mode(&site.path("jobs.toml"), 0o646);
    daemon.signal(Signal::SIGHUP);
    daemon.line("the old configuration stays");
    daemon.line("jobs.toml`: it belongs to root:root and has mode 0646");
    assert!(site.ask(&["jobs"]).contains("a "), "the old jobs are there");
    let check = site.batchd(&["check", "--deny-warnings"]);
    assert!(text(&check.stderr).contains("mode 0646"), "{}", text(&check.stderr));
    mode(&site.path("jobs.toml"), 0o644);
    site.ask(&["reload"]);
}

#[test]
fn an_env_file_is_trusted_as_far_as_its_owner() {
    let run = |change: &dyn Fn(&Site)| {
        let site = Site::new(
            "[jobs.a]\nschedule = \"manual\"\nuser = \"nobody\"\ncwd = \"/\"\nenv_file = \"home/env\"\nshell = \"echo \\\"got $GREETING\\\"\"\n",
        );
        mode(&site.path(""), 0o755);
        fs::create_dir(site.path("home")).expect("ours");
        fs::write(site.path("home/env"), "GREETING=hello\n").expect("ours");
        change(&site);
        let output = site.batchd(&["run", "a"]);
        text(&output.stdout) + &text(&output.stderr)
    };
    let give = |path: &Path| chown(path, Some(65534), Some(65534)).expect("root may");
    let said = run(&|_| {});
    assert!(said.contains("got hello"), "{said}");
    let said = run(&|site| {
        give(&site.path("home"));
        give(&site.path("home/env"));
    });
    assert!(said.contains("got hello"), "{said}");
    let said = run(&|site| give(&site.path("home")));
    assert!(said.contains("is not the file of `nobody`"), "a link could lead to what only root reads: {said}");
    let said = run(&|site| chown(site.path("home/env"), Some(1), None).expect("root may"));
    assert!(said.contains("others can change"), "{said}");
}

/// Headers hold credentials, of jobs, of where targets come from and of channels; a server that says them aloud tells nobody.
#[test]
fn a_credential_goes_out_in_a_header_and_comes_back_to_nobody() {
    let hook = crate::hook::Hook::new();
    let header = "headers = { Authorization = 'Bearer {{ credential(\"api\") }}' }";
    let jobs = |name: &str| {
        format!(
            "credentials_dir = \"creds\"\n[notify.ops]\nwebhook = \"{0}/says/notify\"\n{header}\n\
             [jobs.ask]\nschedule = \"manual\"\nhttp = {{ url = \"{0}/says/job\", {header} }}\nnotify = {{ failure = \"ops\" }}\n\
             [jobs.list]\nschedule = \"manual\"\nhandler = \"echo\"\ntargets = {{ http = {{ url = \"{0}/says/list\", {header} }} }}\n",
            hook.url
        )
        .replace("\"api\"", name)
    };
    let site = Site::new(&jobs("\"api\""));
    fs::create_dir(site.path("creds")).expect("ours");
    fs::write(site.path("creds/api"), "tok-0123456789\n").expect("ours");
    let mut daemon = site.daemon();
    site.batchd(&["trigger", "ask", "--wait"]);
    site.batchd(&["trigger", "list", "--wait"]);
    for path in ["job", "list", "notify"] {
        assert_eq!(hook.next(&format!("/says/{path} ")).header("authorization"), Some("Bearer tok-0123456789"), "{path}");
    }
    daemon.line("ops could not be told: status 403 Forbidden: you are ***");
    let said = ["ask", "list"].map(|job| text(&site.batchd(&["show", job]).stdout)).concat();
    assert!(said.contains("status 403 Forbidden, expected 2xx: you are ***"), "{said}");
    let status = site.ask(&["status", "--json"]);
    site.write_jobs(&jobs("\"gone\""));
    site.batchd(&["reload"]);
    site.batchd(&["trigger", "ask", "--wait"]);
    let missing = text(&site.batchd(&["show", "ask"]).stdout);
    assert!(missing.contains("`Authorization`: cannot read the credential"), "{missing}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
    let words = ["tok-0123456789"];
    assert_nowhere(&site.path("state"), &words);
    assert_nowhere(&site.path("logs"), &words);
    assert!(!(status + &said + &daemon.seen().join("\n")).contains(words[0]));
}
