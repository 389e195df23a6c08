//! A `jobs.toml` in the making: jobs with their keys, and what there is to say about them.
//!
//! Every job is read by [`config::parse`] before it is taken in. One that is refused becomes a comment with the reason, so that
//! whatever comes in, what goes out is valid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::finding::{Finding, Findings, Place, Topic};
use super::name::Names;
use crate::config::{self, Context, Host};
use crate::schedule::Zone;

/// An inline table that makes its line longer than this is written as dotted keys.
const MAX_LINE: usize = 120;

/// What an import makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// A valid `jobs.toml`; comments only when there are no jobs.
    pub toml: String,
    /// The names of the jobs, in the order of the file.
    pub jobs: Vec<String>,
    /// How many entries stand in it as comments, because they cannot be said.
    pub left_out: usize,
    /// What changes its meaning, once each.
    pub findings: Vec<Finding>,
}

/// A value as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
    /// Already TOML.
    Raw(String),
}

/// A key of a job, its value, and a remark behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) value: Value,
    pub(super) remark: Option<String>,
}

impl Setting {
    pub(super) fn new(key: &'static str, value: Value) -> Self {
        Self { key, value, remark: None }
    }

    pub(super) fn text(key: &'static str, text: impl Into<String>) -> Self {
        Self::new(key, Value::Text(text.into()))
    }

    pub(super) fn remark(self, remark: impl Into<String>) -> Self {
        Self { remark: Some(remark.into()), ..self }
    }
}

/// An entry on its way to become a job.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) source: String,
    pub(super) line: usize,
    /// The entry as it stood there, for the comment that it becomes when it is refused.
    pub(super) original: String,
    /// Comments that stood above it.
    pub(super) comments: Vec<String>,
    /// What to call the job; made valid and unique.
    pub(super) name: String,
    pub(super) settings: Vec<Setting>,
    pub(super) findings: Vec<(Topic, String)>,
}

#[derive(Clone, Debug)]
enum Block {
    Job { name: String, comments: Vec<String>, settings: Vec<Setting> },
    Comments(Vec<String>),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    top: Vec<String>,
    /// What every job gets.
    defaults: Vec<Setting>,
    blocks: Vec<Block>,
    names: Names,
    left_out: usize,
    findings: Findings,
}

impl Sheet {
    /// With the comment at its top.
    pub(super) fn new(top: Vec<String>) -> Self {
        Self { top, ..Self::default() }
    }

    /// What every job gets that does not say otherwise.
    pub(super) fn default_setting(&mut self, setting: Setting) {
        self.defaults.push(setting);
    }

    /// Comments that belong to no entry.
    pub(super) fn comments(&mut self, lines: Vec<String>) {
        if lines.iter().any(|line| !line.is_empty()) {
            self.blocks.push(Block::Comments(lines));
        }
    }

    /// Something about everything.
    pub(super) fn note(&mut self, topic: Topic, message: impl Into<String>) {
        self.findings.add(topic, message, None);
    }

    /// Takes an entry in: as a job, or, when it cannot be said, as a comment.
    pub(super) fn entry(&mut self, entry: Entry) {
        let name = self.names.take(&entry.name);
        match refusal(&name, &entry.settings) {
            None => {
                let place = Place { source: entry.source, line: entry.line, job: Some(name.clone()) };
                for (topic, message) in entry.findings {
                    self.findings.add(topic, message, Some(&place));
                }
                self.blocks.push(Block::Job { name, comments: entry.comments, settings: entry.settings });
            }
            Some(reason) => {
                self.names.give_back(&name);
                let reason = match entry.findings.iter().find(|(topic, _)| *topic == Topic::Schedule) {
                    Some((_, message)) => format!("{reason}; {message}"),
                    None => reason,
                };
                self.left_out(&entry.source, entry.line, &entry.original, entry.comments, &reason);
            }
        }
    }

    /// An entry that stays a comment.
    pub(super) fn left_out(&mut self, source: &str, line: usize, original: &str, mut comments: Vec<String>, reason: &str) {
        comments.push(format!("# left out: {reason}"));
        comments.extend(original.lines().map(|line| format!("# {line}")));
        self.blocks.push(Block::Comments(comments));
        self.left_out += 1;
        self.findings.add(Topic::LeftOut, reason, Some(&Place { source: source.to_owned(), line, job: None }));
    }

    /// The file and the findings; the same finding of several entries is one.
    pub(super) fn finish(mut self) -> Imported {
        self.hoist();
        let mut toml = String::new();
        push_comments(&self.top, &mut toml);
        let jobs: Vec<String> = self.blocks.iter().filter_map(Block::name).map(str::to_owned).collect();
        if !self.defaults.is_empty() && !jobs.is_empty() {
            toml.push_str("\n[defaults]\n");
            push_settings(&self.defaults, &mut toml);
        }
        for block in &self.blocks {
            toml.push('\n');
            match block {
                Block::Comments(lines) => push_comments(lines, &mut toml),
                Block::Job { name, comments, settings } => {
                    push_comments(comments, &mut toml);
                    toml.push_str(&header(name));
                    push_settings(settings, &mut toml);
                }
            }
        }
        Imported { toml, jobs, left_out: self.left_out, findings: self.findings.sorted() }
    }

    /// What all jobs have alike goes to `[defaults]`; of `env`, every variable by itself.
    fn hoist(&mut self) {
        const SHARED: [&str; 4] = ["timezone", "user", "cwd", "inherit_env"];
        let mut jobs: Vec<&mut Vec<Setting>> = self.blocks.iter_mut().filter_map(Block::settings).collect();
        let [first, _, ..] = jobs.as_slice() else { return };
        let shared: Vec<Setting> = first.iter().filter(|setting| SHARED.contains(&setting.key)).cloned().collect();
        let shared = shared.into_iter().filter(|setting| jobs.iter().all(|job| job.contains(setting))).collect::<Vec<_>>();
        let mut env = first.iter().find_map(Setting::env).cloned().unwrap_or_default();
        env.retain(|name, value| jobs.iter().all(|job| job.iter().find_map(Setting::env).and_then(|env| env.get(name)) == Some(&*value)));
        for job in &mut jobs {
            job.retain_mut(|setting| match &mut setting.value {
                Value::Table(own) if setting.key == "env" => {
                    own.retain(|name, _| !env.contains_key(name));
                    !own.is_empty()
                }
                _ => !shared.contains(setting),
            });
        }
        self.defaults.extend(shared);
        if !env.is_empty() {
            self.defaults.push(Setting::new("env", Value::Table(env)));
        }
    }
}

impl Block {
    fn name(&self) -> Option<&str> {
        if let Self::Job { name, .. } = self { Some(name) } else { None }
    }

    fn settings(&mut self) -> Option<&mut Vec<Setting>> {
        if let Self::Job { settings, .. } = self { Some(settings) } else { None }
    }
}

impl Setting {
    fn env(&self) -> Option<&BTreeMap<String, String>> {
        match &self.value {
            Value::Table(env) if self.key == "env" => Some(env),
            _ => None,
        }
    }
}

/// A text that the program reads as a template, with its own braces kept as they are; `None` when that cannot be said.
pub(super) fn literal(text: &str) -> Option<String> {
    if !["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
        return Some(text.to_owned());
    }
    if text.contains("endraw") { None } else { Some(format!("{{% raw %}}{text}{{% endraw %}}")) }
}

/// Why the configuration refuses a job of this name with these keys.
fn refusal(name: &str, settings: &[Setting]) -> Option<String> {
    let mut toml = header(name);
    push_settings(settings, &mut toml);
    let context = Context {
        path: PathBuf::from("jobs.toml"),
        base: PathBuf::from("/"),
        system_zone: Zone::utc(),
        handlers: Vec::new(),
        files: |_: &Path| Err("no file is read here".to_owned()),
        matches: |_: &Path, _: &str| Ok(Vec::new()),
        host: Host::any(),
    };
    let problems = config::parse(toml.as_bytes(), &context).err()?;
    let problem = problems.list().first()?;
    Some(match &problem.help {
        Some(help) => format!("{}: {}", problem.message, help.replace('\n', " ")),
        None => problem.message.clone(),
    })
}

fn header(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_bare { format!("[jobs.{name}]\n") } else { format!("[jobs.{}]\n", text(name)) }
}

fn push_comments(lines: &[String], toml: &mut String) {
    for line in lines {
        let line = line.trim_end();
        // TOML has no control characters in comments, and no comment ends in the middle.
        let clean = line.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char });
        match line {
            "" => {}
            line if line.starts_with('#') => toml.extend(clean),
            _ => {
                toml.push_str("# ");
                toml.extend(clean);
            }
        }
        toml.push('\n');
    }
}

fn push_settings(settings: &[Setting], toml: &mut String) {
    for setting in settings {
        push_setting(setting, toml);
    }
}

fn push_setting(Setting { key, value, remark }: &Setting, toml: &mut String) {
    let remark = remark.as_ref().map_or_else(String::new, |remark| format!("    # {remark}"));
    let value = match value {
        Value::Text(value) => text(value),
        Value::List(items) => list(items),
        Value::Table(table) => {
            let pairs: Vec<(String, String)> = table.iter().map(|(name, value)| (bare_or_quoted(name), text(value))).collect();
            let inline = pairs.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
            if inline.len() > MAX_LINE || inline.contains('\n') {
                toml.extend(pairs.iter().flat_map(|(name, value)| [key, ".", name, " = ", value, "\n"]));
                return;
            }
            format!("{{ {inline} }}")
        }
        Value::Raw(value) => value.clone(),
    };
    toml.extend([key, " = ", &value, &remark, "\n"]);
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| text(item)).collect::<Vec<_>>().join(", "))
}

fn bare_or_quoted(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_bare { name.to_owned() } else { text(name) }
}

/// A TOML string, in the form that needs the fewest escapes.
fn text(value: &str) -> String {
    let is_plain = |allowed: &[char]| !value.chars().any(|char| char.is_control() && !allowed.contains(&char));
    let needs_escapes = value.contains(['"', '\\']);
    if !needs_escapes && is_plain(&[]) {
        return format!("\"{value}\"");
    }
    if !value.contains('\'') && is_plain(&['\t']) {
        return format!("'{value}'");
    }
    if value.contains('\n') && is_plain(&['\n', '\t']) && !value.contains("'''") && !value.ends_with('\'') {
        return format!("'''\n{value}'''");
    }
    let mut out = String::from("\"");
    for char in value.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => out.extend(format!("\\u{:04X}", u32::from(char)).chars()),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a text holds, TOML reads the same back.
        #[test]
        fn texts_come_back(value in any::<String>()) {
            let read: toml::Table = format!("a = {}", text(&value)).parse().expect("valid");
            prop_assert_eq!(read["a"].as_str(), Some(value.as_str()));
        }
    }

    #[test]
    fn texts_take_the_form_with_the_fewest_escapes() {
        for (value, written) in [
            ("a b", "\"a b\""),
            ("a 'b'", "\"a 'b'\""),
            ("a \"b\" \\", "'a \"b\" \\'"),
            ("a\n'b' \"c\"\n", "'''\na\n'b' \"c\"\n'''"),
            ("'a' \"b\"", "\"'a' \\\"b\\\"\""),
        ] {
            assert_eq!(text(value), written);
        }
    }

    #[test]
    fn braces_of_a_shell_are_no_template() {
        for (value, written) in [
            ("awk '{print $1}'", Some("awk '{print $1}'")),
            ("echo ${#name}", Some("{% raw %}echo ${#name}{% endraw %}")),
            ("echo '{{' '{% endraw %}'", None),
        ] {
            assert_eq!(literal(value).as_deref(), written);
        }
    }
}
