//! Which keys stand where, which are still to come, and what people write instead of them.

use std::ops::Range;

use super::problem::{Problem, Report, nearest, shown};

/// A table whose keys are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Daemon,
    Log,
    History,
    Defaults,
    Job,
}

impl Place {
    fn header(self) -> &'static str {
        match self {
            Self::Top => "the file",
            Self::Daemon => "`[daemon]`",
            Self::Log => "`[log]`",
            Self::History => "`[history]`",
            Self::Defaults => "`[defaults]`",
            Self::Job => "a job",
        }
    }

    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => &["include", "daemon", "log", "history", "notify", "defaults", "jobs"],
            Self::Daemon => &["timezone", "state_dir", "max_partials", "drain_timeout", "env", "credentials_dir"],
            Self::Log => &["dir", "file", "max_size", "backups", "level", "format", "console"],
            Self::History => &["keep", "keep_runs", "max_size"],
            Self::Defaults | Self::Job => JOB_KEYS,
        }
    }

    fn aliases(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Top => TOP_ALIASES,
            Self::Daemon => DAEMON_ALIASES,
            Self::Log => LOG_ALIASES,
            Self::History => HISTORY_ALIASES,
            Self::Defaults | Self::Job => JOB_ALIASES,
        }
    }
}

const JOB_KEYS: &[&str] = &[
    "description",
    "schedule",
    "timezone",
    "dst",
    "except",
    "after",
    "jitter",
    "enabled",
    "command",
    "shell",
    "handler",
    "http",
    "args",
    "targets",
    "target_key",
    "concurrency",
    "chunk",
    "rate",
    "canary",
    "partial_timeout",
    "retry",
    "retries",
    "max_failures",
    "gather",
    "timeout",
    "overlap",
    "catch_up",
    "on_interrupted",
    "stop",
    "cwd",
    "env",
    "env_file",
    "inherit_env",
    "user",
    "group",
    "umask",
    "nice",
    "limits",
    "output",
    "notify",
    "expect",
    "ping",
];

/// Documented keys that this version refuses. To support one: read it, and take it out here.
const NOT_YET: &[(Place, &[&str])] = &[(Place::Top, &["web", "workers"]), (Place::Job, &["worker", "task", "manage"])];

/// Keys that only a job has, so that `[defaults]` cannot set them.
pub(super) const NOT_DEFAULTS: &[&str] = &["schedule", "after", "command", "shell", "handler", "http", "targets", "ping"];

const TOP_ALIASES: &[(&str, &str)] = &[
    ("job", "jobs"),
    ("task", "jobs"),
    ("tasks", "jobs"),
    ("cron", "jobs"),
    ("crons", "jobs"),
    ("schedules", "jobs"),
    ("daemons", "daemon"),
    ("server", "daemon"),
    ("settings", "daemon"),
    ("config", "daemon"),
    ("global", "daemon"),
    ("batchd", "daemon"),
    ("general", "daemon"),
    ("logging", "log"),
    ("logs", "log"),
    ("logger", "log"),
    ("default", "defaults"),
    ("includes", "include"),
    ("import", "include"),
];

const DAEMON_ALIASES: &[(&str, &str)] = &[
    ("tz", "timezone"),
    ("time_zone", "timezone"),
    ("zone", "timezone"),
    ("state", "state_dir"),
    ("data_dir", "state_dir"),
    ("statedir", "state_dir"),
    ("state_directory", "state_dir"),
    ("workers", "max_partials"),
    ("concurrency", "max_partials"),
    ("max_concurrency", "max_partials"),
    ("environment", "env"),
    ("drain", "drain_timeout"),
    ("shutdown_timeout", "drain_timeout"),
];

const LOG_ALIASES: &[(&str, &str)] = &[
    ("directory", "dir"),
    ("path", "dir"),
    ("folder", "dir"),
    ("filename", "file"),
    ("file_name", "file"),
    ("size", "max_size"),
    ("max_bytes", "max_size"),
    ("maxbytes", "max_size"),
    ("backup_count", "backups"),
    ("backupcount", "backups"),
    ("max_files", "backups"),
    ("keep", "backups"),
    ("log_level", "level"),
    ("stderr", "console"),
    ("formatter", "format"),
];

const HISTORY_ALIASES: &[(&str, &str)] = &[
    ("retention", "keep"),
    ("keep_days", "keep"),
    ("days", "keep"),
    ("max_age", "keep"),
    ("max_runs", "keep_runs"),
    ("runs", "keep_runs"),
];

const JOB_ALIASES: &[(&str, &str)] = &[
    ("cron", "schedule"),
    ("crontab", "schedule"),
    ("expression", "schedule"),
    ("cron_expression", "schedule"),
    ("when", "schedule"),
    ("time", "schedule"),
    ("every", "schedule"),
    ("interval", "schedule"),
    ("cmd", "command"),
    ("exec", "command"),
    ("run", "command"),
    ("program", "command"),
    ("argv", "command"),
    ("script", "shell"),
    ("sh", "shell"),
    ("bash", "shell"),
    ("callback", "handler"),
    ("function", "handler"),
    ("tz", "timezone"),
    ("time_zone", "timezone"),
    ("zone", "timezone"),
    ("enable", "enabled"),
    ("active", "enabled"),
    ("disabled", "enabled"),
    ("desc", "description"),
    ("comment", "description"),
    ("target", "targets"),
    ("items", "targets"),
    ("parallel", "concurrency"),
    ("batch_size", "chunk"),
    ("chunk_size", "chunk"),
    ("rate_limit", "rate"),
    ("throttle", "rate"),
    ("parallelism", "concurrency"),
    ("max_concurrency", "concurrency"),
    ("workers", "concurrency"),
    ("retry_count", "retries"),
    ("max_retries", "retries"),
    ("attempts", "retry"),
    ("retry_delay", "retry"),
    ("time_limit", "timeout"),
    ("max_runtime", "timeout"),
    ("deadline", "timeout"),
    ("environment", "env"),
    ("envs", "env"),
    ("env_vars", "env"),
    ("envfile", "env_file"),
    ("dotenv", "env_file"),
    ("working_dir", "cwd"),
    ("working_directory", "cwd"),
    ("workdir", "cwd"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("chdir", "cwd"),
    ("misfire", "catch_up"),
    ("catchup", "catch_up"),
    ("max_instances", "overlap"),
    ("concurrency_policy", "overlap"),
    ("random_delay", "jitter"),
    ("splay", "jitter"),
    ("stop_signal", "stop"),
    ("kill_signal", "stop"),
    ("username", "user"),
    ("depends_on", "after"),
    ("arguments", "args"),
    ("retrys", "retries"),
    ("run_as", "user"),
    ("uid", "user"),
    ("gid", "group"),
    ("niceness", "nice"),
    ("priority", "nice"),
    ("limit", "limits"),
    ("rlimits", "limits"),
    ("ulimit", "limits"),
    ("memory", "limits"),
    ("on_failure", "notify"),
    ("notifications", "notify"),
    ("alert", "notify"),
    ("healthcheck", "ping"),
    ("on_error", "notify"),
    ("mailto", "notify"),
    ("concurrent", "concurrency"),
];

/// What an unknown key was probably meant to be, so that its absence is not reported as well.
pub(super) fn meant(place: Place, key: &str) -> Option<&'static str> {
    let lower = key.to_lowercase().replace('-', "_");
    let known = place.keys().iter().find(|known| **known == lower).copied();
    let alias = || place.aliases().iter().find(|(alias, _)| *alias == lower).map(|(_, key)| *key);
    known.or_else(alias).or_else(|| nearest(key, place.keys().iter().copied()))
}

/// Reports a key that `place` does not have.
pub(super) fn unknown(place: Place, key: &str, span: Range<usize>, report: &mut Report) {
    if is_not_yet(place, key) {
        return report.error(span, format!("`{key}` is not supported yet"));
    }
    let problem = Problem::error(span, format!("unknown {} `{}` in {}", noun(place), shown(key), place.header()));
    let allowed = || format!("allowed here: {}", place.keys().join(", "));
    let elsewhere = || home_of(key).filter(|(home, _)| *home != place).map(|(_, text)| format!("`{key}` belongs in {text}"));
    let help = match meant(place, key) {
        Some(known) if known == key.to_lowercase() => format!("keys are lower case: `{known}`"),
        Some(known) if place == Place::Top => match known {
            "include" => "did you mean `include = [\"jobs.d/*.toml\"]`, above the first table?".to_owned(),
            "jobs" => "did you mean `[jobs.NAME]`?".to_owned(),
            known => format!("did you mean `[{known}]`?"),
        },
        Some(known) if place.keys().contains(&key) => format!("did you mean `{known}`?"),
        Some(known) => elsewhere_exact(place, key).unwrap_or_else(|| format!("did you mean `{known}`?")),
        None if is_job(place) && key == "name" => "a job's name stands in its header: `[jobs.NAME]`".to_owned(),
        None => elsewhere().unwrap_or_else(allowed),
    };
    report.push(problem.help(help));
}

/// Reports a key that a small table, such as `retry`, does not have.
pub(super) fn unknown_in(table: &str, keys: &[&str], key: &str, span: Range<usize>, report: &mut Report) {
    let help = match nearest(key, keys.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("allowed here: {}", keys.join(", ")),
    };
    report.push(Problem::error(span, format!("unknown key `{}` in `{table}`", shown(key))).help(help));
}

/// Whether the key is one of a job's, so that a table that holds it is meant to be a job.
pub(super) fn is_job_key(key: &str) -> bool {
    JOB_KEYS.contains(&key) || is_not_yet(Place::Job, key) || JOB_ALIASES.iter().any(|(alias, _)| *alias == key)
}

fn is_not_yet(place: Place, key: &str) -> bool {
    let place = if place == Place::Defaults { Place::Job } else { place };
    NOT_YET.iter().any(|(at, keys)| *at == place && keys.contains(&key))
}

fn is_job(place: Place) -> bool {
    matches!(place, Place::Job | Place::Defaults)
}

fn noun(place: Place) -> &'static str {
    if place == Place::Top { "table" } else { "key" }
}

/// A key that exists word for word elsewhere is rather misplaced than misspelt.
fn elsewhere_exact(place: Place, key: &str) -> Option<String> {
    let (_, text) = home_of(key).filter(|(home, _)| *home != place)?;
    let spelt_alike = place.aliases().iter().any(|(alias, _)| *alias == key);
    (!spelt_alike).then(|| format!("`{key}` belongs in {text}"))
}

fn home_of(key: &str) -> Option<(Place, &'static str)> {
    if JOB_KEYS.contains(&key) || is_not_yet(Place::Job, key) {
        return Some((Place::Job, "`[jobs.NAME]`"));
    }
    let homes = [(Place::Daemon, "`[daemon]`"), (Place::Log, "`[log]`"), (Place::History, "`[history]`")];
    homes.into_iter().find(|(place, _)| place.keys().contains(&key))
}
