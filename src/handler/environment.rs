//! The environment of a process. It begins empty, so that a job runs alike by hand, under systemd and in a container; what it
//! gets, later entries winning:
//!
//! 1. the defaults: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL=/bin/sh`, `LANG=C.UTF-8`;
//! 2. `inherit_env`, from the daemon's own, but of another user never `HOME`, `USER`, `LOGNAME` and `SHELL`;
//! 3. `env_file`;
//! 4. `[daemon] env` and the job's `env`, whose values are templates;
//! 5. the `BATCHD_*` variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use nix::unistd::{Uid, User};

use super::account::Account;
use super::env_file::{self, EnvFileError};
use super::template::{self, TemplateError, Values};
use super::{Attempt, Part};
use crate::config::TargetValue;

/// The `PATH` of a job that sets none: that of Debian's root.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Never inherited: they speak to the daemon itself, or make a program load code. A job that needs one sets it in its own `env`.
const NEVER_INHERITED: [&str; 5] = ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "LD_", "BASH_ENV"];

/// The variable whose value, the path of the result file, also marks the processes of an attempt.
pub(super) const RESULT_VARIABLE: &str = "BATCHD_RESULT";

pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Why an environment could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error(transparent)]
    File(#[from] EnvFileError),
    #[error("env `{name}`: {source}")]
    Value { name: String, source: TemplateError },
}

/// The environment of the processes of an attempt.
pub(super) fn build(
    attempt: &Attempt,
    values: &Values<'_>,
    result_path: &Path,
    account: Option<&Account>,
) -> Result<Environment, EnvironmentError> {
    let process = &attempt.run.job.process;
    let mut environment = DEFAULTS.clone();
    environment.extend(account.into_iter().flat_map(personal));
    let is_not_theirs = |name: &str| account.is_some() && PERSONAL.contains(&name);
    for name in process.inherit_env.iter().filter(|name| may_be_inherited(name) && !is_not_theirs(name)) {
        environment.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    if let Some(path) = &process.env_file {
        environment.extend(env_file::read(path)?.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
    for (name, text) in &process.env {
        let value = template::render(text, values).map_err(|source| EnvironmentError::Value { name: name.clone(), source })?;
        environment.insert(name.into(), value.into_owned().into());
    }
    describe(attempt, result_path, &mut environment);
    Ok(environment)
}

/// The variables that say who a process is.
const PERSONAL: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

fn personal(account: &Account) -> [(OsString, OsString); 4] {
    let name = OsString::from(&account.name);
    let [home, user, login, shell] = PERSONAL.map(OsString::from);
    [(home, account.home.clone()), (user, name.clone()), (login, name), (shell, account.shell.clone())]
}

static DEFAULTS: LazyLock<Environment> = LazyLock::new(|| {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let name = user.as_ref().map_or_else(|| Uid::effective().to_string(), |user| user.name.clone());
    let home = user.map_or_else(|| "/".into(), |user| user.dir.into_os_string());
    [
        ("PATH", DEFAULT_PATH.into()),
        ("HOME", home),
        ("USER", name.clone().into()),
        ("LOGNAME", name.into()),
        ("SHELL", "/bin/sh".into()),
        ("LANG", "C.UTF-8".into()),
    ]
    .map(|(name, value): (&str, OsString)| (name.into(), value))
    .into()
});

fn may_be_inherited(name: &str) -> bool {
    !NEVER_INHERITED.iter().any(|never| name.starts_with(never))
}

/// Adds the `BATCHD_*` variables.
fn describe(attempt: &Attempt, result_path: &Path, environment: &mut Environment) {
    let run = &attempt.run;
    let nominal = run.nominal.to_zoned_datetime(run.job.timetable.zone.rules.clone());
    let mut set = |name: &str, value: OsString| {
        environment.insert(name.into(), value);
    };
    set("BATCHD_JOB", (&*run.job.name).into());
    set("BATCHD_RUN", (&*run.id.0).into());
    set("BATCHD_NOMINAL", nominal.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string().into());
    set("BATCHD_CAUSE", run.cause.name().into());
    if !matches!(attempt.part, Part::Plan) {
        set("BATCHD_PARTIAL_COUNT", run.targets.partials().to_string().into());
    }
    set(RESULT_VARIABLE, result_path.into());
    if let Part::Partial { index, attempt, .. } = attempt.part {
        set("BATCHD_PARTIAL_INDEX", index.to_string().into());
        set("BATCHD_ATTEMPT", attempt.to_string().into());
    }
    if let Some(chunk) = attempt.chunk() {
        set("BATCHD_CHUNK", chunk.len().to_string().into());
        return;
    }
    match attempt.target().map(|target| &target.value) {
        Some(TargetValue::Text(text)) => set("BATCHD_TARGET", (&**text).into()),
        Some(TargetValue::Table(table)) => set("BATCHD_TARGET", serde_json::Value::Object((**table).clone()).to_string().into()),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_speaks_to_the_daemon_is_inherited() {
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV"] {
            assert!(!may_be_inherited(name), "{name}");
        }
        for name in ["PATH", "LANG", "LDAP_URL", "TZ"] {
            assert!(may_be_inherited(name), "{name}");
        }
    }
}
