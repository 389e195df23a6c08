//! What a reload changes: jobs added, removed and changed, and the settings that need a restart.

use super::{Config, Job, JobName};

/// The difference of two configurations, jobs by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub added: Vec<JobName>,
    pub removed: Vec<JobName>,
    pub changed: Vec<JobChange>,
    /// Settings of `[daemon]` and `[log]` that changed, such as `log.level`.
    pub settings: Vec<String>,
    /// Those of `settings` that a running daemon cannot take over.
    pub restart: Vec<String>,
}

/// A job that both configurations have, with the keys that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChange {
    pub name: JobName,
    pub what: Vec<String>,
}

impl Change {
    /// Whether both configurations are the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> Change {
    let changed = new.jobs.iter().filter_map(|(name, job)| {
        let what = differences(old.jobs.get(name)?, job);
        (!what.is_empty()).then(|| JobChange { name: name.clone(), what })
    });
    let settings = settings(old, new);
    Change {
        added: new.jobs.keys().filter(|name| !old.jobs.contains_key(*name)).cloned().collect(),
        removed: old.jobs.keys().filter(|name| !new.jobs.contains_key(*name)).cloned().collect(),
        changed: changed.collect(),
        restart: settings.iter().filter(|setting| *setting == "daemon.state_dir").cloned().collect(),
        settings,
    }
}

fn differences(old: &Job, new: &Job) -> Vec<String> {
    let pairs = [
        ("description", old.description != new.description),
        ("schedule", old.schedule_text != new.schedule_text || old.timetable.schedules != new.timetable.schedules),
        ("timezone", old.timetable.zone != new.timetable.zone),
        ("dst", old.timetable.dst != new.timetable.dst),
        ("after", old.after != new.after),
        ("except", old.timetable.except != new.timetable.except),
        ("jitter", old.jitter != new.jitter),
        ("enabled", old.enabled != new.enabled),
        (handler_key(new), old.work != new.work),
        ("args", old.args != new.args),
        ("targets", old.targets != new.targets),
        ("concurrency", old.policies.concurrency != new.policies.concurrency),
        ("chunk", old.policies.chunk != new.policies.chunk),
        ("canary", old.policies.canary != new.policies.canary),
        ("rate", old.policies.rate != new.policies.rate),
        ("partial_timeout", old.policies.partial_timeout != new.policies.partial_timeout),
        ("timeout", old.policies.timeout != new.policies.timeout),
        ("retry", old.policies.retry != new.policies.retry),
        ("max_failures", old.policies.max_failures != new.policies.max_failures),
        ("gather", old.gather != new.gather),
        ("overlap", old.policies.overlap != new.policies.overlap),
        ("catch_up", old.policies.catch_up != new.policies.catch_up),
        ("on_interrupted", old.policies.on_interrupted != new.policies.on_interrupted),
        ("stop", old.policies.stop != new.policies.stop),
        ("cwd", old.process.directory() != new.process.directory()),
        ("env", old.process.env != new.process.env),
        ("env_file", old.process.env_file != new.process.env_file),
        ("inherit_env", old.process.inherit_env != new.process.inherit_env),
        ("user", old.process.user != new.process.user),
        ("group", old.process.group != new.process.group),
        ("umask", old.process.umask != new.process.umask),
        ("nice", old.process.nice != new.process.nice),
        ("limits", old.process.limits != new.process.limits),
        ("notify", old.telling != new.telling),
        ("expect", old.policies.expect != new.policies.expect),
        ("ping", old.ping != new.ping),
        ("output", old.policies.output_max_size != new.policies.output_max_size),
    ];
    pairs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

fn handler_key(job: &Job) -> &'static str {
    match job.work {
        super::Work::Command(_) => "command",
        super::Work::Shell(_) => "shell",
        super::Work::Handler(_) => "handler",
        super::Work::Http(_) => "http",
    }
}

fn settings(old: &Config, new: &Config) -> Vec<String> {
    let pairs = [
        ("daemon.timezone", old.daemon.timezone != new.daemon.timezone),
        ("daemon.state_dir", old.daemon.state_dir != new.daemon.state_dir),
        ("daemon.max_partials", old.daemon.max_partials != new.daemon.max_partials),
        ("daemon.drain_timeout", old.daemon.drain_timeout != new.daemon.drain_timeout),
        ("daemon.env", old.daemon.env != new.daemon.env),
        ("daemon.credentials_dir", old.daemon.credentials_dir != new.daemon.credentials_dir),
        ("log.dir", old.log.dir != new.log.dir),
        ("log.file", old.log.file != new.log.file),
        ("log.max_size", old.log.max_size != new.log.max_size),
        ("log.backups", old.log.backups != new.log.backups),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
        ("log.console", old.log.console != new.log.console),
        ("notify", old.channels != new.channels),
        ("history.keep", old.history.keep != new.history.keep),
        ("history.keep_runs", old.history.keep_runs != new.history.keep_runs),
        ("history.max_size", old.history.max_size != new.history.max_size),
    ];
    pairs.into_iter().filter(|(_, differs)| *differs).map(|(setting, _)| setting.to_owned()).collect()
}
