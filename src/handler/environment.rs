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
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use nix::unistd::{Uid, User};

use super::account::Account;
use super::credential::{self, CredentialError};
use super::env_file::{self, EnvFileError};
use super::secrets::Secrets;
use super::template::{self, TemplateError, Values};
use super::variables::Variables;
use super::vault::{Vault, VaultError};
use super::{Attempt, Part};
use crate::config::{Process, TargetValue, args};

/// The `PATH` of a job that sets none: that of Debian's root.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Never inherited: they speak to the daemon itself, or make a program load code. A job that needs one sets it in its own `env`.
const NEVER_INHERITED: [&str; 6] = ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "CREDENTIALS_DIRECTORY", "LD_", "BASH_ENV"];

/// The variable whose value, the path of the result file, also marks the processes of an attempt.
pub(super) const RESULT_VARIABLE: &str = "BATCHD_RESULT";

/// An environment, and what of it nobody is to see.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) variables: Variables,
    pub(crate) secrets: Secrets,
}

/// Whose variables are inherited.
#[derive(Debug)]
pub(crate) enum Origin {
    /// This process's, which starts the job.
    Own,
    /// Those of the process that would.
    Other { uid: Uid, variables: BTreeMap<OsString, OsString> },
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
    let mut built = match origin {
        Origin::Own => Common::of(process, account).begin(),
        Origin::Other { .. } => alike(process, account, origin),
    };
    if let Some(path) = &process.env_file {
        for (name, value) in env_file::read(path, account)? {
            built.secrets.add_variable(&name, &value);
            built.variables.set(&name, value);
        }
    }
    if !process.env.is_empty() {
        add_own(attempt, origin, &mut built)?;
    }
    describe(attempt, result_path, &mut built.variables);
    built.variables.settle();
    Ok(built)
}

/// Adds those of `[daemon] env` and of the job's `env`.
fn add_own(attempt: &Attempt, origin: &Origin, built: &mut Built) -> Result<(), EnvironmentError> {
    let process = &attempt.run.job.process;
    let directory = process.credentials_dir.clone().or_else(|| origin.variable(credential::DIRECTORY_VARIABLE).map(PathBuf::from));
    let vault = Vault::new(directory);
    let values = Values::with_credentials(attempt, Arc::clone(&vault).open());
    for (name, text) in &process.env {
        let value = vault.keep(template::render(text, &values), &mut built.secrets).map_err(|source| match source {
            VaultError::Credential(source) => EnvironmentError::Credential { name: name.clone(), source },
            VaultError::Template(source) => EnvironmentError::Value { name: name.clone(), source },
        })?;
        built.variables.set(name, &*value);
    }
    Ok(())
}

/// What all attempts of a job are given alike: the environment of a process with threads does not change.
struct Common {
    process: Arc<Process>,
    account: Option<Account>,
    built: Built,
}

impl Common {
    /// Of a job, or rather of that which was the last to start something: all partials of a run have it made once.
    fn of(process: &Arc<Process>, account: Option<&Account>) -> Arc<Self> {
        static LAST: Mutex<Option<Arc<Common>>> = Mutex::new(None);
        let is_it = |last: &&Arc<Self>| Arc::ptr_eq(&last.process, process) && last.account.as_ref() == account;
        if let Some(last) = LAST.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(is_it) {
            return Arc::clone(last);
        }
        let built = alike(process, account, &Origin::Own);
        let common = Arc::new(Self { process: Arc::clone(process), account: account.cloned(), built });
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&common));
        common
    }

    fn begin(&self) -> Built {
        Built { variables: self.built.variables.begin(), secrets: self.built.secrets.clone() }
    }
}

/// The defaults, who the process is, and what is inherited.
fn alike(process: &Process, account: Option<&Account>, origin: &Origin) -> Built {
    let mut built = Built { variables: origin.defaults(), secrets: Secrets::default() };
    if let Some(account) = account {
        add_personal(account, &mut built.variables);
    }
    let is_not_theirs = |name: &str| account.is_some() && PERSONAL.contains(&name);
    for name in process.inherit_env.iter().filter(|name| may_be_inherited(name) && !is_not_theirs(name)) {
        if let Some(value) = origin.variable(name) {
            built.secrets.add_variable(name, &value.to_string_lossy());
            built.variables.set(name, value);
        }
    }
    built
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

    fn defaults(&self) -> Variables {
        static OWN: LazyLock<Variables> = LazyLock::new(|| defaults(Uid::effective()));
        match self {
            Self::Own => OWN.begin(),
            Self::Other { uid, .. } => defaults(*uid),
        }
    }
}

/// The variables that say who a process is.
const PERSONAL: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

fn add_personal(account: &Account, variables: &mut Variables) {
    let name = OsStr::new(&account.name);
    for (variable, value) in PERSONAL.into_iter().zip([&account.home, name, name, &account.shell]) {
        variables.set(variable, value);
    }
}

fn defaults(uid: Uid) -> Variables {
    let user = User::from_uid(uid).ok().flatten();
    let name = user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone());
    let home = user.map_or_else(|| "/".into(), |user| user.dir.into_os_string());
    let mut variables = Variables::default();
    variables.set("PATH", DEFAULT_PATH);
    variables.set("HOME", home);
    variables.set("USER", &name);
    variables.set("LOGNAME", name);
    variables.set("SHELL", "/bin/sh");
    variables.set("LANG", "C.UTF-8");
    variables
}

fn may_be_inherited(name: &str) -> bool {
    !NEVER_INHERITED.iter().any(|never| name.starts_with(never))
}

/// Adds the `BATCHD_*` variables.
fn describe(attempt: &Attempt, result_path: &Path, variables: &mut Variables) {
    let run = &attempt.run;
    let offset = run.job.timetable.zone.rules.to_offset(run.nominal);
    variables.set("BATCHD_JOB", &*run.job.name);
    variables.set("BATCHD_RUN", &*run.id.0);
    variables.set_shown("BATCHD_NOMINAL", run.nominal.display_with_offset(offset));
    variables.set("BATCHD_CAUSE", run.cause.name());
    if !matches!(attempt.part, Part::Plan) {
        variables.set_shown("BATCHD_PARTIAL_COUNT", run.targets.partials());
    }
    variables.set(RESULT_VARIABLE, result_path);
    for (name, value) in &*run.args {
        variables.set(&args::variable(name), args::text_of(value));
    }
    if let Part::Partial { index, attempt, .. } = attempt.part {
        variables.set_shown("BATCHD_PARTIAL_INDEX", index);
        variables.set_shown("BATCHD_ATTEMPT", attempt);
    }
    if let Some(chunk) = attempt.chunk() {
        variables.set_shown("BATCHD_CHUNK", chunk.len());
        return;
    }
    match attempt.target().map(|target| &target.value) {
        Some(TargetValue::Text(text)) => variables.set("BATCHD_TARGET", &**text),
        Some(TargetValue::Table(table)) => variables.set_shown("BATCHD_TARGET", serde_json::Value::Object((**table).clone())),
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
