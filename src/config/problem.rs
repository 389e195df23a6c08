//! What is wrong with a file, where, and what to do about it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most problems that are kept; the rest is counted.
const MAX_KEPT: usize = 1_000;

/// The most characters of a text from the file that a message repeats.
const MAX_ECHO: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// Never wrong, but often not meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// Bytes of the source.
    pub span: Range<usize>,
    /// Lowercase; names the key, what was found and what is allowed. Safe to print.
    pub message: String,
    /// What stands below the excerpt.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
    /// Other places that matter, such as the first of two definitions.
    pub also: Vec<(Range<usize>, String)>,
}

impl Problem {
    pub(super) fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span, message: message.into(), label: None, help: None, also: Vec::new() }
    }

    pub(super) fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also.push((span, label.into()));
        self
    }
}

/// The problems of one file, by position, with the source that their spans refer to.
#[derive(Clone, Debug)]
pub struct Problems {
    /// As the user wrote it.
    pub(super) path: PathBuf,
    pub(super) source: Arc<[u8]>,
    pub(super) list: Vec<Problem>,
    /// Problems that were found but not kept.
    pub(super) dropped: usize,
    /// Those of the files that this one includes, in order.
    pub(super) included: Vec<Problems>,
}

impl Problems {
    /// Puts the problems in the order of the file.
    pub fn new(path: &Path, source: &[u8], mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.span.start);
        Self { path: path.to_owned(), source: source.into(), list, dropped: 0, included: Vec::new() }
    }

    /// Adds those of the files that this one includes.
    pub(super) fn with_included(mut self, included: Vec<Self>) -> Self {
        self.included = included;
        self
    }

    /// Adds one to those of the file itself.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
        self.list.sort_by_key(|problem| problem.span.start);
    }

    /// These of the file itself, then those of each file it includes.
    pub fn files(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.included)
    }

    /// The file, as the user wrote it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text that the spans refer to.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Those of the file itself.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many problems there are, those not kept included.
    pub fn count(&self) -> usize {
        self.own_count() + self.included.iter().map(Self::own_count).sum::<usize>()
    }

    pub(super) fn own_count(&self) -> usize {
        self.list.len() + self.dropped
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The line and the column, in characters, of the problem's start; both from 1.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let (line, start) = self.line_of(problem.span.start);
        let offset = problem.span.start.min(self.source.len());
        (line, String::from_utf8_lossy(&self.source[start..offset]).chars().count() + 1)
    }

    /// One line a problem, `jobs.toml:3:1: unknown key …`, as the log and `batchd status` show them.
    pub fn one_line(&self) -> Vec<String> {
        self.files().flat_map(Self::own_lines).collect()
    }

    fn own_lines(&self) -> Vec<String> {
        let path = escaped(&self.path.to_string_lossy());
        let line = |problem: &Problem| {
            let (line, column) = self.position(problem);
            format!("{path}:{line}:{column}: {}", problem.message)
        };
        let mut lines: Vec<String> = self.list.iter().take(super::render::MAX_SHOWN).map(line).collect();
        let more = self.own_count() - lines.len();
        if more > 0 {
            lines.push(format!("{path}: … and {more} more"));
        }
        lines
    }

    /// The line of a byte offset, from 1, and where it starts.
    pub(super) fn line_of(&self, offset: usize) -> (usize, usize) {
        let before = &self.source[..offset.min(self.source.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        (line, before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1))
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.one_line().join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects what one pass over a file finds.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) list: Vec<Problem>,
    dropped: usize,
    errors: usize,
    /// Templates found good in any job, so that ten thousand equal ones are compiled once.
    pub(super) checked_templates: HashSet<String>,
    /// What the host said of users and groups, by kind and name: many jobs name the same.
    pub(super) accounts: HashMap<(&'static str, String), Result<Option<u32>, String>>,
}

impl Report {
    pub(super) fn push(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.list.len() < MAX_KEPT {
            self.list.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// The same problem at the same place is told once: a default is looked at with each job that has it.
    pub(super) fn once(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.push(problem);
        }
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Problem::error(span, message));
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub(super) fn into_problems(self, path: &Path, source: &[u8]) -> Problems {
        Problems { dropped: self.dropped, ..Problems::new(path, source, self.list) }
    }
}

/// A place of a file for people: `jobs.toml:3:1`.
pub(super) fn place_of(path: &Path, source: &str, offset: usize) -> String {
    let file = Problems::new(path, source.as_bytes(), Vec::new());
    let (line, start) = file.line_of(offset);
    format!("{}:{line}:{}", escaped(&path.to_string_lossy()), source.get(start..offset).map_or(1, |text| text.chars().count() + 1))
}

/// Whether a character changes how its surroundings look, or cannot be seen at all.
pub(super) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text from outside, whole, with all that cannot be seen escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) { safe.extend(character.escape_default()) } else { safe.push(character) }
    }
    safe
}

/// A text from outside as a message repeats it: escaped, and cut to [`MAX_ECHO`] characters.
pub(super) fn shown(text: &str) -> String {
    let mut rest = text.char_indices().skip(MAX_ECHO);
    match rest.next() {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// The candidate most like the given word, where one is like enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LEAST_LIKENESS: f64 = 0.7;
    const LONGEST_WORD: usize = 64;
    if word.len() > LONGEST_WORD {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(&candidate.to_lowercase().replace('-', "_"), &word);
    let liked = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    liked.filter(|(likeness, _)| *likeness >= LEAST_LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}
