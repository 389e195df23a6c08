//! One line of the log, as text or JSON, and whether it belongs to what is asked for. This alone knows the log's format:
//!
//! ```text
//! 2026-11-23 20:36:12.345+09:00 INFO  [job=cleanup run=… partial="two words"] message key=value
//! ```

use serde::{Deserialize, Serialize};

use crate::cli::escape::escape;
use crate::cli::print::Tone;

/// What can be told of a line. A line that is none of ours is all message.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct LogLine {
    time: Option<String>,
    level: Option<String>,
    job: Option<String>,
    run: Option<String>,
    partial: Option<String>,
    message: String,
}

/// Which lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter<'a> {
    /// A job or a run.
    pub(super) subject: Option<&'a str>,
    /// A target's key.
    pub(super) target: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether the line belongs to what is asked for.
    pub(super) fn passes(&self, line: &str) -> bool {
        if self.subject.is_none() && self.target.is_none() {
            return true;
        }
        let line = LogLine::read(line);
        self.subject.is_none_or(|subject| line.belongs_to(subject))
            && self.target.is_none_or(|target| line.partial.is_some_and(|partial| names(&partial, target)))
    }
}

impl LogLine {
    pub(in crate::cli) fn read(line: &str) -> Self {
        let read = if line.starts_with('{') { serde_json::from_str(line).ok() } else { read_text(line) };
        read.unwrap_or_else(|| Self { message: line.to_owned(), ..Self::default() })
    }

    /// A line that a partial wrote.
    pub(super) fn of_partial(job: &str, run: &str, partial: Option<&str>, message: &str) -> Self {
        let (job, run, partial) = (Some(job.to_owned()), Some(run.to_owned()), partial.map(str::to_owned));
        Self { job, run, partial, message: message.to_owned(), ..Self::default() }
    }

    /// What its level means.
    pub(in crate::cli) fn tone(&self) -> Option<Tone> {
        match self.level.as_deref() {
            Some("ERROR") => Some(Tone::Bad),
            Some("WARN") => Some(Tone::Doubtful),
            _ => None,
        }
    }

    /// `seoul| the line`, safe to show; without a partial only the line.
    pub(super) fn to_text(&self) -> String {
        let partial = self.partial.as_deref().map(|partial| format!("{}| ", escape(partial))).unwrap_or_default();
        format!("{partial}{}", escape(&self.message))
    }

    /// An object on one line.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings are always JSON")
    }

    /// By its job, or its run's name or the beginning of it.
    fn belongs_to(&self, subject: &str) -> bool {
        let is_run = |run: &String| names(run, subject) || (subject.contains('@') && run.starts_with(subject));
        self.job.as_ref().is_some_and(|job| names(job, subject)) || self.run.as_ref().is_some_and(is_run)
    }
}

/// Whether a value of the log is this name: as it is, or with its control characters made visible.
fn names(value: &str, name: &str) -> bool {
    value == name || value == escape(name)
}

fn read_text(line: &str) -> Option<LogLine> {
    let mut parts = line.splitn(3, ' ');
    let (date, clock, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (level, rest) = rest.split_once(' ')?;
    let mut read = LogLine { time: Some(format!("{date}T{clock}")), level: Some(level.to_owned()), ..LogLine::default() };
    let rest = rest.trim_start();
    let message = if is_subject(rest) { read_subject(rest, &mut read)? } else { rest };
    message.clone_into(&mut read.message);
    Some(read)
}

fn is_subject(rest: &str) -> bool {
    ["[job=", "[run=", "[partial="].iter().any(|start| rest.starts_with(start))
}

/// Reads `[name=value …] ` and returns what follows.
fn read_subject<'a>(text: &'a str, line: &mut LogLine) -> Option<&'a str> {
    let mut rest = text.strip_prefix('[')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = read_value(after)?;
        match name {
            "job" => line.job = Some(value),
            "run" => line.run = Some(value),
            "partial" => line.partial = Some(value),
            _ => {}
        }
        match after.strip_prefix(' ') {
            Some(next) => rest = next,
            None => return Some(after.strip_prefix(']')?.trim_start()),
        }
    }
}

/// A value, bare or quoted, and what follows.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ']'])?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => match chars.next()? {
                (_, quoted @ ('"' | '\\')) => value.push(quoted),
                (_, other) => value.extend(['\\', other]),
            },
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "2026-11-23 20:36:12.345+09:00 WARN  [job=cleanup run=cleanup@2026 partial=eu] failed exit=1";

    #[test]
    fn a_line_of_text_has_parts() {
        let line = LogLine::read(PLAIN);
        assert_eq!((line.time.as_deref(), line.level.as_deref()), (Some("2026-11-23T20:36:12.345+09:00"), Some("WARN")));
        assert_eq!(
            (line.job.as_deref(), line.run.as_deref(), line.partial.as_deref()),
            (Some("cleanup"), Some("cleanup@2026"), Some("eu"))
        );
        assert_eq!(line.message, "failed exit=1");
    }

    #[test]
    fn quoted_values_are_unquoted() {
        let line = LogLine::read(r#"d t INFO  [partial="a \"b\" ] \\c\n"] m"#);
        assert_eq!((line.partial.as_deref(), line.message.as_str()), (Some("a \"b\" ] \\c\\n"), "m"));
    }

    #[test]
    fn other_lines_are_all_message() {
        for text in ["Traceback", "{not json", "d t INFO  [job=\"open", ""] {
            assert_eq!(LogLine::read(text), LogLine { message: text.to_owned(), ..LogLine::default() });
        }
        assert_eq!(LogLine::read(r"d t INFO  \[job=forged] m").job, None);
    }

    #[track_caller]
    fn check(line: &str, subject: Option<&str>, target: Option<&str>, passes: bool) {
        assert_eq!(Filter { subject, target }.passes(line), passes, "{subject:?} {target:?}: {line}");
    }

    #[test]
    fn lines_belong_to_job_run_and_target() {
        check(PLAIN, None, None, true);
        check(PLAIN, Some("cleanup"), None, true);
        check(PLAIN, Some("clean"), None, false);
        check(PLAIN, Some("cleanup@20"), None, true);
        check(PLAIN, Some("cleanup@2026"), Some("eu"), true);
        check(PLAIN, Some("cleanup"), Some("us"), false);
        check("d t INFO  ready", Some("cleanup"), None, false);
        check(r#"d t INFO  [job=a partial="x\ny"] m"#, None, Some("x\ny"), true);
    }

    #[test]
    fn json_lines_are_filtered_alike() {
        let line = r#"{"time":"t","level":"INFO","job":"cleanup","run":"r","partial":"eu","message":"m","attempt":1}"#;
        check(line, Some("cleanup"), Some("eu"), true);
        check(line, Some("other"), None, false);
    }
}
