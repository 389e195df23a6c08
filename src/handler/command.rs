//! From a job's `command` or `shell` to what is spawned: rendered arguments, an environment, and the absolute path of a program,
//! found in the `PATH` of the job, not of the daemon.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::Attempt;
use super::account::Account;
use super::environment::{self, Built, DEFAULT_PATH, EnvironmentError, Origin};
use super::process::cgroup::beside_group;
use super::secrets::Secrets;
use super::shim::Orders;
use super::template::{self, TemplateError, Values};
use super::variables::Variables;
use crate::engine::Hindrance;

/// What runs `shell` jobs.
const SHELL: &str = "/bin/sh";

/// The longest argument that Linux takes (`MAX_ARG_STRLEN` without the NUL).
pub(super) const ARGUMENT_MAX_BYTES: usize = 128 * 1024 - 1;

/// What is spawned.
#[derive(Debug)]
pub(super) struct Plan {
    /// Absolute.
    pub(super) program: PathBuf,
    /// `argv`, the name of the program as it was written first.
    pub(super) arguments: Vec<String>,
    /// Absolute.
    pub(super) directory: PathBuf,
    pub(super) environment: Variables,
    pub(super) secrets: Secrets,
    /// `None`: the daemon's own.
    pub(super) account: Option<Account>,
    /// What the shim has to do; `None`: it is not needed.
    pub(super) orders: Option<Orders>,
}

/// Why there is nothing to spawn.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("the command is empty: name a program")]
    Empty,
    #[error("`{program}` not found in PATH `{path}`")]
    NotInPath { program: String, path: String },
    #[error("`{}` not found", path.display())]
    NotFound { path: PathBuf },
    #[error("`{}` is not executable: set its x bit", path.display())]
    NotExecutable { path: PathBuf },
    #[error("`{}` is a directory, not a program", path.display())]
    Directory { path: PathBuf },
    #[error("argument {number} has a NUL")]
    Nul { number: usize },
    #[error("argument {number} is too long: {bytes} bytes, allowed {ARGUMENT_MAX_BYTES}; hand it over in a file")]
    TooLong { number: usize, bytes: usize },
}

impl PlanError {
    /// What it means for another attempt; `None`: nobody can say, since files outside may come and go.
    pub(super) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Environment(_) => None,
            Self::Template(_)
            | Self::Empty
            | Self::NotInPath { .. }
            | Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::Directory { .. }
            | Self::Nul { .. }
            | Self::TooLong { .. } => Some(Hindrance::Lasting),
        }
    }
}

/// Where a plan comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// Each element is a template, and one argument.
    Argv(&'a [String]),
    /// A script, in which values become quoted words.
    Script(&'a str),
}

/// What is to be spawned for an attempt.
pub(super) fn plan(attempt: &Attempt, source: Source<'_>, result_path: &Path, account: Option<Account>) -> Result<Plan, PlanError> {
    let values = Values::new(attempt);
    let arguments = arguments(source, &values)?;
    let Built { variables: environment, secrets } = environment::build(attempt, result_path, account.as_ref(), &Origin::Own)?;
    let process = &attempt.run.job.process;
    let directory = process.directory();
    let path = environment.get("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
    let orders = Orders::new(account.as_ref(), process.umask, process.nice, &beside_group(&process.limits));
    let program = arguments.first().ok_or(PlanError::Empty)?;
    let program = match named(program, directory) {
        // What is wrong with it shows when it is spawned, and is looked at then.
        Some(file) if orders.is_none() => file,
        Some(file) => usable(&file).map(|()| file)?,
        None => find(program, path, directory)?,
    };
    Ok(Plan { program, arguments, directory: directory.to_owned(), environment, secrets, account, orders })
}

fn arguments(source: Source<'_>, values: &Values<'_>) -> Result<Vec<String>, PlanError> {
    let arguments = match source {
        Source::Argv(argv) => {
            let words = argv.iter().map(|argument| words(argument, values));
            words.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Source::Script(script) => vec![SHELL.to_owned(), "-c".to_owned(), template::render_shell(script, values)?.into_owned()],
    };
    for (number, argument) in arguments.iter().enumerate() {
        if argument.contains('\0') {
            return Err(PlanError::Nul { number });
        }
        if argument.len() > ARGUMENT_MAX_BYTES {
            return Err(PlanError::TooLong { number, bytes: argument.len() });
        }
    }
    Ok(arguments)
}

/// One argument; for `{{ targets }}` alone, one a target of the chunk.
fn words(argument: &str, values: &Values<'_>) -> Result<Vec<String>, TemplateError> {
    let name = argument.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    match values.chunk().filter(|_| name == Some("targets")) {
        Some(targets) => Ok(targets),
        None => template::render(argument, values).map(|word| vec![word.into_owned()]),
    }
}

/// The absolute path of a program that is named by a path; one without a slash is looked for.
fn named(program: &str, directory: &Path) -> Option<PathBuf> {
    program.contains('/').then(|| directory.join(program))
}

/// The absolute path of a program in `path`: as a shell in `directory` would find it.
fn find(program: &str, path: &OsStr, directory: &Path) -> Result<PathBuf, PlanError> {
    if program.is_empty() {
        return Err(PlanError::Empty);
    }
    let mut unusable = None;
    for entry in std::env::split_paths(path) {
        let file = directory.join(entry).join(program);
        match usable(&file) {
            Ok(()) => return Ok(file),
            Err(PlanError::NotFound { .. }) => {}
            Err(error) => unusable = unusable.or(Some(error)),
        }
    }
    let not_found = || PlanError::NotInPath { program: program.to_owned(), path: path.to_string_lossy().into_owned() };
    Err(unusable.unwrap_or_else(not_found))
}

/// Whether it is a program, as far as can be told without starting it: not, say, whether its interpreter is there.
pub(super) fn usable(file: &Path) -> Result<(), PlanError> {
    match file.metadata() {
        Err(_) => Err(PlanError::NotFound { path: file.to_owned() }),
        Ok(found) if found.is_dir() => Err(PlanError::Directory { path: file.to_owned() }),
        Ok(_) if access(file, AccessFlags::X_OK).is_err() => Err(PlanError::NotExecutable { path: file.to_owned() }),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(program: &str, path: &str, expected: &str) {
        let found = match named(program, Path::new("/usr")) {
            Some(file) => usable(&file).map(|()| file),
            None => find(program, path.as_ref(), Path::new("/usr")),
        };
        assert_eq!(found.map_or_else(|error| error.to_string(), |path| path.display().to_string()), expected, "{program}");
    }

    #[test]
    fn programs_are_found_as_a_shell_would() {
        check("sh", "/nowhere:/bin", "/bin/sh");
        check("/bin/sh", "", "/bin/sh");
        check("bin/env", "", "/usr/bin/env");
        check("env", "bin", "/usr/bin/env");
    }

    #[test]
    fn what_cannot_be_run_is_told_apart() {
        check("foo", "/nowhere:/bin", "`foo` not found in PATH `/nowhere:/bin`");
        check("./foo", "/bin", "`/usr/./foo` not found");
        check("/etc/passwd", "/bin", "`/etc/passwd` is not executable: set its x bit");
        check("passwd", "/etc:/nowhere", "`/etc/passwd` is not executable: set its x bit");
        check("/usr/bin", "/bin", "`/usr/bin` is a directory, not a program");
        check("", "/bin", "the command is empty: name a program");
    }
}
