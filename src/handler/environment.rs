//! The environment of a process. It begins empty, so that a job runs alike by hand, under systemd and in a container; what it
//! gets, later entries winning:
//!
//! 1. the defaults: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL=/bin/sh`, `LANG=C.UTF-8`;
//! 2. `inherit_env`, from the daemon's own, but of another user never `HOME`, `USER`, `LOGNAME` and `SHELL`;
//! 3. `env_file`;
//! 4. `[daemon] env` and the job's `env`, whose values are templates;
//! 5. the `BATCHD_*` variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use nix::unistd::{Uid, User};

use super::account::Account;
use super::credential::{self, CredentialError};
use super::env_file::{self, EnvFileError};
use super::secrets::Secrets;
use super::template::{self, TemplateError, Values};
use super::vault::{Vault, VaultError};
use super::{Attempt, Part};
use crate::config::{TargetValue, args};

/// The `PATH` of a job that sets none: that of Debian's root.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Never inherited: they speak to the daemon itself, or make a program load code. A job that needs one sets it in its own `env`.
const NEVER_INHERITED: [&str; 6] = ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "CREDENTIALS_DIRECTORY", "LD_", "BASH_ENV"];

/// The variable whose value, the path of the result file, also marks the processes of an attempt.
pub(super) const RESULT_VARIABLE: &str = "BATCHD_RESULT";

pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// An environment, and what of it nobody is to see.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) variables: Environment,
    pub(crate) secrets: Secrets,
}

/// Whose variables are inherited.
#[derive(Debug)]
pub(crate) enum Origin {
    /// This process's, which starts the job.
    Own,
    /// Those of the process that would.
    Other { uid: Uid, variables: Environment },
}

/// Why an environment could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    #[error(transparent)]
    File(#[from] EnvFileError),
    #[error("env `{name}`: {source}")]
    Value { name: String, source: TemplateError },
    #[error("the argument `{name}` has no value: it was not given, and its default cannot be used for this nominal time")]
    Argument { name: String },
    #[error("env `{name}`: {source}")]
    Credential { name: String, source: CredentialError },
}

/// The environment of the processes of an attempt.
pub(super) fn build(attempt: &Attempt, result_path: &Path, account: Option<&Account>, origin: &Origin) -> Result<Built, EnvironmentError> {
    let (process, run) = (&attempt.run.job.process, &attempt.run);
    if let Some(name) = run.job.args.keys().find(|name| !run.args.contains_key(*name)) {
        return Err(EnvironmentError::Argument { name: name.clone() });
    }
    let mut built = Built { variables: origin.defaults(), secrets: Secrets::default() };
    built.variables.extend(account.into_iter().flat_map(personal));
    let is_not_theirs = |name: &str| account.is_some() && PERSONAL.contains(&name);
    for name in process.inherit_env.iter().filter(|name| may_be_inherited(name) && !is_not_theirs(name)) {
        if let Some(value) = origin.variable(name) {
            built.secrets.add_variable(name, &value.to_string_lossy());
            built.variables.insert(name.into(), value);
        }
    }
    for (name, value) in
        process.env_file.iter().map(|path| env_file::read(path, account)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten()
    {
        built.secrets.add_variable(&name, &value);
        built.variables.insert(name.into(), value.into());
    }
    let directory = process.credentials_dir.clone().or_else(|| origin.variable(credential::DIRECTORY_VARIABLE).map(PathBuf::from));
    let vault = Vault::new(directory);
    let values = Values::with_credentials(attempt, Arc::clone(&vault).open());
    for (name, text) in &process.env {
        let value = vault.keep(template::render(text, &values), &mut built.secrets).map_err(|source| match source {
            VaultError::Credential(source) => EnvironmentError::Credential { name: name.clone(), source },
            VaultError::Template(source) => EnvironmentError::Value { name: name.clone(), source },
        })?;
        built.variables.insert(name.into(), value.into_owned().into());
    }
    describe(attempt, result_path, &mut built.variables);
    Ok(built)
}

impl Origin {
    /// Of the daemon.
    pub(super) fn uid(&self) -> Uid {
        match self {
            Self::Own => Uid::effective(),
            Self::Other { uid, .. } => *uid,
        }
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Own => std::env::var_os(name),
            Self::Other { variables, .. } => variables.get(OsStr::new(name)).cloned(),
        }
    }

    fn defaults(&self) -> Environment {
        static OWN: LazyLock<Environment> = LazyLock::new(|| defaults(Uid::effective()));
        match self {
            Self::Own => OWN.clone(),
            Self::Other { uid, .. } => defaults(*uid),
        }
    }
}

/// The variables that say who a process is.
const PERSONAL: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

fn personal(account: &Account) -> [(OsString, OsString); 4] {
    let name = OsString::from(&account.name);
    let [home, user, login, shell] = PERSONAL.map(OsString::from);
    [(home, account.home.clone()), (user, name.clone()), (login, name), (shell, account.shell.clone())]
}

fn defaults(uid: Uid) -> Environment {
    let user = User::from_uid(uid).ok().flatten();
    let name = user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone());
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
}

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
    for (name, value) in &*run.args {
        set(&args::variable(name), args::text_of(value).into());
    }
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
        for name in [
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "LISTEN_FDS",
            "CREDENTIALS_DIRECTORY",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "BASH_ENV",
        ] {
            assert!(!may_be_inherited(name), "{name}");
        }
        for name in ["PATH", "LANG", "LDAP_URL", "TZ"] {
            assert!(may_be_inherited(name), "{name}");
        }
    }
}
