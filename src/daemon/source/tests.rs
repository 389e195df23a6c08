//! Files that must be refused and files that must be accepted, through the very reading that the daemon does.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{LoadError, SourceError, is_another, load, read};

/// What is expected of the message about one bad file.
#[derive(Deserialize)]
struct Expected {
    file: String,
    #[serde(default)]
    must_mention: Vec<String>,
    #[serde(default)]
    must_not_mention: Vec<String>,
    line: Option<usize>,
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/badconfig")
}

fn index(folder: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(folder.join("index.jsonl")).expect("the index of the samples");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of the index")).collect()
}

/// What the message lacks, or `None` when it says all that is expected.
fn complaint(folder: &Path, expected: &Expected) -> Option<String> {
    let problems = match load(&folder.join(&expected.file), &[]) {
        Err(LoadError::Invalid(problems)) => problems,
        Err(error @ (LoadError::Source(_) | LoadError::Exposed(_))) => return Some(error.to_string()),
        Ok(_) => return Some("is accepted".to_owned()),
    };
    let text = problems.render(false).replace(&expected.file, "FILE");
    let lower = text.to_lowercase();
    let lacks = expected.must_mention.iter().filter(|word| !lower.contains(&word.to_lowercase())).map(|word| format!("lacks `{word}`"));
    let raw = expected.must_not_mention.iter().filter(|word| text.contains(*word)).map(|word| format!("repeats {word:?}"));
    let places: Vec<_> = problems.list().iter().map(|problem| problems.position(problem)).collect();
    let line = expected.line.filter(|line| !places.iter().any(|place| place.0 == *line)).map(|line| format!("line {line}, not {places:?}"));
    let long = (text.len() > 8_192).then(|| format!("{} bytes", text.len()));
    let all: Vec<String> = lacks.chain(raw).chain(line).chain(long).collect();
    (!all.is_empty()).then(|| format!("{}: {}\n{text}", expected.file, all.join(", ")))
}

#[test]
fn bad_samples_are_refused_with_what_they_should_say() {
    let folder = samples();
    let complaints: Vec<String> = index(&folder).iter().filter_map(|expected| complaint(&folder, expected)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn good_samples_are_accepted() {
    let folder = samples().join("ok");
    for sample in index(&folder) {
        if let Err(error) = load(&folder.join(&sample.file), &[]) {
            panic!("{}: {error}", sample.file);
        }
    }
}

#[test]
fn a_file_of_one_long_line_is_refused_briefly() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("jobs.toml");
    let schedule = "0,".repeat(500_000);
    std::fs::write(&path, format!("[jobs.backup]\nschedule = \"{schedule}\"\ncommand = [\"true\"]\n")).expect("a file");
    let error = load(&path, &[]).expect_err("too long");
    let LoadError::Invalid(problems) = error else { panic!("{error}") };
    assert!(problems.render(true).len() < 8_192);
    assert_eq!(problems.list()[0].message, "`schedule` is too long: 1000000 bytes, at most 65536 are allowed");
    assert_eq!(problems.position(&problems.list()[0]), (2, 12));
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().expect("a directory");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    assert!(matches!(read(&fifo), Err(SourceError::NotAFile { found: "a device, FIFO or socket", .. })));
    assert!(matches!(read(folder.path()), Err(SourceError::NotAFile { found: "a directory", .. })));
    assert!(matches!(read(Path::new("/dev/zero")), Err(SourceError::NotAFile { .. })));
    assert!(matches!(read(&folder.path().join("absent")), Err(SourceError::Io { .. })));
}

#[test]
fn a_file_above_the_limit_is_refused_by_its_size() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("jobs.toml");
    std::fs::File::create(&path).and_then(|file| file.set_len(75 << 20)).expect("a sparse file");
    assert!(matches!(read(&path), Err(SourceError::TooLarge { size: 78_643_200, .. })));
}

#[test]
fn a_file_that_is_written_to_meanwhile_is_seen() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("jobs.toml");
    std::fs::write(&path, "half").expect("written");
    let file = std::fs::OpenOptions::new().append(true).open(&path).expect("there");
    let before = file.metadata().expect("open");
    assert!(!is_another(&before, &file.metadata().expect("open")));
    std::io::Write::write_all(&mut &file, b" and half").expect("written");
    assert!(is_another(&before, &file.metadata().expect("open")));
}
