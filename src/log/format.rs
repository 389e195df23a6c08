//! One event is one line, as text or as JSON.
//!
//! Text has a fixed order, so that the eye and `grep` find things in the same place:
//!
//! ```text
//! 2026-11-23 20:36:12.345+09:00 INFO  [job=cleanup run=01JD partial=eu] message key=value key="two words"
//! 2026-11-23 20:36:12.400+09:00 INFO  [job=cleanup run=01JD partial=eu] stdout| what the program wrote
//! ```
//!
//! What came from outside cannot look like ours: everything passes the escaper, a value with a space, a quote or an equals
//! sign is quoted, a message that begins with `[` gets a backslash, and a line of a program's output follows `stdout| `.

use std::fmt::{self, Write as _};
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::escape;
use super::stamp::Stamp;

/// What belongs to a run: shown first, taken from the event or from the spans around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) job: String,
    pub(super) run: String,
    pub(super) partial: String,
}

impl Subject {
    /// Fills what is still empty from `outer`.
    pub(super) fn inherit(&mut self, outer: &Self) {
        for (own, outer) in [(&mut self.job, &outer.job), (&mut self.run, &outer.run), (&mut self.partial, &outer.partial)] {
            if own.is_empty() {
                own.push_str(outer);
            }
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "job" => Some(&mut self.job),
            "run" => Some(&mut self.run),
            "partial" => Some(&mut self.partial),
            _ => None,
        }
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("job", &self.job), ("run", &self.run), ("partial", &self.partial)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.as_str()))
    }
}

impl Visit for Subject {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(slot) = self.slot(field.name()) {
            slot.clear();
            slot.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(slot) = self.slot(field.name()) {
            slot.clear();
            let _ = write!(slot, "{value:?}");
        }
    }
}

/// The values of one event as they came, not yet escaped. Kept per thread, so that a line costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) subject: Subject,
    /// `stdout` or `stderr` when this is a line of a program's output.
    stream: String,
    message: String,
    /// The texts of all other fields, one after the other.
    text: String,
    fields: Vec<Value>,
}

#[derive(Debug)]
struct Value {
    name: &'static str,
    text: Range<usize>,
    /// Numbers and booleans stand bare in JSON.
    is_literal: bool,
}

impl Values {
    pub(super) fn clear(&mut self) {
        for text in [&mut self.subject.job, &mut self.subject.run, &mut self.subject.partial] {
            text.clear();
        }
        self.stream.clear();
        self.message.clear();
        self.text.clear();
        self.fields.clear();
    }

    /// For lines that no event stands behind.
    pub(super) fn set_message(&mut self, message: fmt::Arguments<'_>) {
        self.message.clear();
        let _ = self.message.write_fmt(message);
    }

    fn record(&mut self, field: &Field, is_literal: bool, value: fmt::Arguments<'_>) {
        let name = field.name();
        let slot = match name {
            "message" => Some(&mut self.message),
            "stream" => Some(&mut self.stream),
            _ => self.subject.slot(name),
        };
        if let Some(slot) = slot {
            slot.clear();
            let _ = slot.write_fmt(value);
            return;
        }
        let start = self.text.len();
        let _ = self.text.write_fmt(value);
        self.fields.push(Value { name, text: start..self.text.len(), is_literal });
    }
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, false, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, true, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, true, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value.is_finite(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, true, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, false, format_args!("{value:?}"));
    }
}

/// Where the time of a line comes from.
pub(super) struct Clocked<'a, Z: FnOnce() -> TimeZone> {
    pub(super) at: Timestamp,
    pub(super) stamp: &'a mut Stamp,
    pub(super) zone: Z,
}

/// Appends the event as one line of text; `colour` for a terminal that shows it.
pub(super) fn push_text<Z: FnOnce() -> TimeZone>(out: &mut String, time: Clocked<'_, Z>, level: Level, values: &Values, colour: bool) {
    let (dim, strong, reset) = if colour { ("\x1b[2m", level_colour(level), "\x1b[0m") } else { ("", "", "") };
    out.push_str(dim);
    time.stamp.push(out, time.at, ' ', time.zone);
    out.push_str(reset);
    out.push(' ');
    out.push_str(strong);
    out.push_str(level_name(level));
    out.push_str(reset);
    if level_name(level).len() < LEVEL_WIDTH {
        out.push(' ');
    }
    let mut open = " [";
    for (name, value) in values.subject.parts() {
        out.push_str(open);
        push_pair(out, name, value);
        open = " ";
    }
    if open == " " {
        out.push(']');
    }
    out.push(' ');
    if !values.stream.is_empty() {
        escape::push(out, &values.stream);
        out.push_str("| ");
    } else if values.message.starts_with('[') {
        out.push('\\');
    }
    escape::push(out, &values.message);
    for value in &values.fields {
        out.push(' ');
        push_pair(out, value.name, &values.text[value.text.clone()]);
    }
    out.push('\n');
}

/// Appends the event as one JSON object on a line of its own.
pub(super) fn push_json<Z: FnOnce() -> TimeZone>(out: &mut String, time: Clocked<'_, Z>, level: Level, values: &Values) {
    out.push_str("{\"time\":\"");
    time.stamp.push(out, time.at, 'T', time.zone);
    out.push_str("\",\"level\":\"");
    out.push_str(level_name(level));
    out.push('"');
    for (name, value) in values.subject.parts().chain([("stream", values.stream.as_str())]) {
        if !value.is_empty() {
            push_member(out, name, value);
        }
    }
    push_member(out, "message", &values.message);
    for value in &values.fields {
        let text = &values.text[value.text.clone()];
        if value.is_literal {
            let _ = write!(out, ",\"{}\":{text}", value.name);
        } else {
            push_member(out, value.name, text);
        }
    }
    out.push_str("}\n");
}

/// The width of the longest level, which shorter ones are padded to.
const LEVEL_WIDTH: usize = 5;

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// `name=value`, quoted where a bare value could be read as more than one.
fn push_pair(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push('=');
    let is_bare = !value.is_empty() && !value.contains(|char: char| char.is_whitespace() || matches!(char, '"' | '=' | '[' | ']' | '\\'));
    if is_bare {
        return escape::push(out, value);
    }
    out.push('"');
    for char in value.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            _ if escape::is_unsafe(char) || char == '\t' => escape::push_escaped(out, char),
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// `,"name":"value"`. What the escaper makes visible is written as `\uNNNN`, so that a reader gets the very text back.
fn push_member(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, ",\"{name}\":\"");
    for char in value.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if escape::is_unsafe(char) => escape::push_json_escaped(out, char),
            _ => out.push(char),
        }
    }
    out.push('"');
}
