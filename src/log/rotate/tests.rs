//! The rotation against Python's, against crashes between renames, and against what others do to the files.

use std::fs;
use std::process::{Command, Stdio};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tempfile::TempDir;

use super::*;

/// A directory and a clock that moves only when told.
struct Bench {
    dir: TempDir,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory"), now: super::super::stamp::monotonic_now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn open(&self, max_size: u64, backups: u32) -> RotatingFile {
        let place = Place { path: self.path("batch.log"), max_size, backups };
        RotatingFile::open(place, self.now).expect("the log opens")
    }

    /// Appends two seconds after the last call, so that pace and look are due.
    fn append(&mut self, log: &mut RotatingFile, lines: &str) {
        self.now += PACE * 2;
        log.append(lines.as_bytes(), self.now).expect("the lines are written");
        assert!(log.trouble().is_none(), "{:?}", log.trouble());
    }

    fn put(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path("")).expect("made");
        fs::write(self.path(name), text).expect("written");
    }

    /// Name and content of every file, by name.
    fn files(&self) -> Vec<(String, String)> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.expect("an entry");
            let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("a file")).into_owned();
            (entry.file_name().to_string_lossy().into_owned(), text)
        };
        let mut files: Vec<_> = fs::read_dir(self.path("")).expect("the directory").map(entry).collect();
        files.sort();
        files
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(self.files(), expected);
    }
}

/// Writes the lines of stdin as Python's handler does; `max` and the path are arguments.
const PYTHON: &str = "
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=int(sys.argv[2]), backupCount=5, encoding='utf-8')
for line in sys.stdin.read().split('\\n')[:-1]:
    handler.emit(logging.makeLogRecord({'msg': line}))
";

#[test]
fn the_files_are_those_of_pythons_handler() {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    for max_size in [100_u64, 256, 1000] {
        let mut bench = Bench::new();
        let mut log = bench.open(max_size, 5);
        // The longest is one byte below the limit: a line above it is cut by us and not by Python.
        let longest = usize::try_from(max_size).expect("small") - 6;
        let lines = (0..400)
            .map(|number| format!("{number:05}{}\n", "x".repeat(random.next_u32() as usize % longest)))
            .collect::<Vec<_>>()
            .concat();
        for line in lines.split_inclusive('\n') {
            bench.append(&mut log, line);
        }
        let theirs = bench.dir.path().join("theirs");
        fs::create_dir(&theirs).expect("made");
        let mut python = Command::new("python3")
            .args(["-c", PYTHON])
            .arg(theirs.join("batch.log"))
            .arg(max_size.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("this test needs python3");
        python.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("python reads");
        assert!(python.wait().expect("python ends").success());
        let ours = bench.files();
        assert_eq!(ours.len(), 6);
        for (name, text) in ours {
            assert_eq!(text, fs::read_to_string(theirs.join(&name)).expect("python has it too"), "{name} at {max_size}");
        }
    }
}

#[test]
fn one_large_batch_makes_the_files_of_many_small_ones() {
    let (mut one, mut many) = (Bench::new(), Bench::new());
    let lines: Vec<_> = (0..100).map(|number| format!("line {number}\n")).collect();
    let (mut log, mut other) = (one.open(700, 5), many.open(700, 5));
    one.append(&mut log, &lines.concat());
    for line in &lines {
        many.now -= PACE * 2;
        many.append(&mut other, line);
    }
    assert_eq!(one.files(), many.files());
}

#[test]
fn a_line_above_the_limit_is_cut_with_a_mark() {
    let mut bench = Bench::new();
    let mut log = bench.open(30, 2);
    bench.append(&mut log, "short\n");
    bench.append(&mut log, &format!("{}\n", "日本".repeat(20)));
    bench.append(&mut log, "after\n");
    bench.check(&[("batch.log", "after\n"), ("batch.log.1", "日本日本日本 [line cut]\n"), ("batch.log.2", "short\n")]);
}

#[test]
fn within_a_second_a_file_may_grow_to_twice_the_limit() {
    let bench = Bench::new();
    let mut log = bench.open(10, 9);
    log.append("1234\n".repeat(9).as_bytes(), bench.now).expect("written");
    let sizes: Vec<_> = bench.files().iter().map(|(name, text)| (name.clone(), text.len())).collect();
    let expected = [("batch.log", 10), ("batch.log.1", 15), ("batch.log.2", 15), ("batch.log.3", 5)];
    assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
}

#[test]
fn a_crash_after_any_rename_loses_no_file() {
    // A rotation of three backups renames .2 → .3, .1 → .2, then the log → .1; the states after each step.
    let crashes: [&[&str]; 4] = [
        &["batch.log", "batch.log.1", "batch.log.2"],
        &["batch.log", "batch.log.1", "batch.log.3"],
        &["batch.log", "batch.log.2", "batch.log.3"],
        &["batch.log.1", "batch.log.2", "batch.log.3"],
    ];
    for names in crashes {
        let mut bench = Bench::new();
        for (age, name) in names.iter().enumerate() {
            bench.put(name, &format!("{age}123456\n"));
        }
        let mut log = bench.open(10, 3);
        bench.append(&mut log, "new line\n");
        let kept: Vec<_> = bench.files().into_iter().map(|(_, text)| text).collect();
        assert_eq!(kept, ["new line\n", "0123456\n", "1123456\n", "2123456\n"], "{names:?}");
    }
}

#[test]
fn backups_beyond_their_number_go_at_the_start() {
    let bench = Bench::new();
    for name in ["batch.log.1", "batch.log.2", "batch.log.3", "batch.log.10", "batch.log.03", "batch.log.gz", "other.log.9"] {
        bench.put(name, name);
    }
    drop(bench.open(10, 2));
    let names: Vec<_> = bench.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["batch.log", "batch.log.03", "batch.log.1", "batch.log.2", "batch.log.gz", "other.log.9"]);
}

#[test]
fn without_backups_the_full_file_is_discarded() {
    let mut bench = Bench::new();
    let mut log = bench.open(10, 0);
    bench.append(&mut log, "12345678\n");
    bench.append(&mut log, "new\n");
    bench.check(&[("batch.log", "new\n")]);
}

#[test]
fn a_deleted_directory_is_made_again() {
    let mut bench = Bench::new();
    let mut log = bench.open(1000, 2);
    bench.append(&mut log, "lost with the directory\n");
    fs::remove_dir_all(bench.path("")).expect("removed");
    bench.append(&mut log, "kept\n");
    bench.check(&[("batch.log", "kept\n")]);
    assert_eq!(fs::metadata(bench.path("batch.log")).expect("there").mode() & 0o777, FILE_MODE);
}

#[test]
fn a_moved_directory_is_not_written_any_more() {
    let mut bench = Bench::new();
    let mut log = bench.open(1000, 2);
    bench.append(&mut log, "old\n");
    fs::rename(bench.path(""), bench.dir.path().join("logs.old")).expect("moved");
    bench.append(&mut log, "new\n");
    bench.check(&[("batch.log", "new\n")]);
    assert_eq!(fs::read_to_string(bench.dir.path().join("logs.old/batch.log")).expect("there"), "old\n");
}

#[test]
fn a_rotation_by_somebody_else_is_followed_within_a_second_and_at_once_when_asked() {
    let mut bench = Bench::new();
    let mut log = bench.open(1000, 2);
    bench.append(&mut log, "one\n");
    fs::rename(bench.path("batch.log"), bench.path("moved")).expect("moved");
    log.append(b"two\n", bench.now).expect("within the second the old file is written");
    log.reopen(bench.now);
    log.append(b"three\n", bench.now).expect("written");
    bench.check(&[("batch.log", "three\n"), ("moved", "one\ntwo\n")]);
    fs::rename(bench.path("batch.log"), bench.path("moved")).expect("moved");
    bench.append(&mut log, "four\n");
    bench.check(&[("batch.log", "four\n"), ("moved", "three\n")]);
}

#[test]
fn a_file_put_in_place_by_somebody_else_is_not_shifted() {
    let bench = Bench::new();
    let mut log = bench.open(10, 2);
    log.append(b"12345678\n", bench.now).expect("written");
    fs::rename(bench.path("batch.log"), bench.path("moved")).expect("moved");
    bench.put("batch.log", "theirs\n");
    log.append(b"new\n", bench.now).expect("written");
    bench.check(&[("batch.log", "theirs\nnew\n"), ("moved", "12345678\n")]);
}

#[test]
fn a_file_truncated_by_somebody_else_is_measured_again() {
    let mut bench = Bench::new();
    let mut log = bench.open(20, 2);
    bench.append(&mut log, "0123456789abcde\n");
    fs::write(bench.path("batch.log"), "").expect("truncated");
    bench.append(&mut log, "0123456789\n");
    bench.check(&[("batch.log", "0123456789\n")]);
}

#[test]
fn a_line_torn_by_a_crash_is_ended_first() {
    let mut bench = Bench::new();
    bench.put("batch.log", "half a li");
    let mut log = bench.open(1000, 2);
    bench.append(&mut log, "whole\n");
    bench.check(&[("batch.log", "half a li\nwhole\n")]);
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let bench = Bench::new();
    bench.put("target", "");
    std::os::unix::fs::symlink(bench.path("target"), bench.path("batch.log")).expect("linked");
    let place = Place { path: bench.path("batch.log"), max_size: 10, backups: 1 };
    assert!(RotatingFile::open(place, bench.now).is_err());
}

#[test]
fn a_full_disk_is_told_with_the_lines_and_forgotten_when_it_has_room() {
    let mut bench = Bench::new();
    let mut log = bench.open(1000, 2).on_full_disk();
    let unwritten = log.append(b"one\ntwo\n", bench.now).expect_err("no room");
    assert_eq!((unwritten.lines, unwritten.error.kind()), (2, ErrorKind::StorageFull));
    bench.append(&mut log, "three\n");
    bench.check(&[("batch.log", "three\n")]);
}

#[test]
fn when_the_path_is_blocked_the_old_file_is_written_on() {
    let mut bench = Bench::new();
    let mut log = bench.open(10, 1);
    bench.append(&mut log, "12345678\n");
    fs::create_dir(bench.path("batch.log.1")).expect("made");
    bench.now += PACE * 2;
    log.append(b"on\n", bench.now).expect("written");
    assert!(log.trouble().is_some());
    assert_eq!(fs::read_to_string(bench.path("batch.log")).expect("there"), "12345678\non\n");
    bench.now += PACE;
    log.reopen(bench.now);
    assert!(log.trouble().is_some(), "a look at the path does not end the trouble, which is told only once");
    fs::remove_dir(bench.path("batch.log.1")).expect("removed");
    bench.append(&mut log, "off\n");
    bench.check(&[("batch.log", "off\n"), ("batch.log.1", "12345678\non\n")]);
}
