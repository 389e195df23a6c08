//! Where a configuration comes from: the file, read without ever blocking, and the zone of the system.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use nix::fcntl::OFlag;
use nix::unistd::{getegid, geteuid};

use crate::config::{self, Config, Context, DeclaredHandler, Host, MAX_FILE_SIZE, Problems};
use crate::handler::exposure::{Exposure, exposure};
use crate::handler::{self, account};
use crate::schedule::{Zone, fnv_1a};

/// Why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read `{}`: {error}", path.escape_debug())]
    Io { path: String, error: io::Error },
    #[error("`{}` is {found}, not a regular file", path.escape_debug())]
    NotAFile { path: String, found: &'static str },
    #[error("`{}` was written to while it was read: try again when it is whole", path.escape_debug())]
    Unsteady { path: String },
    #[error("`{}` is too large: {size} bytes, at most {MAX_FILE_SIZE} are allowed", path.escape_debug())]
    TooLarge { path: String, size: u64 },
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Invalid(#[from] Problems),
    #[error("{}", exposed(.0))]
    Exposed(Vec<Exposure>),
}

/// Reads a regular file of a bounded size. Opening never waits: a FIFO in the file's place is refused, not waited on.
///
/// # Errors
/// [`SourceError`] names the path and the reason.
pub fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let shown = || path.to_string_lossy().into_owned();
    let failed = |error| SourceError::Io { path: shown(), error };
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    // The open file is asked, not the path: what stands there may change in between.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a directory" } else { "a device, FIFO or socket" };
        return Err(SourceError::NotAFile { path: shown(), found });
    }
    let limit = MAX_FILE_SIZE as u64;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or_default());
    (&file).take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    // Of a file that is edited in place, what was read may be neither the old nor the new.
    if is_another(&metadata, &file.metadata().map_err(failed)?) {
        return Err(SourceError::Unsteady { path: shown() });
    }
    let size = metadata.len().max(bytes.len() as u64);
    if size > limit {
        return Err(SourceError::TooLarge { path: shown(), size });
    }
    Ok(bytes)
}

fn is_another(before: &Metadata, after: &Metadata) -> bool {
    let stamp = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    stamp(before) != stamp(after)
}

impl LoadError {
    /// One line a problem, for the log, `batchd status` and the answer to a reload.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Source(error) => vec![error.to_string()],
            Self::Invalid(problems) => problems.one_line(),
            Self::Exposed(exposures) => exposures.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A usable configuration, and what is suspicious about it, one line each.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
    /// What others can change, of what the daemon acts on.
    pub exposures: Vec<Exposure>,
    /// A short hash of the file as it was read, to tell versions apart; FNV-1a, 16 hexadecimal digits.
    pub hash: String,
}

/// Reads and validates a configuration. `handlers` are those that the embedding program registered.
///
/// # Errors
/// The file cannot be read, or it has problems: all of them. For root also: others can change the file, or the directory of the state
/// or of the log.
pub fn load(path: &Path, handlers: &[DeclaredHandler]) -> Result<Loaded, LoadError> {
    let bytes = read(path)?;
    let (config, warnings) = parse(path, &bytes, handlers, true)?;
    let hash = hash(std::iter::once(&*bytes).chain(warnings.files().skip(1).map(Problems::source)));
    let exposures = exposures(&warnings, &config)?;
    if geteuid().is_root() && !exposures.is_empty() {
        return Err(LoadError::Exposed(exposures));
    }
    Ok(Loaded { config, warnings: warnings.one_line(), exposures, hash })
}

/// As [`load`], for who only looks at the file: the warnings can be rendered with excerpts, and what another process than the
/// daemon cannot give to jobs is no error.
///
/// # Errors
/// As [`load`].
pub fn examine(path: &Path, handlers: &[DeclaredHandler]) -> Result<(Config, Problems), LoadError> {
    let (config, mut warnings) = parse(path, &read(path)?, handlers, false)?;
    if geteuid().is_root() {
        // A daemon of root would refuse them.
        for exposure in exposures(&warnings, &config)? {
            warnings.push(warning(exposure.to_string(), None));
        }
    }
    Ok((config, warnings))
}

fn parse(path: &Path, bytes: &[u8], handlers: &[DeclaredHandler], starts_jobs: bool) -> Result<(Config, Problems), LoadError> {
    let (system_zone, doubt) = system_zone();
    let (base, host) = (directory(path)?, host(starts_jobs));
    let context = Context { path: path.to_owned(), base, system_zone, handlers: handlers.to_vec(), files, matches, host };
    let (config, mut warnings) = config::parse(bytes, &context)?;
    let uses_system_zone = config.daemon.timezone == context.system_zone;
    if let Some(doubt) = doubt.filter(|_| uses_system_zone) {
        warnings.push(doubt);
    }
    Ok((config, warnings))
}

/// What others can change of what the daemon acts on, each once: the files of the configuration, the directories of state and log.
fn exposures(files: &Problems, config: &Config) -> Result<Vec<Exposure>, SourceError> {
    let mut exposures: Vec<Exposure> = Vec::new();
    let files = files.files().map(Problems::path).map(absolute).collect::<Result<Vec<_>, _>>()?;
    let paths = files.iter().chain([&config.daemon.state_dir, &config.log.dir]);
    for found in paths.filter_map(|path| exposure(path)) {
        if !exposures.contains(&found) {
            exposures.push(found);
        }
    }
    Ok(exposures)
}

fn exposed(exposures: &[Exposure]) -> String {
    exposures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn host(starts_jobs: bool) -> Host {
    Host {
        user: account::user,
        group: account::group,
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        no_controller: if starts_jobs { handler::no_controller } else { handler::no_controller_here },
        starts_jobs,
    }
}

fn files(path: &Path) -> Result<Vec<u8>, String> {
    read(path).map_err(|error| error.to_string())
}

/// The paths that match a pattern, as a shell would match them.
fn matches(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let base = base.to_str().ok_or("the directory of the file is not UTF-8")?;
    let whole = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{}/{pattern}", glob::Pattern::escape(base)) };
    let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let paths = glob::glob_with(&whole, options).map_err(|error| format!("it is no pattern: {}", error.msg))?;
    paths.map(|path| path.map_err(|error| format!("cannot read `{}`: {}", error.path().display(), error.error()))).collect()
}

fn hash<'f>(files: impl Iterator<Item = &'f [u8]>) -> String {
    format!("{:016x}", fnv_1a(files.flatten().copied()))
}

fn absolute(path: &Path) -> Result<PathBuf, SourceError> {
    std::path::absolute(path).map_err(|error| SourceError::Io { path: path.to_string_lossy().into_owned(), error })
}

/// The absolute directory of the file. Symbolic links stay as they are: relative paths mean what the user sees.
fn directory(path: &Path) -> Result<PathBuf, SourceError> {
    Ok(absolute(path)?.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// The zone of the system by its IANA name (`TZ`, `/etc/localtime`, `/etc/timezone`), else UTC and a warning.
fn system_zone() -> (Zone, Option<config::Problem>) {
    match TimeZone::try_system() {
        Ok(rules) => match rules.iana_name().map(str::to_owned) {
            Some(name) => (Zone { name: name.into(), rules }, None),
            None => (utc(), Some(doubt("has no IANA name"))),
        },
        // A machine without any zone configured is in UTC.
        Err(_) if !Path::new("/etc/localtime").exists() && std::env::var_os("TZ").is_none() => (utc(), None),
        Err(_) => (utc(), Some(doubt("cannot be read"))),
    }
}

fn utc() -> Zone {
    Zone { name: "UTC".into(), rules: TimeZone::UTC }
}

fn doubt(reason: &str) -> config::Problem {
    let help = "set `timezone` in `[daemon]`".to_owned();
    warning(format!("the system's time zone {reason}: UTC is used"), Some(help))
}

/// A warning about the file as a whole.
fn warning(message: String, help: Option<String>) -> config::Problem {
    config::Problem { severity: config::Severity::Warning, span: 0..0, message, label: None, help, also: Vec::new() }
}

#[cfg(test)]
mod tests;
