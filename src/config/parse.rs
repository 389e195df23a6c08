//! The pass over a file: syntax first, then every table in turn; one run reports everything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::draft::{Draft, MAX_CONCURRENCY, Reader, env};
use super::field::{Field, fields};
use super::include::{self, Document};
use super::keys::{Place, is_job_key, unknown};
use super::names::{bad_name, file_name};
use super::problem::{Problem, Problems, shown};
use super::template_check::{self, NO_ARGS, Scope, Shape};
use super::{
    Config, DaemonConfig, DeclaredHandler, HistoryConfig, Host, Job, JobName, LogConfig, LogFormat, LogLevel, Process, Targets, Work, Zone,
    args, declared, syntax,
};
use crate::schedule::{Schedule, Timetable};

/// Partials of all runs at once, unless configured.
const MAX_PARTIALS: usize = 64;

/// The least size at which the log rotates; below, a few lines would.
const MIN_LOG_SIZE: u64 = 1 << 10;

/// Less captured output would be gone before anybody has read it.
const MIN_HISTORY_SIZE: u64 = 1 << 20;

/// What the text of a configuration does not say by itself.
#[derive(Clone, Debug)]
pub struct Context {
    /// The file as the user wrote it, for messages.
    pub path: PathBuf,
    /// The absolute directory of the file; relative paths start there.
    pub base: PathBuf,
    /// The zone of a file that names none.
    pub system_zone: Zone,
    /// The Rust handlers that the embedding program registered.
    pub handlers: Vec<DeclaredHandler>,
    /// Reads a file that the configuration names, or says why it cannot be read; the path is absolute.
    pub files: fn(&Path) -> Result<Vec<u8>, String>,
    /// The paths that match a pattern, which begins at a directory unless it is absolute.
    pub matches: fn(&Path, &str) -> Result<Vec<PathBuf>, String>,
    pub host: Host,
}

/// Reads a configuration, with the files it includes: all of it usable, with warnings, or all its problems in the order of the files.
///
/// # Errors
/// [`Problems`] holds every problem that one pass finds: those of the syntax when there are any, else those of the contents.
pub fn parse(text: &[u8], context: &Context) -> Result<(Config, Problems), Problems> {
    let source = syntax::text(text).map_err(|refused| Problems::new(&context.path, refused.0, vec![refused.1]))?;
    let (root, problems) = syntax::parse(source);
    if !problems.is_empty() {
        return Err(Problems::new(&context.path, source.as_bytes(), problems));
    }
    let mut reader = Reader::new(source, context);
    let files = include::read(root.get_ref(), source, context, &mut reader.report);
    let documents: Vec<Document<'_>> = files.iter().map(include::document).collect();
    let (config, included) = reader.config(root.get_ref(), &documents);
    let failed = reader.report.has_errors() || included.iter().any(Problems::has_errors);
    let problems = reader.report.into_problems(&context.path, source.as_bytes()).with_included(included);
    match config {
        Some(config) if !failed => Ok((config, problems)),
        _ => Err(problems),
    }
}

impl<'a> Reader<'a> {
    /// The configuration as far as it can be used, and what is to be said of the included files.
    fn config(&mut self, root: &'a DeTable<'a>, documents: &[Document<'_>]) -> (Option<Config>, Vec<Problems>) {
        let get = |name: &str| root.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
        let source = self.source;
        let field = |name: &'static str| get(name).map(|value| Field { name, value, source });
        let daemon = self.daemon(field("daemon"));
        let log = self.log(field("log"));
        let history = self.history(field("history"));
        let table = field("defaults").and_then(|field| field.table("{ … }", &mut self.report));
        let defaults = table.map(|table| self.draft(Place::Defaults, table)).unwrap_or_default();
        let process = self.process_of(&Draft::default(), &daemon, &defaults);
        template_check::work(&defaults, &Shape::Unknown, Scope { process: &process, args: &defaults.args }, &mut self.report);
        self.check_process(&Draft::default(), &defaults);
        let channels = self.channels(field("notify"), &process, &daemon.timezone);
        let known = ["include", "daemon", "log", "history", "notify", "defaults", "jobs"];
        let mut meant_as_jobs = false;
        for (key, span, value) in fields(root) {
            if !known.contains(&key) {
                meant_as_jobs |= self.stray(key, span, Field { name: key, value, source });
            }
        }
        let own = field("jobs");
        if own.is_none() && !meant_as_jobs && field("include").is_none() {
            self.report.push(no_jobs(0));
        }
        let mut jobs = own.map(|field| self.jobs(field, &daemon, &defaults)).unwrap_or_default();
        let included = self.include(root, documents, &daemon, &defaults, &mut jobs);
        (Some(Config { daemon, log, history, channels, jobs }), included)
    }

    /// A table or key at the top that is none of ours; whether it was meant as a job or as the table of jobs.
    fn stray(&mut self, key: &str, span: std::ops::Range<usize>, field: Field<'a>) -> bool {
        let holds = |key: &str| field.as_table().is_some_and(|table| table.keys().any(|name| name.get_ref() == key));
        let looks_like_job = holds("schedule") || holds("command") || holds("shell");
        if field.as_table().is_none() && is_job_key(key) && key != "cron" {
            let problem = Problem::error(span, format!("`{}` stands outside of a table", shown(key)));
            let daemon = if matches!(key, "timezone" | "tz" | "env") { ", or for all jobs in `[daemon]`" } else { "" };
            self.report.push(problem.help(format!("`{}` belongs in `[jobs.NAME]`, below that header{daemon}", shown(key))));
            return true;
        }
        if looks_like_job {
            let name = shown(key);
            let problem = Problem::error(span, format!("unknown table `{name}`, which looks like a job"));
            self.report.push(problem.help(format!("did you mean `[jobs.{name}]`?")));
            return true;
        }
        unknown(Place::Top, key, span, &mut self.report);
        super::keys::meant(Place::Top, key) == Some("jobs")
    }

    fn daemon(&mut self, field: Option<Field<'a>>) -> DaemonConfig {
        let mut daemon = DaemonConfig {
            timezone: self.context.system_zone.clone(),
            state_dir: self.context.base.join("state"),
            max_partials: MAX_PARTIALS,
            drain_timeout: Duration::from_secs(30),
            env: BTreeMap::new(),
            credentials_dir: None,
        };
        let Some(table) = field.and_then(|field| field.table("{ … }", &mut self.report)) else { return daemon };
        for (key, span, value) in fields(table) {
            let (field, report) = (Field { name: key, value, source: self.source }, &mut self.report);
            match key {
                "timezone" => set(&mut daemon.timezone, self.zones.read(field, report)),
                "state_dir" => set(&mut daemon.state_dir, field.path(&self.context.base, report)),
                "max_partials" => {
                    set(&mut daemon.max_partials, field.integer(1..=MAX_CONCURRENCY, report).and_then(|count| usize::try_from(count).ok()));
                }
                "drain_timeout" => set(&mut daemon.drain_timeout, field.duration(report)),
                "credentials_dir" => daemon.credentials_dir = field.path(&self.context.base, report),
                "env" => {
                    daemon.env = env(field, report);
                    let process = Process { env: daemon.env.clone(), ..Process::default() };
                    template_check::env(field, &Shape::Unknown, Scope { process: &process, args: &NO_ARGS }, report);
                }
                _ => unknown(Place::Daemon, key, span, report),
            }
        }
        daemon
    }

    fn log(&mut self, field: Option<Field<'a>>) -> LogConfig {
        const LEVELS: &[(&str, LogLevel)] = &[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
        let mut log = LogConfig {
            dir: self.context.base.join("logs"),
            file: "batch.log".to_owned(),
            max_size: 5 << 20,
            backups: 5,
            level: LogLevel::Info,
            format: LogFormat::Text,
            console: None,
        };
        let Some(table) = field.and_then(|field| field.table("{ … }", &mut self.report)) else { return log };
        for (key, span, value) in fields(table) {
            let (field, report) = (Field { name: key, value, source: self.source }, &mut self.report);
            match key {
                "dir" => set(&mut log.dir, field.path(&self.context.base, report)),
                "file" => set(&mut log.file, file_name(field, report)),
                "max_size" => set(&mut log.max_size, field.size(MIN_LOG_SIZE, report)),
                "backups" => set(&mut log.backups, field.integer(0..=1_000, report).and_then(|count| u32::try_from(count).ok())),
                "level" => set(&mut log.level, field.choice(LEVELS, report)),
                "format" => set(&mut log.format, field.choice(FORMATS, report)),
                "console" => log.console = field.boolean(report),
                _ => unknown(Place::Log, key, span, report),
            }
        }
        log
    }

    fn history(&mut self, field: Option<Field<'a>>) -> HistoryConfig {
        let mut history = HistoryConfig { keep: Duration::from_secs(90 * 86_400), keep_runs: 1_000, max_size: 2 << 30 };
        let Some(table) = field.and_then(|field| field.table("{ … }", &mut self.report)) else { return history };
        for (key, span, value) in fields(table) {
            let (field, report) = (Field { name: key, value, source: self.source }, &mut self.report);
            match key {
                "keep" => set(&mut history.keep, field.positive_duration(report)),
                "keep_runs" => {
                    set(&mut history.keep_runs, field.integer(1..=10_000_000, report).and_then(|count| u32::try_from(count).ok()));
                }
                "max_size" => set(&mut history.max_size, field.size(MIN_HISTORY_SIZE, report)),
                _ => unknown(Place::History, key, span, report),
            }
        }
        history
    }

    pub(super) fn jobs(&mut self, field: Field<'a>, daemon: &DaemonConfig, defaults: &Draft<'_>) -> BTreeMap<JobName, Arc<Job>> {
        let mut jobs = BTreeMap::new();
        let Some(table) = field.as_table() else {
            field.wrong_type("a table of tables", "write each job as `[jobs.NAME]`, with one pair of brackets", &mut self.report);
            return jobs;
        };
        if table.is_empty() {
            self.report.push(no_jobs(field.span().start));
        }
        for (name, span, value) in fields(table) {
            let Some(table) = value.get_ref().as_table() else {
                self.not_a_job(name, span, Field { name, value, source: self.source });
                continue;
            };
            if let Some(problem) = bad_name("job", name, span.clone()) {
                self.report.push(problem);
            }
            if let Some(job) = self.job(name, span, table, daemon, defaults) {
                jobs.insert(job.name.clone(), Arc::new(job));
            }
        }
        jobs
    }

    fn not_a_job(&mut self, name: &str, span: std::ops::Range<usize>, field: Field<'_>) {
        let shown = shown(name);
        if is_job_key(name) {
            let problem = Problem::error(span, format!("`{shown}` stands in `[jobs]` itself, not in a job"));
            self.report.push(problem.help(format!("`{shown}` belongs in `[jobs.NAME]`: give the job a name")));
        } else {
            let problem = Problem::error(span, format!("the job `{shown}` must be a table, found {}", field.found()));
            self.report.push(problem.help(format!("write `[jobs.{shown}]` once, with one pair of brackets, and the job's keys below")));
        }
    }

    fn job(
        &mut self,
        name: &str,
        span: std::ops::Range<usize>,
        table: &'a DeTable<'a>,
        daemon: &DaemonConfig,
        defaults: &Draft<'_>,
    ) -> Option<Job> {
        let draft = self.draft(Place::Job, table);
        self.after.extend(draft.after.clone().map(|names| (name.into(), names)));
        self.check_presence(name, &span, &draft);
        let targets = declared::targets(&draft);
        let process = self.process_of(&draft, daemon, defaults);
        let shape = if draft.written.targets.is_some() && draft.targets.is_none() { Shape::Unknown } else { Shape::of(&targets) };
        let mut policies = draft.policies(defaults);
        let shape = if policies.chunk > 1 && !matches!(draft.work, Some(Work::Handler(_) | Work::Http(_))) { Shape::Chunk } else { shape };
        let mut args = defaults.args.clone();
        args.extend(draft.declared.iter().flat_map(|declared| declared.args.clone()));
        args.extend(draft.args.clone());
        template_check::work(&draft, &shape, Scope { process: &process, args: &args }, &mut self.report);
        if draft.written.after || draft.schedule.as_ref().is_some_and(|(_, schedules)| !schedules.is_empty()) {
            args::check_scheduled(draft.written.args, &args, &span, &mut self.report);
        }
        self.check_sense(&draft, defaults, &targets);
        self.check_process(&draft, defaults);
        let gather = declared::gather(&draft, defaults);
        let zone = draft.zone.or_else(|| defaults.zone.clone()).unwrap_or_else(|| daemon.timezone.clone());
        let (schedule_text, schedules) = draft.schedule.or_else(|| draft.written.after.then(Default::default))?;
        if draft.written.after && schedules.contains(&Schedule::Reboot) {
            let problem = Problem::error(span.clone(), "`@reboot` names no time, which `after` needs");
            self.report.push(problem.help("leave `schedule` out, or write for which nominal times the job is to run"));
        }
        let after = draft.after.iter().flatten().map(|(name, _)| name.clone()).collect();
        let except = draft.except.or_else(|| defaults.except.clone()).filter(|except| !except.is_empty()).map(Arc::new);
        let telling = draft.telling.build(&defaults.telling);
        let work = draft.work?;
        if matches!(work, Work::Http(_)) {
            // A request has no exit code: all its failures are tried again.
            policies.retry.on_exit.clear();
            policies.chunk = 1;
        }
        let policies = self.policies.share(policies);
        Some(Job {
            name: name.into(),
            description: draft.description.or_else(|| defaults.description.clone()),
            schedule_text,
            timetable: Timetable { schedules, zone, dst: draft.dst.build(defaults.dst), except },
            after,
            jitter: draft.jitter.or(defaults.jitter).unwrap_or_default(),
            enabled: draft.enabled.or(defaults.enabled).unwrap_or(true),
            work,
            args: self.args.share(args),
            targets,
            policies,
            gather,
            process,
            telling: (!telling.is_empty()).then(|| Arc::new(telling)),
            ping: draft.ping.map(Into::into),
        })
    }

    fn check_presence(&mut self, name: &str, span: &std::ops::Range<usize>, draft: &Draft<'_>) {
        let name = shown(name);
        if !draft.written.schedule && !draft.written.after {
            let problem = Problem::error(span.clone(), format!("the job `{name}` has no `schedule`"));
            self.report.push(problem.help("add `schedule = \"0 2 * * *\"`, or `schedule = \"manual\"` for a job that is only run by hand"));
        }
        if !draft.written.handler {
            let problem = Problem::error(span.clone(), format!("the job `{name}` has no handler: nothing to do"));
            self.report.push(
                problem.help("add exactly one of `command`, `shell`, `http` and `handler`, such as `command = [\"/usr/bin/backup\"]`"),
            );
        }
        if let [(first, place), others @ ..] = draft.written.handlers.as_slice() {
            for (other, span) in others {
                let problem = Problem::error(span.clone(), format!("the job `{name}` has both `{first}` and `{other}`"));
                self.report.push(problem.help("a job has exactly one handler: keep one").also(place.clone(), "the first is here"));
            }
        }
    }

    /// What is never wrong but cannot be meant.
    fn check_sense(&mut self, draft: &Draft<'_>, defaults: &Draft<'_>, targets: &Targets) {
        let (partial, whole) = (draft.partial_timeout.or(defaults.partial_timeout), draft.timeout.or(defaults.timeout));
        if let (Some(partial), Some(whole), Some(span)) = (partial, whole, &draft.written.timeouts)
            && partial > whole
        {
            self.report.push(Problem::warning(span.clone(), "`partial_timeout` is longer than `timeout`, so it never applies"));
        }
        if let (Some(Work::Handler(_) | Work::Http(_)), Some(span)) = (&draft.work, &draft.written.chunk) {
            let problem = Problem::error(span.clone(), "`chunk` is for processes: a handler or request works on one target at a time");
            self.report.push(problem.help("leave it out, or raise `concurrency`"));
        }
        if let (Targets::None, Some(_), Some(span)) = (targets, draft.chunk, &draft.written.chunk)
            && draft.written.targets.is_none()
        {
            self.report.push(Problem::error(span.clone(), "`chunk` needs `targets`: a run without them has one partial"));
        }
        if let (Targets::None, Some(_), Some(span)) = (targets, draft.concurrency, &draft.written.concurrency)
            && draft.written.targets.is_none()
        {
            self.report.push(Problem::warning(span.clone(), "`concurrency` has no effect without `targets`: a run has one partial"));
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn no_jobs(at: usize) -> Problem {
    let problem = Problem::error(at..at, "the file defines no jobs");
    problem.help("add a table such as:\n[jobs.backup]\nschedule = \"0 2 * * *\"\ncommand = [\"/usr/bin/backup\"]")
}
