//! A `[jobs.NAME]` or `[defaults]` table as written: every key optional, every value already of its type.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::field::{Field, fields};
use super::keys::{self, Place, is_job_key, meant, unknown};
use super::latest::Latest;
use super::policy::{self, CatchUpDraft, DstDraft, RetryDraft, StopDraft, each};
use super::problem::{Problem, Report, shown};
use super::process::ProcessDraft;
use super::telling::{self, TellingDraft};
use super::timetable::{self, Zones};
use super::{
    Argument, Context, DeclaredHandler, Expect, Interrupted, JobName, MaxFailures, Overlap, Policies, Process, Rate, Targets, Work, Zone,
    after, args, declared, except, http, targets,
};
use crate::schedule::{Except, Schedule};

/// The most partials of one run at once.
pub(super) const MAX_CONCURRENCY: i64 = 65_536;

/// The most targets of one process.
const MAX_CHUNK: i64 = 10_000;

/// What a file is read with.
pub(super) struct Reader<'a> {
    pub(super) source: &'a str,
    pub(super) context: &'a Context,
    pub(super) report: Report,
    pub(super) zones: Zones,
    /// The `after` lists of the jobs, to be looked at when all jobs are known.
    pub(super) after: Vec<(JobName, Vec<after::Named>)>,
    /// The names of channels, to be looked at when all channels are known.
    pub(super) told: Vec<telling::Named>,
    /// Of the jobs that say nothing of their own about it.
    pub(super) process: Option<Arc<Process>>,
    pub(super) policies: Latest<Policies>,
    pub(super) args: Latest<BTreeMap<String, Argument>>,
}

/// The keys of a table; `None` where the key is absent or was refused.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) description: Option<String>,
    pub(super) schedule: Option<(Vec<String>, Vec<Schedule>)>,
    pub(super) zone: Option<Zone>,
    pub(super) dst: DstDraft,
    pub(super) except: Option<Except>,
    pub(super) after: Option<Vec<after::Named>>,
    pub(super) jitter: Option<Duration>,
    pub(super) enabled: Option<bool>,
    pub(super) work: Option<Work>,
    /// What its handler says of itself.
    pub(super) declared: Option<&'a DeclaredHandler>,
    pub(super) args: BTreeMap<String, Argument>,
    pub(super) targets: Option<Targets>,
    pub(super) target_key: Option<String>,
    pub(super) concurrency: Option<usize>,
    pub(super) chunk: Option<u32>,
    pub(super) canary: Option<u32>,
    pub(super) rate: Option<Rate>,
    pub(super) partial_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: RetryDraft,
    pub(super) max_failures: Option<MaxFailures>,
    pub(super) gather: Option<Vec<String>>,
    pub(super) overlap: Option<Overlap>,
    pub(super) catch_up: CatchUpDraft,
    pub(super) on_interrupted: Option<Interrupted>,
    pub(super) stop: StopDraft,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) env_file: Option<PathBuf>,
    pub(super) inherit_env: Option<Vec<String>>,
    pub(super) output_max_size: Option<u64>,
    pub(super) process: ProcessDraft,
    pub(super) telling: TellingDraft,
    pub(super) expect: Option<Expect>,
    pub(super) ping: Option<String>,
    /// Where the keys that need a second look stand.
    pub(super) written: Written<'a>,
}

/// Keys that are looked at again when the whole table is known.
#[derive(Default)]
pub(super) struct Written<'a> {
    /// The handler keys that are there, usable or not.
    pub(super) handlers: Vec<(&'a str, Range<usize>)>,
    /// Whether something is there that was meant as the schedule.
    pub(super) schedule: bool,
    pub(super) after: bool,
    /// Whether something is there that was meant as the handler, or as another job.
    pub(super) handler: bool,
    pub(super) targets: Option<Field<'a>>,
    pub(super) args: Option<Field<'a>>,
    /// `command`, `shell` and their like, whose strings are templates.
    pub(super) work: Option<Field<'a>>,
    pub(super) gather: Option<Field<'a>>,
    /// Whose values are templates.
    pub(super) env: Option<Field<'a>>,
    pub(super) concurrency: Option<Range<usize>>,
    pub(super) chunk: Option<Range<usize>>,
    /// Of `partial_timeout` or `timeout`, the later one.
    pub(super) timeouts: Option<Range<usize>>,
    retries: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str, context: &'a Context) -> Self {
        Self {
            source,
            context,
            report: Report::default(),
            zones: Zones::default(),
            after: Vec::new(),
            told: Vec::new(),
            process: None,
            policies: Latest::default(),
            args: Latest::default(),
        }
    }

    /// Reads the keys of a job or of the defaults.
    pub(super) fn draft(&mut self, place: Place, table: &'a DeTable<'a>) -> Draft<'a> {
        let mut draft = Draft::default();
        for (key, span, value) in fields(table) {
            let field = Field { name: key, value, source: self.source };
            if place == Place::Defaults && keys::NOT_DEFAULTS.contains(&key) {
                let problem = Problem::error(span, format!("`{key}` cannot have a default"));
                self.report.push(problem.help(format!("write `{key}` in each `[jobs.NAME]`")));
            } else if !self.when(key, &span, field, &mut draft)
                && !self.how(key, field, &mut draft)
                && !self.process(key, field, &mut draft)
            {
                self.stranger(place, key, span, field, &mut draft);
            }
        }
        if let [first, again, ..] = draft.written.retries.as_slice() {
            let problem = Problem::error(again.clone(), "`retries` is short for `retry = { attempts = … }`: keep one of the two");
            self.report.push(problem.also(first.clone(), "the other is here"));
        }
        if let Some(field) = draft.written.args {
            draft.args = args::read(field, draft.declared, &mut self.report);
        }
        if let Some(field) = draft.written.targets {
            draft.targets = targets::read(field, draft.target_key.as_deref(), &mut self.report);
        }
        draft
    }

    /// What to do and when.
    fn when(&mut self, key: &'a str, span: &Range<usize>, field: Field<'a>, draft: &mut Draft<'a>) -> bool {
        let report = &mut self.report;
        match key {
            "description" => draft.description = field.text("write it in quotes", report).map(str::to_owned),
            "schedule" => {
                draft.written.schedule = true;
                draft.schedule = timetable::schedules(field, report);
            }
            "timezone" => draft.zone = self.zones.read(field, report),
            "dst" => draft.dst.read(field, report),
            "after" => {
                draft.written.after = true;
                draft.after = after::read(field, report);
            }
            "except" => draft.except = except::read(field, self.context, report),
            "jitter" => draft.jitter = field.duration(report),
            "enabled" => draft.enabled = field.boolean(report),
            "args" => draft.written.args = Some(field),
            "command" | "shell" | "handler" | "http" => {
                draft.written.handlers.push((key, span.clone()));
                draft.written.handler = true;
                draft.written.work = Some(field);
                draft.work = match key {
                    "command" => argv(field, report).map(Work::Command),
                    "shell" => shell(field, report).map(Work::Shell),
                    "http" => http::read(field, report).map(|http| Work::Http(Arc::new(http))),
                    _ => {
                        draft.declared = declared::find(field, &self.context.handlers, report);
                        draft.declared.map(|declared| Work::Handler(declared.name.clone()))
                    }
                };
            }
            _ => return false,
        }
        true
    }

    /// How a run goes about its partials.
    fn how(&mut self, key: &str, field: Field<'a>, draft: &mut Draft<'a>) -> bool {
        const INTERRUPTED: &[(&str, Interrupted)] =
            &[("resume", Interrupted::Resume), ("fail", Interrupted::Fail), ("rerun", Interrupted::Rerun)];
        let report = &mut self.report;
        match key {
            "targets" => draft.written.targets = Some(field),
            "target_key" => draft.target_key = field.filled("name the field that identifies a target", report).map(str::to_owned),
            "concurrency" => {
                draft.written.concurrency = Some(field.span());
                draft.concurrency = field.integer(1..=MAX_CONCURRENCY, report).and_then(|count| usize::try_from(count).ok());
            }
            "chunk" => {
                draft.written.chunk = Some(field.span());
                draft.chunk = field.integer(1..=MAX_CHUNK, report).and_then(|count| u32::try_from(count).ok());
            }
            "canary" => draft.canary = field.integer(1..=i64::from(Targets::MAX), report).and_then(|count| u32::try_from(count).ok()),
            "rate" => draft.rate = policy::rate(field, report),
            "partial_timeout" => {
                draft.written.timeouts = Some(field.span());
                draft.partial_timeout = field.positive_duration(report);
            }
            "timeout" => {
                draft.written.timeouts = Some(field.span());
                draft.timeout = field.positive_duration(report);
            }
            "retry" => {
                draft.written.retries.push(field.span());
                draft.retry.read(field, report);
            }
            "retries" => {
                draft.written.retries.push(field.span());
                draft.retry.read_retries(field, report);
            }
            "max_failures" => draft.max_failures = policy::max_failures(field, report),
            "gather" => {
                draft.gather = argv(field, report);
                draft.written.gather = Some(field);
            }
            "overlap" => draft.overlap = policy::overlap(field, report),
            "catch_up" => draft.catch_up.read(field, report),
            "on_interrupted" => draft.on_interrupted = field.choice(INTERRUPTED, report),
            "stop" => draft.stop.read(field, report),
            "notify" => draft.telling.read(field, &mut self.told, report),
            "expect" => draft.expect = telling::expect(field, report),
            "ping" => draft.ping = http::read_url(field, report),
            _ => return false,
        }
        true
    }

    /// The process of an attempt.
    fn process(&mut self, key: &str, field: Field<'a>, draft: &mut Draft<'a>) -> bool {
        let report = &mut self.report;
        match key {
            "cwd" => draft.cwd = field.path(&self.context.base, report),
            "env" => {
                draft.env = env(field, report);
                draft.written.env = Some(field);
            }
            "env_file" => draft.env_file = field.path(&self.context.base, report),
            "inherit_env" => draft.inherit_env = env_names(field, report),
            "output" => {
                let Some(table) = field.table("{ max_size = \"1MiB\" }", report) else { return true };
                each(field, table, &["max_size"], report, |_, field, report| draft.output_max_size = field.size(1, report));
            }
            _ => return draft.process.read(key, field, report),
        }
        true
    }

    /// A key that does not belong here; `[jobs.db.backup]` is one as well.
    fn stranger(&mut self, place: Place, key: &str, span: Range<usize>, field: Field<'a>, draft: &mut Draft<'a>) {
        let meant = meant(place, key);
        let holds_job_keys = || field.as_table().is_some_and(|table| table.keys().any(|key| is_job_key(key.get_ref())));
        let nested = place == Place::Job && meant.is_none() && holds_job_keys();
        draft.written.schedule |= nested || meant == Some("schedule");
        draft.written.handler |= nested || matches!(meant, Some("command" | "shell" | "handler" | "http"));
        draft.written.handler |= matches!(key, "worker" | "task" | "manage");
        if nested {
            let name = shown(key);
            let problem = Problem::error(span, format!("`{name}` is a table inside a job: dots in a header nest tables"));
            self.report.push(problem.help(format!("write `[jobs.NAME-{name}]`, or quote the name: `[jobs.\"NAME.{name}\"]`")));
        } else {
            unknown(place, key, span, &mut self.report);
        }
    }
}

/// An argv: a program and its arguments, all strings.
pub(super) fn argv(field: Field<'_>, report: &mut Report) -> Option<Vec<String>> {
    let name = field.name;
    let Some(array) = field.as_array() else {
        let words = field.as_str().unwrap_or("program argument").split_whitespace().take(8);
        let words = words.map(|word| format!("\"{}\"", shown(word).replace('"', "\\\""))).collect::<Vec<_>>().join(", ");
        let or = if name == "command" { ", or use `shell` for a shell command line" } else { "" };
        field.wrong_type("an array of strings, a program and its arguments", &format!("write `{name} = [{words}]`{or}"), report);
        return None;
    };
    if array.is_empty() {
        let problem = Problem::error(field.span(), format!("`{name}` is empty: it names no program"));
        report.push(problem.help(format!("write `{name} = [\"program\", \"argument\"]`")));
        return None;
    }
    let mut argv = Vec::with_capacity(array.len());
    for (index, value) in array.iter().enumerate() {
        let item = field.with(value);
        if item.as_str().is_none() {
            let raw = field.source.get(value.span()).map(shown).unwrap_or_default();
            let problem = Problem::error(value.span(), format!("all elements of `{name}` must be strings, found {}", item.found()));
            report.push(problem.help(format!("write \"{raw}\"")));
            continue;
        }
        let text = if index == 0 { item.filled("name the program", report) } else { item.text("write a string", report) };
        argv.extend(text.map(str::to_owned));
    }
    if let Some(program) = argv.first().filter(|program| program.contains(' ') && !program.contains("{{") && array.len() == 1) {
        let problem = Problem::warning(field.span(), format!("`{name}` names a program with a space in its name: \"{}\"", shown(program)));
        report.push(problem.help("each argument is an element of its own; a command line goes to `shell`"));
    }
    Some(argv)
}

fn shell(field: Field<'_>, report: &mut Report) -> Option<String> {
    let help =
        if field.as_array().is_some() { "write one string, or use `command` for an array" } else { "write a command line in quotes" };
    field.filled(help, report).map(str::to_owned)
}

/// A table of environment variables.
pub(super) fn env(field: Field<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(table) = field.table("{ NAME = \"value\" }", report) else { return env };
    for (key, span, value) in fields(table) {
        if let Some(reason) = bad_env_name(key) {
            report.error(span, format!("`{}` has a variable name that {reason}: \"{}\"", field.name, shown(key)));
        }
        let name = format!("{}.{}", field.name, shown(key));
        let value = Field { name: &name, value, source: field.source };
        let raw = field.source.get(value.span()).map(shown).unwrap_or_default();
        if let Some(text) = value.text(&format!("values are strings: `{} = \"{raw}\"`", shown(key)), report) {
            env.insert(key.to_owned(), text.to_owned());
        }
    }
    env
}

fn env_names(field: Field<'_>, report: &mut Report) -> Option<Vec<String>> {
    let Some(array) = field.as_array() else {
        field.wrong_type("an array of strings", "write `inherit_env = [\"PATH\", \"LANG\"]`", report);
        return None;
    };
    let mut names = Vec::with_capacity(array.len());
    for value in array {
        let Some(name) = field.with(value).filled("name a variable", report) else { continue };
        match bad_env_name(name) {
            Some(reason) => report.error(value.span(), format!("`inherit_env` has a variable name that {reason}: \"{}\"", shown(name))),
            None => names.push(name.to_owned()),
        }
    }
    Some(names)
}

fn bad_env_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        name if name.contains('=') => Some("contains `=`"),
        name if name.contains(char::is_control) => Some("contains a control character"),
        name if name.contains(char::is_whitespace) => Some("contains a space"),
        name if name.starts_with(|first: char| first.is_ascii_digit()) => Some("starts with a digit"),
        name if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            Some("has other characters than letters, digits and `_`")
        }
        _ => None,
    }
}
