//! The log as a whole: what a line looks like, what outside data cannot do, what is never lost.

use std::fs;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tracing::{info, info_span};

use super::*;
use crate::config::LogFormat;

const LONG: Duration = Duration::from_secs(30);

fn config(dir: &TempDir) -> LogConfig {
    LogConfig {
        dir: dir.path().join("logs"),
        file: "batch.log".to_owned(),
        max_size: 5 << 20,
        backups: 5,
        level: LogLevel::Info,
        format: LogFormat::Text,
        console: None,
    }
}

fn zone(name: &str) -> Zone {
    Zone { name: name.into(), rules: TimeZone::get(name).expect("the zone exists") }
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs `act` with a log of its own and returns the file, the stamps replaced by `TIME`.
#[track_caller]
fn logged(change: impl FnOnce(&mut LogConfig), act: impl FnOnce(&Log)) -> String {
    let dir = scratch();
    let mut config = config(&dir);
    change(&mut config);
    let (layer, log) = layer(&config, &zone("Asia/Tokyo"), Console::Off).expect("the log starts");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || act(&log));
    assert_eq!(log.flush(LONG).left, 0);
    let text = fs::read_to_string(config.dir.join("batch.log")).expect("the log is there");
    text.lines().map(|line| hide_time(line) + "\n").collect::<Vec<_>>().concat()
}

fn hide_time(line: &str) -> String {
    let (start, length) = if line.starts_with('{') { ("{\"time\":\"".len(), 29) } else { (0, 29) };
    assert!(line[start..start + length].ends_with("+09:00"), "a stamp in the daemon's zone: {line}");
    format!("{}TIME{}", &line[..start], &line[start + length..])
}

#[test]
fn a_line_has_time_level_subject_message_and_fields_in_this_order() {
    let text = logged(
        |_| (),
        |_| {
            info!("ready");
            info!(code = 3, job = "cleanup", seconds = 0.25, run = "01JD", "run failed");
            tracing::warn!(job = "cleanup", run = "01JD", partial = "eu west", reason = "a b", ok = false, "partial");
            tracing::error!(empty = "", path = "C:\\x", quote = "say \"x\"", "fields");
            tracing::debug!("below the level");
            info!(target: "hyper::proto", "not of our concern");
        },
    );
    insta::assert_snapshot!(text, @r#"
    TIME INFO  ready
    TIME INFO  [job=cleanup run=01JD] run failed code=3 seconds=0.25
    TIME WARN  [job=cleanup run=01JD partial="eu west"] partial reason="a b" ok=false
    TIME ERROR fields empty="" path="C:\\x" quote="say \"x\""
    "#);
}

#[test]
fn nothing_from_outside_breaks_or_forges_a_line() {
    let text = logged(
        |_| (),
        |_| {
            let evil = "x\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\r\x1b[2J\u{202e}\0";
            info!("{evil}");
            info!(job = evil, "job");
            info!(value = %evil, "display");
            info!(value = ?evil, "debug");
            info!("[job=forged run=1] message");
            info!(value = "1 other=2", "fields");
            output("cleanup", "01JD", "eu", Stream::Stdout, b"plain \xff text\x1b]0;t\x07");
            output("cleanup", "01JD", "", Stream::Stderr, evil.as_bytes());
        },
    );
    insta::assert_snapshot!(text, @r#"
    TIME INFO  x\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\r\x1b[2J\u{202e}\x00
    TIME INFO  [job="x\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\r\x1b[2J\u{202e}\x00"] job
    TIME INFO  display value="x\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\r\x1b[2J\u{202e}\x00"
    TIME INFO  debug value="\"x\\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\\r\\u{1b}[2J\\u{202e}\\0\""
    TIME INFO  \[job=forged run=1] message
    TIME INFO  fields value="1 other=2"
    TIME INFO  [job=cleanup run=01JD partial=eu] stdout| plain \xff text\x1b]0;t\x07
    TIME INFO  [job=cleanup run=01JD] stderr| x\n2026-11-23 20:36:12.345+09:00 INFO  [job=root] gone\r\x1b[2J\u{202e}\x00
    "#);
}

#[test]
fn json_lines_hold_the_same_and_give_the_text_back() {
    let text = logged(
        |config| config.format = LogFormat::Json,
        |_| {
            info!(job = "cleanup", run = "01JD", code = 3, ratio = f64::NAN, ok = true, "say \"hi\"\n\u{202e}\x1b");
            output("cleanup", "01JD", "eu", Stream::Stdout, b"C:\\x \xff");
        },
    );
    insta::assert_snapshot!(text, @r#"
    {"time":"TIME","level":"INFO","job":"cleanup","run":"01JD","message":"say \"hi\"\n\u202e\u001b","code":3,"ratio":"NaN","ok":true}
    {"time":"TIME","level":"INFO","job":"cleanup","run":"01JD","partial":"eu","stream":"stdout","message":"C:\\x \\xff"}
    "#);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a JSON object");
    }
}

#[test]
fn spans_give_their_events_a_subject_and_the_inner_one_wins() {
    let text = logged(
        |_| (),
        |_| {
            let run = info_span!("run", job = "cleanup", run = "01JD", partial = tracing::field::Empty).entered();
            info!("in the run");
            run.record("partial", "eu");
            info!("in the partial");
            info_span!("inner", partial = "us").in_scope(|| info!(run = "01JE", "innermost"));
        },
    );
    insta::assert_snapshot!(text, @"
    TIME INFO  [job=cleanup run=01JD] in the run
    TIME INFO  [job=cleanup run=01JD partial=eu] in the partial
    TIME INFO  [job=cleanup run=01JE partial=us] innermost
    ");
}

#[test]
fn a_reload_changes_level_format_and_zone_and_a_bad_one_changes_nothing() {
    let dir = scratch();
    let mut changed = config(&dir);
    let (layer, log) = layer(&changed, &zone("UTC"), Console::Off).expect("the log starts");
    let blocked = LogConfig { dir: dir.path().join("logs/batch.log"), ..changed.clone() };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        assert!(matches!(log.reconfigure(&blocked, &zone("UTC")), Err(LogError::Open { .. })));
        tracing::debug!("hidden");
        info!("before");
        changed.level = LogLevel::Debug;
        changed.format = LogFormat::Json;
        log.reconfigure(&changed, &zone("UTC")).expect("the change is taken");
        tracing::debug!("shown");
    });
    assert_eq!(log.flush(LONG), FlushReport { written: 2, left: 0, lost: 0 });
    let text = fs::read_to_string(changed.dir.join("batch.log")).expect("the log is there");
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|line| line.ends_with("INFO  before")), "{text}");
    assert!(lines.next().is_some_and(|line| line.ends_with("\"level\":\"DEBUG\",\"message\":\"shown\"}")), "{text}");
}

#[test]
fn no_line_of_eight_threads_is_lost_or_doubled_over_rotations() {
    let dir = scratch();
    let config = LogConfig { max_size: 1 << 20, backups: 50, ..config(&dir) };
    let (layer, log) = layer(&config, &zone("UTC"), Console::Off).expect("the log starts");
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    thread::scope(|scope| {
        for thread in 0..8 {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || (0..10_000).for_each(|number| info!(thread, number, "line")));
            });
        }
    });
    assert_eq!(log.flush(LONG), FlushReport { written: 80_000, left: 0, lost: 0 });
    let mut seen: Vec<String> = Vec::new();
    for entry in fs::read_dir(&config.dir).expect("the directory is there") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a log file");
        seen.extend(text.lines().map(|line| line[line.find("thread=").expect("a whole line")..].to_owned()));
    }
    assert!(fs::metadata(config.dir.join("batch.log.1")).is_ok(), "it was rotated");
    let mut expected: Vec<_> =
        (0..8).flat_map(|thread| (0..10_000).map(move |number| format!("thread={thread} number={number}"))).collect();
    expected.sort();
    seen.sort();
    assert_eq!(seen.len(), expected.len());
    assert!(seen == expected, "every line once");
}

#[test]
fn after_a_full_disk_one_line_says_what_is_missing() {
    let dir = scratch();
    let config = config(&dir);
    let sinks = Arc::new(Sinks::new(settings(&config, &zone("UTC"), Console::Off)));
    let file = open(&config).expect("the log opens");
    let mut writer = writer::FileWriter::new(&sinks, file.on_full_disk());
    writer.write(b"one\ntwo\n");
    writer.write(b"three\n");
    writer.heal();
    writer.write(b"four\n");
    let text = fs::read_to_string(config.dir.join("batch.log")).expect("the log is there");
    let (stamp, rest) = text.split_at(29);
    assert!(rest.starts_with(" WARN  3 lines lost from "), "{text}");
    assert!(rest.ends_with("four\n") && text.lines().count() == 2, "{text}");
    assert!(stamp.ends_with("+00:00"));
    assert_eq!((sinks.desk.lost.load(Ordering::Relaxed), sinks.desk.written.load(Ordering::Relaxed)), (3, 1));
    let told = sinks.console.next(spool::Batch::default()).expect("stderr is told").lines;
    assert_eq!(String::from_utf8_lossy(&told).lines().count(), 2, "once failing, once healed");
}

/// A pipe that nobody holds any more.
#[derive(Debug)]
struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_broken_stderr_is_counted() {
    let dir = scratch();
    let sinks = Sinks::new(settings(&config(&dir), &zone("UTC"), Console::On));
    sinks.console.push(b"one\n");
    sinks.console.push(b"two\n");
    sinks.console.close();
    writer::write_console(&sinks, Broken);
    assert_eq!(sinks.console.dropped(), 2);
}

/// A terminal that was stopped: writing to it never returns.
#[derive(Debug)]
struct Frozen(std::sync::mpsc::Receiver<()>);

impl io::Write for Frozen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Ends with the test, when the sender goes.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_frozen_stderr_holds_nobody_up() {
    let dir = scratch();
    let config = config(&dir);
    let sinks = Sinks::new(settings(&config, &zone("UTC"), Console::On));
    let (thaw, frozen) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| writer::write_console(&sinks, Frozen(frozen)));
        let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<_>>();
        (0..2000).for_each(|_| sinks.console.push(&line));
        drop(thaw);
        sinks.console.close();
    });
    assert!(sinks.console.dropped() > 1000);
}

#[test]
fn a_directory_others_write_is_refused_to_root_and_a_pipe_to_everyone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = scratch();
    let config = config(&dir);
    fs::create_dir(&config.dir).expect("made");
    fs::set_permissions(&config.dir, fs::Permissions::from_mode(0o777)).expect("changed");
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(matches!(open(&config), Err(LogError::UnsafeDirectory { mode: 0o777, .. })), is_root);
    fs::set_permissions(&config.dir, fs::Permissions::from_mode(0o750)).expect("changed");
    drop(fs::remove_file(config.dir.join("batch.log")));
    nix::unistd::mkfifo(&config.dir.join("batch.log"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(matches!(open(&config), Err(LogError::Open { .. })));
}
