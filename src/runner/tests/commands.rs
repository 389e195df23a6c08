//! Processes that end by themselves.

use std::fs;

use super::*;
use crate::engine::Outcome::{self, Failed, Signalled, SpawnFailed, Succeeded};

fn check_end(script: &str, outcome: Outcome, exit_code: Option<i32>, signal: Option<i32>, error: Option<&str>) {
    let end = shell(script);
    assert_eq!((end.outcome, end.exit_code, end.signal, end.error.as_deref()), (outcome, exit_code, signal, error), "{script}");
}

#[test]
fn ends_are_told_apart() {
    check_end("exit 0", Succeeded, Some(0), None, None);
    check_end("exit 1", Failed, Some(1), None, Some("exit code 1"));
    check_end("echo no >&2; echo bad luck >&2; echo >&2; exit 3", Failed, Some(3), None, Some("exit code 3: bad luck"));
    check_end("exit 127", Failed, Some(127), None, Some("exit code 127"));
    check_end("kill -KILL $$", Signalled, None, Some(9), Some("killed by SIGKILL"));
    check_end("kill -TERM $$", Signalled, None, Some(15), Some("killed by SIGTERM"));
}

#[test]
fn times_are_those_of_the_clock() {
    let before = clock();
    let end = shell("exit 0");
    assert!(before.wall <= end.started && end.started <= end.ended && end.ended <= clock().wall);
    assert!(end.duration <= clock().monotonic.checked_sub(before.monotonic).expect("time goes on"));
}

fn check_refused(change: impl FnOnce(&mut Job), error: &str) {
    let mut bench = Bench::new();
    let mut job = bench.job(command(&["true"]));
    change(&mut job);
    let end = bench.run(job, None);
    assert_eq!((end.outcome, end.exit_code, end.signal), (SpawnFailed, None, None));
    let found = end.error.expect("a reason").replace(&bench.dir.path().display().to_string(), "DIR");
    assert_eq!(found, error);
}

#[test]
fn what_cannot_start_says_why() {
    check_refused(
        |job| {
            job.work = command(&["foo"]);
            Arc::make_mut(&mut job.process).env.insert("PATH".to_owned(), "/nowhere:/bin".to_owned());
        },
        "`foo` not found in PATH `/nowhere:/bin`",
    );
    check_refused(|job| job.work = command(&["./foo"]), "`DIR/./foo` not found");
    check_refused(|job| job.work = command(&["/etc"]), "`/etc` is a directory, not a program");
    check_refused(|job| job.work = command(&["true", "a\0b"]), "argument 1 has a NUL");
    check_refused(
        |job| job.work = Work::Command(vec!["true".to_owned(), "x".repeat(200_000)]),
        "argument 1 is too long: 200000 bytes, allowed 131071; hand it over in a file",
    );
    check_refused(
        |job| Arc::make_mut(&mut job.process).cwd = Some("/nowhere".into()),
        "the working directory `/nowhere` cannot be entered: No such file or directory (os error 2)",
    );
    check_refused(
        |job| Arc::make_mut(&mut job.process).env_file = Some("/nowhere".into()),
        "cannot read env_file `/nowhere`: No such file or directory (os error 2)",
    );
    check_refused(|job| job.work = Work::Handler("cleanup".to_owned()), "no handler `cleanup` is registered; there are `echo`");
}

#[test]
fn too_many_arguments_are_refused_with_their_size() {
    let mut bench = Bench::new();
    let argv = std::iter::once("true".to_owned()).chain(std::iter::repeat_n("x".repeat(100_000), 100)).collect();
    let job = bench.job(Work::Command(argv));
    let error = bench.run(job, None).error.expect("a reason");
    assert!(error.starts_with("arguments and environment are too long together: 1000"), "{error}");
}

#[test]
fn the_environment_is_exact() {
    let mut bench = Bench::new();
    let mut job = bench.job(command(&["env"]));
    fs::write(bench.path("env"), "FROM_FILE='a b'\nBOTH=file\n").expect("an env_file");
    Arc::make_mut(&mut job.process).env_file = Some(bench.path("env"));
    Arc::make_mut(&mut job.process).inherit_env =
        vec!["CARGO_PKG_NAME".to_owned(), "NOT_SET_ANYWHERE".to_owned(), "LD_LIBRARY_PATH".to_owned()];
    Arc::make_mut(&mut job.process).env =
        [("BOTH", "job"), ("HOME", "/h"), ("USER", "u"), ("LOGNAME", "u"), ("GREETING", "hi {{ target }} {{ nominal.date }}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    job.timetable.zone = Zone { name: "Asia/Seoul".into(), rules: TimeZone::get("Asia/Seoul").expect("a zone") };
    job.targets = Targets::Range { start: 0, end: 3 };
    let output = bench.run(job, Some(text("seoul"))).output.expect("output").head;
    let mut lines: Vec<&str> = str::from_utf8(&output).expect("UTF-8").lines().collect();
    lines.sort_unstable();
    let found = lines.join("\n").replace(&bench.dir.path().display().to_string(), "DIR");
    insta::assert_snapshot!(found, @r"
    BATCHD_ATTEMPT=1
    BATCHD_CAUSE=schedule
    BATCHD_JOB=daily
    BATCHD_NOMINAL=2026-03-11T11:00:00+09:00
    BATCHD_PARTIAL_COUNT=3
    BATCHD_PARTIAL_INDEX=0
    BATCHD_RESULT=DIR/results/7-0
    BATCHD_RUN=daily@20260311T020000Z
    BATCHD_TARGET=seoul
    BOTH=job
    CARGO_PKG_NAME=batchd
    FROM_FILE=a b
    GREETING=hi seoul 2026-03-11
    HOME=/h
    LANG=C.UTF-8
    LOGNAME=u
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    SHELL=/bin/sh
    USER=u
    ");
}

fn check_output(work: Work, target: Option<Target>, output: &[u8]) {
    let mut bench = Bench::new();
    let job = bench.job(work);
    let end = bench.run(job, target);
    assert_eq!((end.outcome, end.error), (Succeeded, None));
    assert_eq!(end.output.unwrap_or_default().head.escape_ascii().to_string(), output.escape_ascii().to_string());
}

#[test]
fn targets_arrive_as_one_word() {
    let hostile = "it's $(id) \"`; x";
    check_output(command(&["printf", "<%s>", "{{ target }}"]), Some(text(hostile)), b"<it's $(id) \"`; x>");
    check_output(Work::Shell("printf '<%s>' {{ target }}".to_owned()), Some(text(hostile)), b"<it's $(id) \"`; x>");
    let table = serde_json::json!({"id": 7, "name": "x y"}).as_object().expect("an object").clone();
    let table = Target { key: "7".into(), value: TargetValue::Table(Arc::new(table)) };
    let script = "printf '%s %s %s' {{ target.id }} {{ target.name }} \"$BATCHD_TARGET\"";
    check_output(Work::Shell(script.to_owned()), Some(table), br#"7 x y {"id":7,"name":"x y"}"#);
}

#[test]
fn stdin_is_empty() {
    check_output(command(&["cat"]), None, b"");
}

/// The standard signals (up to 31) of a mask in `/proc/PID/status`; the next two belong to the C library, which does as it likes.
fn mask(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal") & 0x7fff_ffff
}

#[test]
fn signals_are_neither_blocked_nor_ignored_by_us() {
    // Whoever started the tests may ignore some, and Rust itself ignores SIGPIPE.
    let status = shell("exec cat /proc/self/status").output.expect("output").head;
    let status = str::from_utf8(&status).expect("UTF-8");
    assert_eq!((mask(status, "SigBlk:"), mask(status, "SigIgn:")), (0, 0));
}

#[test]
fn output_is_kept_raw_and_in_order() {
    check_output(
        Work::Shell(r"printf '\377\376\000\r\033[2J\342\200\256\n'; printf 'last'".to_owned()),
        None,
        b"\xff\xfe\0\r\x1b[2J\xe2\x80\xae\nlast",
    );
}

#[test]
fn long_output_is_cut_in_the_middle() {
    let end = shell("head -c 50000000 /dev/zero | tr '\\0' a; echo; echo end");
    let output = end.output.expect("output");
    assert_eq!((end.outcome, output.head.len() + output.tail.len(), output.cut), (Succeeded, 1024 * 1024, 50_000_005 - 1024 * 1024));
    assert!(output.tail.ends_with(b"a\nend\n"));
}

fn check_result(script: &str, result: Option<&str>, error: Option<&str>) {
    let mut bench = Bench::new();
    let job = bench.job(Work::Shell(script.to_owned()));
    let end = bench.run(job, None);
    assert_eq!((end.result.as_ref().map(|result| result.get()), end.error.as_deref()), (result, error), "{script}");
    assert_eq!(fs::read_dir(bench.path("results")).expect("the directory").count(), 0, "{script}");
}

#[test]
fn results_come_from_the_file_or_the_last_line() {
    check_result("echo text", None, None);
    check_result(r#"echo '{"n": 1}'; echo; echo x >&2"#, Some(r#"{"n": 1}"#), None);
    check_result("printf 42", Some("42"), None);
    check_result("echo 1; printf 'null x'", None, None);
    check_result(r#"echo 1; echo ' [2]' > "$BATCHD_RESULT""#, Some("[2]"), None);
    check_result(r#"echo 'two "words"' > "$BATCHD_RESULT""#, Some(r#""two \"words\"\n""#), None);
    check_result(r#"printf '\377' > "$BATCHD_RESULT""#, Some("\"\u{fffd}\""), None);
    check_result(r#"echo 5 > "$BATCHD_RESULT"; exit 1"#, Some("5"), Some("exit code 1"));
}

#[test]
fn results_that_cannot_be_taken_are_noted() {
    let large = r#"head -c 1048577 /dev/zero > "$BATCHD_RESULT""#;
    check_result(large, None, Some("result ignored: more than 1048576 bytes in BATCHD_RESULT"));
    check_result(r#"mkfifo "$BATCHD_RESULT""#, None, Some("result ignored: BATCHD_RESULT is not a regular file"));
    let mut bench = Bench::new();
    let job = bench.job(Work::Shell(r#"ln -s /etc/passwd "$BATCHD_RESULT""#.to_owned()));
    let end = bench.run(job, None);
    assert!(end.result.is_none() && end.error.expect("a note").ends_with("/results/7-0`: Too many levels of symbolic links (os error 40)"));
}
