//! The documentation, run: what README.md and docs/ show is what the program takes and says.
//!
//! - A ```` ```toml ```` block is a whole `jobs.toml`, or, when it begins with `# fragment`, keys of one job. `batchd check` must
//!   accept it without a warning. A whole one also begins a new site, for the sessions below it.
//! - A ```` ```console ```` block is a session in that site; above the first whole block, in one with the sample, the project's own
//!   `jobs.toml`. Each line after `$ ` is run by a shell, and must print what is shown. `$ batchd daemon &` starts a daemon,
//!   whose log must have the lines shown.
//!
//! In a session `…` stands for any text, alone on a line for any lines. Times, durations, process ids and the width of columns
//! may differ.

use std::fs;
use std::path::Path;
use std::process::Command;

use regex::{Captures, Regex};

use super::site::{Daemon, Site, text};

/// The log is written beside the work: a line may come a moment after the command that led to it.
const LOG_LOOKS: usize = 200;

/// A fenced block of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// `README.md:12`, the line of its first fence.
    place: String,
    pub(crate) text: String,
}

/// A command of a session, with what it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: String,
}

#[test]
fn the_readme_is_true() {
    follow(&["README.md"], 2, 6);
}

#[test]
fn the_documentation_is_true() {
    let mut documents: Vec<String> = fs::read_dir(root().join("docs"))
        .expect("docs")
        .map(|entry| format!("docs/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    follow(&documents.iter().map(String::as_str).collect::<Vec<_>>(), 6, 3);
}

#[test]
fn the_sample_is_valid() {
    let sample = fs::read_to_string(root().join("jobs.toml")).expect("the sample");
    Site::bare(&sample).ask(&["check", "--deny-warnings"]);
}

/// What the README says is not supported yet is refused in these words: neither ignored nor supported meanwhile.
#[test]
fn what_is_not_there_yet_is_refused() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let list = readme.split("*not supported yet*").nth(1).and_then(|rest| rest.split('.').next()).expect("a sentence");
    let (tables, keys) = list.split_once("keys of a job").expect("tables, then keys");
    let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let (tables, keys) = (quoted(tables), quoted(keys));
    assert!(!tables.is_empty() && !keys.is_empty(), "{tables:?} {keys:?}");
    let job = "[jobs.a]\nschedule = \"manual\"\ncommand = [\"true\"]\n";
    let inside: String = keys.iter().flat_map(|key| [key.as_ref(), " = 1\n"]).collect();
    let outside: String = tables.iter().flat_map(|table| ["[", table.as_ref(), "]\n"]).collect();
    let output = Site::bare(&format!("{job}{inside}{outside}")).batchd(&["check", "--json"]);
    let said = text(&output.stdout);
    for name in tables.iter().chain(&keys) {
        assert!(said.contains(&format!("`{name}` is not supported yet")), "{name}: {said}");
    }
}

/// Checks every block of the documents, of which there are at least so many: a parser that finds none proves nothing.
#[track_caller]
fn follow(documents: &[&str], least_files: usize, least_sessions: usize) {
    let (mut files, mut sessions) = (0, 0);
    for document in documents {
        let mut stage = Stage::open(&fs::read_to_string(root().join("jobs.toml")).expect("the sample"));
        for block in blocks(document, &fs::read_to_string(root().join(document)).expect("a document")) {
            match block.language.as_str() {
                "toml" => {
                    check_file(&block);
                    files += 1;
                    if !is_fragment(&block.text) {
                        stage = Stage::open(&block.text);
                    }
                }
                "console" => {
                    stage.play(&block);
                    sessions += 1;
                }
                "python" => check_python(&block),
                // Rust is compiled and run by cargo, as tests of the documentation. The others are commands for the reader's own
                // machine, layouts, JSON: not ours to run.
                "rust" | "rust,no_run" | "sh" | "text" | "json" | "ini" => {}
                other => panic!("{}: a block in `{other}`: nothing says how to check it", block.place),
            }
        }
    }
    assert!(files >= least_files && sessions >= least_sessions, "{documents:?}: {files} files, {sessions} sessions");
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a document, in order.
pub(crate) fn blocks(name: &str, document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
        let text = body.flat_map(|line| [line, "\n"]).collect();
        blocks.push(Block { language: language.to_owned(), place: format!("{name}:{}", number + 1), text });
    }
    blocks
}

fn is_fragment(text: &str) -> bool {
    text.starts_with("# fragment")
}

/// The file must be valid, and nothing in it suspicious.
#[track_caller]
fn check_file(block: &Block) {
    let site = Site::bare(&if is_fragment(&block.text) { job_around(&block.text) } else { block.text.clone() });
    let output = site.batchd(&["check", "--deny-warnings"]);
    assert!(output.status.success(), "{}: {}", block.place, text(&output.stderr));
}

/// Python must be able to read it; what it imports need not be there.
#[track_caller]
fn check_python(block: &Block) {
    let mut python = Command::new("python3");
    let output = python.args(["-c", "import sys; compile(sys.argv[1], 'block', 'exec')", &block.text]).output().expect("python3 runs");
    assert!(output.status.success(), "{}: {}", block.place, text(&output.stderr));
}

/// A job with these keys, and with those that every job needs.
fn job_around(fragment: &str) -> String {
    let keys: toml::Table = fragment.parse().unwrap_or_default();
    let has_work = ["command", "shell", "http", "handler"].iter().any(|key| keys.contains_key(*key));
    let schedule = if keys.contains_key("schedule") { "" } else { "schedule = \"manual\"\n" };
    let work = if has_work { "" } else { "command = [\"/bin/true\"]\n" };
    format!("[jobs.fragment]\n{schedule}{work}{fragment}")
}

/// Where sessions are played: a site, and the daemon that one of them started.
struct Stage {
    site: Site,
    daemon: Option<Daemon>,
}

impl Stage {
    /// The log also goes to the console, as it does in the terminal of a reader.
    fn open(jobs: &str) -> Self {
        let console = if jobs.contains("[log]") {
            jobs.replace("[log]", "[log]\nconsole = true")
        } else {
            format!("{jobs}\n[log]\nconsole = true\n")
        };
        Self { site: Site::bare(&console), daemon: None }
    }

    #[track_caller]
    fn play(&mut self, block: &Block) {
        for step in steps(&block.text) {
            match step.command.as_str() {
                "batchd daemon &" => self.start(&step),
                _ => play_step(block, &step, |command| self.site.shell(command)),
            }
        }
    }

    /// Each line shown must come, in this order; others may come between them.
    fn start(&mut self, step: &Step) {
        let mut daemon = self.site.start();
        for line in step.shown.lines().filter(|line| line.trim() != "…") {
            let pattern = pattern(line);
            while !pattern.is_match(&normal(&daemon.line(""))) {}
        }
        self.daemon = Some(daemon);
    }
}

/// Plays a session without a daemon by what a line prints.
#[track_caller]
pub(crate) fn play(block: &Block, shell: impl Fn(&str) -> String) {
    for step in steps(&block.text) {
        play_step(block, &step, &shell);
    }
}

#[track_caller]
fn play_step(block: &Block, step: &Step, shell: impl Fn(&str) -> String) {
    check_step(&block.place, step, || shell(&step.command));
}

/// The commands of a session.
fn steps(session: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in session.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: String::new() }),
            (None, Some(step)) => step.shown.extend([line, "\n"]),
            (None, None) => panic!("a session begins with `$ `, not with {line:?}"),
        }
    }
    steps
}

#[track_caller]
fn check_step(place: &str, step: &Step, run: impl Fn() -> String) {
    let pattern = pattern(&step.shown);
    let looks = if step.command.starts_with("batchd logs") { LOG_LOOKS } else { 1 };
    let mut printed = String::new();
    for _ in 0..looks {
        printed = run();
        if pattern.is_match(&normal(&printed)) {
            return;
        }
    }
    panic!("{place}: `{}` shows\n{}\nbut prints\n{printed}", step.command, step.shown);
}

/// What a text must look like, after [`normal`], to be the one shown.
fn pattern(shown: &str) -> Regex {
    let escaped = regex::escape(&normal(shown));
    let lines: String =
        escaped.lines().map(|line| if line == "…" { "(?:.*\n)*?".to_owned() } else { format!("{}\n", line.replace('…', ".*?")) }).collect();
    Regex::new(&format!("^{lines}$")).expect("an escaped text is a pattern")
}

/// The text with what differs from run to run replaced.
pub(crate) fn normal(text: &str) -> String {
    const VARYING: [(&str, &str); 6] = [
        (r"\d{8}T\d{6}(\.\d+)?Z", "TIME"),
        (r"(\b\w{3} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"),
        (r"\b(in )?\d+(\.\d+)? ?(ms|s|min|m|h|d)( \d+(m|h|s))?( ago)?\b", "SPAN"),
        (r"\bnow\b", "SPAN"),
        (r"\bpid \d+", "pid N"),
        (r"\([0-9a-f]{16}\)", "(HASH)"),
    ];
    let mut normal = text.to_owned();
    for (pattern, replacement) in VARYING {
        normal = Regex::new(pattern).expect("a pattern").replace_all(&normal, replacement).into_owned();
    }
    let blanks = Regex::new("(?m) +$|(\\S) +").expect("a pattern");
    let narrow =
        blanks.replace_all(&normal, |found: &Captures<'_>| found.get(1).map_or(String::new(), |last| format!("{} ", last.as_str())));
    narrow.trim_end().lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

#[test]
fn blocks_are_found_where_they_stand() {
    let found = blocks("A.md", "text\n```toml\na = 1\n```\n\n```console\n$ x\ny\n```\n");
    let block = |language: &str, place: &str, text: &str| Block { language: language.into(), place: place.into(), text: text.into() };
    assert_eq!(found, [block("toml", "A.md:2", "a = 1\n"), block("console", "A.md:6", "$ x\ny\n")]);
}

#[test]
fn a_session_that_is_not_true_is_seen() {
    for (shown, printed, is_true) in [
        ("a\nb\n", "a\nb\n", true),
        ("a\n", "a\nb\n", false),
        ("a\n…\n", "a\nb\nc\n", true),
        ("…\nc\n", "a\nb\n", false),
        ("run took 5ms, 3/3\n", "run took 1.2s, 3/3\n", true),
        ("run took 5ms, 3/3\n", "run took 5ms, 2/3\n", false),
        ("x@20260101T000000Z failed\n", "x@20271231T235959.123456Z failed\n", true),
        ("exit code 2: …\n", "exit code 2: no such file\n", true),
        ("exit code 2: …\n", "exit code 1: no such file\n", false),
        ("job  schedule\n", "job        schedule   \n", true),
        ("in 18h 31m)\n", "in 4s)\n", true),
    ] {
        assert_eq!(pattern(shown).is_match(&normal(printed)), is_true, "{shown:?} {printed:?}");
    }
}
