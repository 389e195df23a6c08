//! The house rules that no compiler knows, as tests: layers, clocks, pure rooms, file length, words.

use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms it may use. An arrow only goes down, and rooms of one height do not know each other.
const ARROWS: [(&str, &[&str]); 16] = [
    ("schedule", &[]),
    ("config", &["schedule"]),
    ("engine", &["config", "schedule"]),
    ("exchange", &["config", "schedule"]),
    ("audit", &["engine", "config", "schedule"]),
    ("simulate", &["engine", "config", "schedule"]),
    ("log", &["config", "schedule"]),
    ("http", &[]),
    ("memory", &[]),
    ("handler", &["http", "log", "engine", "config", "schedule"]),
    ("store", &["memory", "log", "engine", "config", "schedule"]),
    // What waits to be delivered lies in the store.
    ("notify", &["http", "handler", "store", "log", "engine", "config", "schedule"]),
    // The API shows the views of the store.
    ("web", &["store", "log", "engine", "config", "schedule"]),
    ("runner", &["handler", "log", "engine", "config", "schedule"]),
    ("daemon", &["memory", "runner", "store", "web", "notify", "handler", "http", "log", "engine", "config", "schedule"]),
    (
        "cli",
        &[
            "exchange", "audit", "simulate", "daemon", "runner", "store", "web", "notify", "handler", "http", "log", "engine", "config",
            "schedule",
        ],
    ),
];

/// Rooms that take everything as an argument: no input, output, async, clock or log.
const PURE_ROOMS: [&str; 6] = ["schedule", "config", "engine", "exchange", "audit", "simulate"];
const IMPURE: [&str; 11] =
    ["std::fs", "std::net", "std::process", "std::thread", "std::env", "std::os", "std::io", "tokio", "tracing", "async fn", "rusqlite"];

const WALL_CLOCKS: [&str; 5] = ["Timestamp::now", "SystemTime::now", "ZonedDateTime::now", "Zoned::now", "UNIX_EPOCH.elapsed"];
/// The daemon's decisions hang on the one; the log stamps its lines with the other.
const WALL_CLOCK_READERS: [&str; 2] = ["src/daemon/clock.rs", "src/log/stamp.rs"];
const MONOTONIC_CLOCKS: [&str; 1] = ["Instant::now"];
/// The handler also measures how long a process it stops or drains takes.
const MONOTONIC_CLOCK_READERS: [&str; 4] = ["src/daemon/clock.rs", "src/log/stamp.rs", "src/handler/process/", "src/store/writer"];

const MAX_LINES: usize = 400;
const VAGUE_NAMES: [&str; 6] = ["util", "utils", "common", "manager", "helpers", "misc"];

/// Written in two parts, so that this file does not break the rules it holds.
const FORBIDDEN: [&str; 6] = [
    concat!("#[", "allow("),
    concat!("#![", "allow("),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("unsafe", " {"),
    concat!("unsafe", " fn"),
];
/// System calls that no safe crate has, each with its reason.
const UNSAFE_ROOMS: [&str; 2] = ["src/memory.rs", "src/handler/process/vfork.rs"];
const SLEEPS: [&str; 3] = [concat!("thread::", "sleep"), concat!("time::", "sleep("), concat!("time::{", "sleep")];

struct Source {
    /// From the root of the project, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The first folder or file below `src`: `engine` for `src/engine/fire.rs`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or_default();
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Numbered lines without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The same without the tests at the end of the file.
    fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.lines().position(|line| line == "#[cfg(test)]").filter(|_| self.text.contains("\nmod tests {"));
        let end = if self.is_test() { 0 } else { end.unwrap_or(usize::MAX) };
        self.code().filter(move |(number, _)| *number <= end)
    }

    fn finds<'a>(&'a self, code: impl Iterator<Item = (usize, &'a str)>, words: &[&str]) -> Vec<String> {
        let hits = code.flat_map(|(number, line)| words.iter().filter(|word| line.contains(**word)).map(move |word| (number, *word)));
        hits.map(|(number, word)| format!("{}:{number}: `{word}`", self.path)).collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for top in ["src", "tests"] {
        collect(&root.join(top), root, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the sources are found");
    sources
}

fn collect(directory: &Path, root: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a readable folder") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, root, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable source");
            let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
}

/// Applies one rule to every source and shows all that break it at once.
#[track_caller]
fn check(rule: &str, breaks: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources().iter().flat_map(breaks).collect();
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// The rooms named after `crate::` in a line, also in a group: `crate::{config::Job, log}`.
fn rooms_used(line: &str) -> Vec<&str> {
    line.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => group.split(',').map(first_word).collect(),
            None => vec![first_word(rest)],
        })
        .filter(|word| ARROWS.iter().any(|(room, _)| room == word))
        .collect()
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|char: char| !char.is_alphanumeric() && char != '_').next().unwrap_or_default()
}

#[test]
fn an_arrow_only_goes_down() {
    check("a room uses one it must not know", |source| {
        let room = source.room();
        if room.is_empty() || ["lib", "main"].contains(&room) {
            return Vec::new();
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            return vec![format!("{}: the room `{room}` has no place in the table of arrows", source.path)];
        };
        let used = source.code().flat_map(|(number, line)| rooms_used(line).into_iter().map(move |used| (number, used)));
        let wrong = used.filter(|(_, used)| *used != room && !allowed.contains(used));
        wrong.map(|(number, used)| format!("{}:{number}: `{room}` uses `{used}`", source.path)).collect()
    });
}

#[test]
fn the_arrows_themselves_go_down() {
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        let above = allowed.iter().filter(|used| !ARROWS[..at].iter().any(|(lower, _)| lower == *used));
        assert_eq!(above.count(), 0, "`{room}` points up or nowhere");
    }
}

#[test]
fn pure_rooms_take_everything_as_an_argument() {
    check("a pure room reaches outside", |source| {
        let is_pure = PURE_ROOMS.contains(&source.room());
        if is_pure { source.finds(source.product_code(), &IMPURE) } else { Vec::new() }
    });
}

#[test]
fn clocks_are_read_in_one_place() {
    check("pass the time as an argument", |source| {
        let read = |clocks: &[&str], readers: &[&str]| {
            let may_read = readers.iter().any(|reader| source.path.starts_with(reader));
            if may_read { Vec::new() } else { source.finds(source.product_code(), clocks) }
        };
        [read(&WALL_CLOCKS, &WALL_CLOCK_READERS), read(&MONOTONIC_CLOCKS, &MONOTONIC_CLOCK_READERS)].concat()
    });
}

#[test]
fn files_stay_short_and_open_with_their_purpose() {
    check("split the file, or say at its top what it is for", |source| {
        let lines = source.text.lines().count();
        let mut found = Vec::new();
        if lines > MAX_LINES && source.path.starts_with("src/") {
            found.push(format!("{}: {lines} lines, at most {MAX_LINES}", source.path));
        }
        if !source.text.starts_with("//!") {
            found.push(format!("{}: no `//!` on the first line", source.path));
        }
        found
    });
}

#[test]
fn no_name_is_vague() {
    check("name the module after what it holds", |source| {
        let is_vague = |part: &str| VAGUE_NAMES.contains(&part.trim_end_matches(".rs"));
        if source.path.split('/').any(is_vague) { vec![source.path.clone()] } else { Vec::new() }
    });
}

#[test]
fn nothing_is_left_undone_silenced_or_unsafe() {
    check("finish it, use #[expect] with a reason, or find a safe way", |source| {
        let exempt = UNSAFE_ROOMS.contains(&source.path.as_str());
        source.finds(source.code(), &FORBIDDEN).into_iter().filter(|found| !exempt || !found.contains("unsafe")).collect()
    });
}

#[test]
fn no_test_sleeps() {
    check("wait for an event or move a virtual clock", |source| {
        let product_end = source.product_code().map(|(number, _)| number).last().unwrap_or(0);
        source.finds(source.code().filter(|(number, _)| *number > product_end), &SLEEPS)
    });
}

#[test]
fn the_rules_find_what_they_forbid() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let engine = source("src/engine/fire.rs", "//! Doc.\nuse std::fs;\n// std::net\n#[cfg(test)]\nmod tests {\nuse std::env;\n}\n");
    assert_eq!(engine.room(), "engine");
    assert_eq!(engine.finds(engine.product_code(), &IMPURE), ["src/engine/fire.rs:2: `std::fs`"]);
    assert_eq!(rooms_used("use crate::{config::Job, log}; crate::store::Store, crate::Anything"), ["config", "log", "store"]);
    let test = source("src/log/tests.rs", "//! Doc.\nInstant::now();\n");
    assert_eq!(test.product_code().count(), 0);
}
