//! What a file may get wrong, and what it is told then: a row for each, the line, and the words that must be there.

mod args;
mod channels;
mod handlers;
mod include;
mod many;
mod not_toml;
mod process;
mod requests;
mod sources;
mod times;
mod usable;

use std::path::PathBuf;

use super::*;

fn context() -> Context {
    let zone = Zone { name: "UTC".into(), rules: jiff::tz::TimeZone::UTC };
    Context {
        path: PathBuf::from("jobs.toml"),
        base: PathBuf::from("/srv/batch"),
        system_zone: zone,
        handlers: vec![DeclaredHandler::plain("cleanup")],
        files,
        matches: include::matches,
        host: process::host(),
    }
}

/// The files that a configuration may name here.
fn files(path: &std::path::Path) -> Result<Vec<u8>, String> {
    match path.to_str() {
        Some("/srv/batch/days.txt") => Ok(b"2026-12-25\n2026-12-31..2027-01-01\n".to_vec()),
        Some(path) if path.starts_with("/srv/batch/jobs.d/") => include::file(path),
        Some("/srv/batch/broken.txt") => Ok(b"2026-12-25\n\nChristmas\n".to_vec()),
        _ => Err(format!("cannot read `{}`: there is none", path.display())),
    }
}

fn refuse(text: &[u8]) -> Problems {
    match parse(text, &context()) {
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(text)),
        Err(problems) => problems,
    }
}

/// Refused at `place`, in words that contain all of `words`, briefly, with nothing raw.
#[track_caller]
fn check(text: impl AsRef<[u8]>, place: (usize, usize), words: &[&str]) {
    let problems = refuse(text.as_ref());
    let rendered = problems.render(false);
    let places: Vec<_> = problems.list().iter().map(|problem| problems.position(problem)).collect();
    assert!(places.contains(&place), "{place:?} is not among {places:?}\n{rendered}");
    let lower = rendered.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "lacks `{word}`\n{rendered}");
    }
    assert!(rendered.len() <= 8_192, "{} bytes", rendered.len());
    let raw = rendered.chars().find(|character| *character != '\n' && problem::is_unprintable(*character));
    assert_eq!(raw, None, "{rendered:?}");
}

/// A job with one more line, its fourth.
fn job(line: &str) -> String {
    format!("[jobs.backup]\nschedule = \"0 2 * * *\"\ncommand = [\"true\"]\n{line}\n")
}

/// The same without a handler; the line is the third.
fn bare(line: &str) -> String {
    format!("[jobs.backup]\nschedule = \"0 2 * * *\"\n{line}\n")
}

#[track_caller]
fn check_all(prefix: fn(&str) -> String, line: usize, rows: &[(&str, usize, &[&str])]) {
    for (text, column, words) in rows {
        check(prefix(text), (line, *column), words);
    }
}

#[test]
fn habits_of_crontabs_in_a_schedule() {
    let schedule = |text: &str| format!("[jobs.backup]\nschedule = {text}\ncommand = [\"true\"]\n");
    check(schedule("'0 2 * * * /usr/bin/backup'"), (2, 23), &["schedule", "/usr/bin/backup", "command"]);
    check(schedule("'0 2 * * * root /usr/bin/backup'"), (2, 28), &["schedule", "/usr/bin/backup", "command"]);
    check(schedule("'CRON_TZ=UTC 0 2 * * *'"), (2, 13), &["schedule", "CRON_TZ=UTC", "timezone"]);
    check(schedule("'hourly'"), (2, 13), &["schedule", "write `@hourly`"]);
    check(schedule("'every 5 minutes'"), (2, 13), &["schedule", "write `@every 5m`"]);
    check(schedule("'15m'"), (2, 13), &["schedule", "write `@every 15m`"]);
    check(schedule("\"0 2 * * *\\n0 3 * * *\""), (2, 12), &["schedule", "9 fields", "line break", "list"]);
}

#[test]
fn keys_that_other_schedulers_have() {
    check_all(
        job,
        4,
        &[
            ("name = \"x\"", 1, &["name", "[jobs.NAME]"]),
            ("run_as = \"x\"", 1, &["run_as", "did you mean `user`"]),
            ("on_failure = \"x\"", 1, &["on_failure", "did you mean `notify`"]),
            ("retrys = 3", 1, &["retrys", "did you mean `retries`"]),
            ("env = { A-B = \"1\" }", 9, &["env", "A-B", "letters"]),
            ("env = { 1A = \"1\" }", 9, &["env", "1A", "digit"]),
            ("timezone = \"EST\"", 12, &["timezone", "EST", "America/New_York"]),
            ("enabled\u{a0}= true", 8, &["U+00A0", "space"]),
        ],
    );
    check(format!("timezone = \"UTC\"\n{}", job("")), (1, 1), &["timezone", "[jobs.NAME]", "[daemon]"]);
}

#[test]
fn values_of_a_wrong_type_or_range() {
    check_all(
        job,
        4,
        &[
            ("concurrency = 0", 15, &["concurrency", "1 to 65536"]),
            ("concurrency = -1", 15, &["-1"]),
            ("concurrency = 99999999999999999999", 15, &["out of range"]),
            ("concurrency = 1.5", 15, &["integer", "float 1.5"]),
            ("concurrency = \"4\"", 15, &["remove the quotes: `concurrency = 4`"]),
            ("concurrency = true", 15, &["integer", "boolean"]),
            ("enabled = \"no\"", 11, &["enabled = false"]),
            ("enabled = 0", 11, &["enabled = false"]),
            ("enabled = 1", 11, &["enabled = true"]),
            ("description = 5", 15, &["description", "string"]),
            ("retries = -1", 11, &["out of range"]),
            ("retries = 1000000", 11, &["out of range", "999"]),
            ("retry = 3", 9, &["retry", "table"]),
            ("retry = { attempts = 0 }", 22, &["retry.attempts"]),
            ("retry = { attempt = 3 }", 11, &["did you mean `attempts`?"]),
            ("retry = { factor = 0.5 }", 20, &["retry.factor", "1.0"]),
            ("retry = { factor = nan }", 20, &["nan"]),
            ("retry = { jitter = 2 }", 20, &["retry.jitter"]),
            ("retry = { on_exit = 1 }", 21, &["array of exit codes"]),
            ("retry = { on_exit = [0] }", 22, &["1 to 255"]),
            ("retry = { delay = \"10m\", max_delay = \"1m\" }", 9, &["shorter"]),
            ("max_failures = -1", 16, &["max_failures"]),
            ("max_failures = \"101%\"", 16, &["100%"]),
            ("max_failures = \"none\"", 16, &["any"]),
            ("overlap = \"queued\"", 11, &["did you mean \"queue\"?"]),
            ("overlap = { max = 3 }", 11, &["policy"]),
            ("overlap = { policy = \"skip\", max = 3 }", 11, &["queue"]),
            ("catch_up = \"last\"", 12, &["latest"]),
            ("catch_up = { window = \"0s\" }", 23, &["longer than zero"]),
            ("on_interrupted = \"\"", 18, &["empty", "resume"]),
            ("stop = { signal = \"SIGTREM\" }", 19, &["did you mean \"SIGTERM\"?"]),
            ("stop = { signal = \"SIGSTOP\" }", 19, &["ends no process"]),
            ("stop = { signal = 15 }", 19, &["string"]),
            ("dst = \"skip\"", 7, &["table", "gap"]),
            ("dst = { gap = \"run\" }", 15, &["run_after"]),
            ("env = { A = 1 }", 13, &["env.A", "A = \"1\""]),
            ("env = { \"A=B\" = \"1\" }", 9, &["contains `=`"]),
            ("env = { \"\" = \"1\" }", 9, &["is empty"]),
            ("env = { A = \"a\\u0000b\" }", 13, &["NUL"]),
            ("inherit_env = \"PATH\"", 15, &["array"]),
            ("cwd = \"\"", 7, &["empty"]),
            ("output = { max_size = \"1\" }", 23, &["no unit", "MiB"]),
            ("output = { max_size = \"1QB\" }", 23, &["unknown unit"]),
            ("output = { max_size = 1 }", 23, &["string"]),
            ("output = \"1MiB\"", 10, &["table"]),
            ("timezone = 9", 12, &["timezone", "string"]),
            ("timezone = \"Mars/Olympus\"", 12, &["timezone", "Mars/Olympus"]),
        ],
    );
}

#[test]
fn durations_that_are_none() {
    check_all(
        job,
        4,
        &[
            ("timeout = 30", 11, &["30s", "30m"]),
            ("timeout = 1.5", 11, &["unit"]),
            ("timeout = \"-5s\"", 11, &["negative"]),
            ("timeout = \"0s\"", 11, &["longer than zero"]),
            ("timeout = \"1.5h\"", 11, &["whole numbers"]),
            ("timeout = \"2M\"", 11, &["months"]),
            ("timeout = \"1 month\"", 11, &["months"]),
            ("timeout = \"1y\"", 11, &["years"]),
            ("timeout = \"99999999999999999999s\"", 11, &["too long"]),
            ("timeout = \"5000d\"", 11, &["ten years"]),
            ("timeout = \"10 parsecs\"", 11, &["unknown unit"]),
            ("timeout = \"PT30S\"", 11, &["ISO 8601"]),
            ("timeout = \"s\"", 11, &["timeout"]),
            ("timeout = \"soon\"", 11, &["timeout"]),
            ("timeout = \"   \"", 11, &["empty"]),
            ("timeout = 02:00:00", 11, &["date-time", "string"]),
            ("jitter = [\"1s\"]", 10, &["array", "string"]),
        ],
    );
}

#[test]
fn keys_that_are_not_known() {
    check_all(
        job,
        4,
        &[
            ("tz = \"UTC\"", 1, &["did you mean `timezone`?"]),
            ("time_zone = \"UTC\"", 1, &["did you mean `timezone`?"]),
            ("enable = true", 1, &["did you mean `enabled`?"]),
            ("retry_count = 3", 1, &["did you mean `retries`?"]),
            ("time-out = \"1s\"", 1, &["did you mean `timeout`?"]),
            ("Timeout = \"1s\"", 1, &["lower case: `timeout`"]),
            ("concurency = 3", 1, &["did you mean `concurrency`?"]),
            ("state_dir = \"x\"", 1, &["belongs in `[daemon]`"]),
            ("retyr = { attempts = 3 }", 1, &["did you mean `retry`?"]),
            ("frobnicate = 3", 1, &["unknown key `frobnicate`", "allowed here"]),
            ("\"a\\u001b[2Jb\" = 3", 1, &["unknown key `a\\u{1b}[2Jb`"]),
            ("worker = \"x\"", 1, &["`worker` is not supported yet"]),
        ],
    );
    check("[web]\nlisten = \"x\"\n", (1, 2), &["`web` is not supported yet"]);
    check("[history]\nmax_size = \"1KiB\"\n", (2, 12), &["1KiB", "out of range"]);
    check("[history]\nkeep_runs = 0\n", (2, 13), &["out of range"]);
    check("[history]\nretention = \"1d\"\n", (2, 1), &["did you mean `keep`?"]);
    check("[backup]\nschedule = \"@daily\"\ncommand = [\"true\"]\n", (1, 2), &["[jobs.backup]"]);
    check("schedule = \"@daily\"\n", (1, 1), &["belongs in `[jobs.NAME]`"]);
    check("[jobs]\nschedule = \"@daily\"\n", (2, 1), &["[jobs.NAME]"]);
    check("[[jobs]]\nname = \"a\"\n", (1, 1), &["jobs", "[jobs.NAME]"]);
    check("[[jobs.a]]\nschedule = \"@daily\"\n", (1, 8), &["must be a table"]);
    check("[defaults]\nschedule = \"@daily\"\n[jobs]\n", (2, 1), &["cannot have a default"]);
    check(job("[logging]\nlevel = \"info\""), (4, 2), &["did you mean `[log]`?"]);
}

#[test]
fn handlers_and_commands() {
    check_all(
        bare,
        3,
        &[
            ("command = []", 11, &["names no program"]),
            ("command = [\"\"]", 12, &["command", "empty"]),
            ("command = \"echo hi\"", 11, &["[\"echo\", \"hi\"]", "shell"]),
            ("command = [\"sleep\", 5]", 21, &["write \"5\""]),
            ("command = [\"a\\u0000\"]", 12, &["NUL"]),
            ("command = 5", 11, &["array of strings"]),
            ("shell = [\"a\"]", 9, &["`command` for an array"]),
            ("shell = \"\"", 9, &["empty"]),
        ],
    );
    check_all(
        bare,
        3,
        &[("handler = \"cleanp\"", 11, &["did you mean \"cleanup\"?"]), ("handler = \"xyz\"", 11, &["registered are: cleanup, echo"])],
    );
    check(bare("shell = \"true\"\nhandler = \"echo\""), (4, 1), &["both `shell` and `handler`", "first is here"]);
    check("[jobs.a]\nschedule = \"@daily\"\n", (1, 7), &["no handler", "command"]);
    check("[jobs.a]\ncommand = [\"true\"]\n", (1, 7), &["no `schedule`", "manual"]);
    check("[jobs.a]\nschedule = []\ncommand = [\"true\"]\n", (2, 12), &["empty list"]);
    check("[jobs.a]\nschedule = [\"manual\", \"@daily\"]\ncommand = [\"true\"]\n", (2, 13), &["stands alone"]);
    check("[jobs.a]\nschedule = \"\"\ncommand = [\"true\"]\n", (2, 12), &["schedule", "empty"]);
}

#[test]
fn targets_that_cannot_be() {
    check_all(
        job,
        4,
        &[
            ("targets = []", 11, &["empty"]),
            ("targets = \"a\"", 11, &["array", "[\"a\"]"]),
            ("targets = [\"a\", \"a\"]", 17, &["duplicate target \"a\"", "first here"]),
            ("targets = [\"a\", {id = \"b\"}]", 17, &["all `targets` must be strings"]),
            ("targets = [{id = \"b\"}, \"a\"]", 24, &["all `targets` must be tables"]),
            ("targets = [\"a\", \"\"]", 17, &["empty"]),
            ("targets = [{ nam = \"a\" }]", 12, &["did you mean `nam`?"]),
            ("targets = [{ id = \"a\" }, { id = \"a\" }]", 26, &["duplicate"]),
            ("targets = [{ id = true }]", 19, &["string or an integer"]),
            ("targets = [{ id = 1, x = nan }]", 26, &["JSON"]),
            ("targets = { range = \"1..1\" }", 21, &["is empty"]),
            ("targets = { range = \"1-5\" }", 21, &["not a range"]),
            ("targets = { range = \"0..99999999\" }", 21, &["more than"]),
            ("targets = {}", 11, &["no source"]),
        ],
    );
}

#[test]
fn templates_are_checked_at_load() {
    check_all(
        bare,
        3,
        &[
            ("command = [\"a\", \"{{ target }}\"]", 21, &["no `targets`"]),
            ("command = [\"a\", \"{{ nominal.dat }}\"]", 21, &["did you mean `date`?"]),
            ("command = [\"a\", \"x {{ taget }}\"]", 23, &["undefined name `taget`", "did you mean `target`?"]),
            ("command = [\"a\", \"{{ args.x }}\"]", 21, &["the job has no `args`"]),
            ("command = [\"a\", \"{{ env.NOPE }}\"]", 21, &["env.NOPE"]),
            ("command = [\"a\", \"{{ job.name }}\"]", 21, &["single value"]),
            ("command = [\"a\", \"{{ job | nope }}\"]", 27, &["filter"]),
            ("shell = \"echo '{{ job }}'\"", 16, &["inside of ' quotes"]),
            ("shell = 'echo \"a {{ job }}\"'", 18, &["inside of \" quotes"]),
        ],
    );
    check(bare("command = [\"a\", \"{{ target \"]"), (3, 21), &["template"]);
    check(bare("command = [\"a\", \"{{ target.id }}\"]\ntargets = [\"x\"]"), (3, 21), &["targets are strings"]);
    check(bare("command = [\"a\", \"{{ target.nme }}\"]\ntargets = [{ id = 1, name = \"x\" }]"), (3, 21), &["did you mean `name`?"]);
    check(job("env = { A = \"{{ nope }}\" }"), (4, 17), &["undefined name `nope`"]);
    check(format!("[defaults]\ngather = [\"{{{{ nope }}}}\"]\n{}", job("")), (2, 15), &["undefined name `nope`"]);
    check(bare("command = [\"a\"]\ngather = [\"a\", \"{{ target }}\"]\ntargets = [\"x\"]"), (4, 20), &["once for all"]);
}

#[test]
fn names_of_jobs() {
    let named = |name: &str| format!("[jobs.{name}]\nschedule = \"@daily\"\ncommand = [\"true\"]\n");
    for (name, words) in [
        ("\"\"", "is empty"),
        ("\"a b\"", "contains ` `"),
        ("\"a/b\"", "contains `/`"),
        ("-a", "begins with `-`"),
        ("\".a\"", "begins with `.`"),
        ("\"a\\nb\"", "invisible"),
        ("\"a\u{202e}b\"", "a\\u{202e}b"),
        (&"x".repeat(65), "too long"),
    ] {
        check(named(name), (1, 7), &["name", words]);
    }
    assert!(parse(named("\"매일-2.보고_서\"").as_bytes(), &context()).is_ok());
}

#[test]
fn the_log_and_the_daemon() {
    let after = |table: &str, line: &str| format!("[{table}]\n{line}\n[jobs.a]\nschedule = \"@daily\"\ncommand = [\"true\"]\n");
    for (table, line, column, words) in [
        ("log", "max_size = \"0\"", 12, "no unit"),
        ("log", "max_size = \"0B\"", 12, "out of range"),
        ("log", "max_size = 5242880", 12, "string"),
        ("log", "max_size = \"-1MiB\"", 12, "negative"),
        ("log", "backups = 1000000", 11, "0 to 1000"),
        ("log", "backups = \"5\"", 11, "backups = 5"),
        ("log", "file = \"a/b.log\"", 8, "the directory goes to `dir`"),
        ("log", "level = \"infos\"", 9, "did you mean \"info\"?"),
        ("log", "level = \"INFO\"", 9, "did you mean \"info\"?"),
        ("log", "format = \"yaml\"", 10, "\"text\", \"json\""),
        ("log", "console = \"auto\"", 11, "boolean"),
        ("log", "path = \"x\"", 1, "did you mean `dir`?"),
        ("daemon", "max_partials = 0", 16, "1 to"),
        ("daemon", "state_dir = 5", 13, "string"),
        ("daemon", "schedule = \"@daily\"", 1, "[jobs.NAME]"),
        ("daemon", "drain_timeout = \"10\"", 17, "10s"),
        ("daemon", "timezone = \"\"", 12, "empty"),
    ] {
        check(after(table, line), (2, column), &[words]);
    }
    check("log = 5\n", (1, 7), &["`log` must be a table"]);
}

#[test]
fn a_problem_is_rendered_with_its_place_excerpt_and_help() {
    let text = refuse(job("concurency = 4\ntargets = [\"a\", \"a\"]").as_bytes()).render(false);
    insta::assert_snapshot!(text, @r#"
    error: unknown key `concurency` in a job
     --> jobs.toml:4:1
      |
    4 | concurency = 4
      | ^^^^^^^^^^
      |
      = help: did you mean `concurrency`?

    error: duplicate target "a"
     --> jobs.toml:5:17
      |
    5 | targets = ["a", "a"]
      |                 ^^^ again here
      |
     ::: jobs.toml:5:12
      |
    5 | targets = ["a", "a"]
      |            --- first here
    "#);
}
