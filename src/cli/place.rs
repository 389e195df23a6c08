//! Where the configuration, the records, the socket and the log are; found also in a file that is broken, because a broken
//! edit must not hide what runs.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::web::SOCKET_FILE;

/// Where the configuration is looked for, in this order, when no file is named.
pub(super) const CANDIDATES: [&str; 2] = ["jobs.toml", "/etc/batchd/jobs.toml"];

/// A longer configuration is not read.
const MAX_CONFIG: u64 = 64 * 1024 * 1024;

/// Why the configuration was not found.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("there is no configuration: neither `./jobs.toml` nor `/etc/batchd/jobs.toml` exists")]
    NoConfig,
    #[error("cannot read the configuration `{}`: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration `{}` is {size} bytes long; at most {MAX_CONFIG} are read", path.display())]
    TooLong { path: PathBuf, size: u64 },
}

/// The paths of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub config: PathBuf,
    pub state_dir: PathBuf,
    /// The log's current file.
    pub log: PathBuf,
}

impl Place {
    /// Finds the paths in the configuration, named or in its usual places.
    pub fn find(named: Option<&Path>) -> Result<Self, PlaceError> {
        let config = config_path(named)?;
        let failed = |source| PlaceError::Unreadable { path: config.clone(), source };
        let size = fs::metadata(&config).map_err(failed)?.len();
        if size > MAX_CONFIG {
            return Err(PlaceError::TooLong { path: config, size });
        }
        let text = fs::read(&config).map_err(failed)?;
        let base = std::path::absolute(&config).map_err(failed)?;
        Ok(Self::read(&config, base.parent().unwrap_or(Path::new("/")), &String::from_utf8_lossy(&text)))
    }

    /// The socket that a daemon of this configuration listens on.
    pub fn socket(&self) -> PathBuf {
        self.state_dir.join(SOCKET_FILE)
    }

    /// What can be read of `text` counts; the rest has its default.
    fn read(config: &Path, base: &Path, text: &str) -> Self {
        let relevant = relevant(text);
        let (document, _) = DeTable::parse_recoverable(&relevant);
        let setting = |table: &str, key: &str, default: &str| {
            let table = document.get_ref().get(table).and_then(|value| value.get_ref().as_table());
            let value = table.and_then(|table| table.get(key)).map(toml::Spanned::get_ref).and_then(DeValue::as_str);
            value.unwrap_or(default).to_owned()
        };
        let log_dir = base.join(setting("log", "dir", "logs"));
        Self {
            config: config.to_owned(),
            state_dir: base.join(setting("daemon", "state_dir", "state")),
            log: log_dir.join(setting("log", "file", "batch.log")),
        }
    }
}

/// The lines outside of the tables of jobs, of which there may be ten thousand.
fn relevant(text: &str) -> Cow<'_, str> {
    // Inside of a text of several lines, a line may look like the head of a table.
    if text.contains("\"\"\"") || text.contains("'''") {
        return Cow::Borrowed(text);
    }
    let mut is_relevant = true;
    let lines = text.split_inclusive('\n').filter(|line| {
        let line = line.trim_start();
        if line.starts_with('[') {
            is_relevant = !line.starts_with("[jobs.");
        }
        is_relevant
    });
    Cow::Owned(lines.collect())
}

/// The configuration file, named or in its usual places.
pub fn config_path(named: Option<&Path>) -> Result<PathBuf, PlaceError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    CANDIDATES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(PlaceError::NoConfig)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, state_dir: &str, log: &str) {
        let place = Place::read(Path::new("jobs.toml"), Path::new("/srv"), text);
        assert_eq!((place.state_dir, place.log), (state_dir.into(), log.into()));
    }

    #[test]
    fn paths_are_relative_to_the_file_and_have_defaults() {
        check("", "/srv/state", "/srv/logs/batch.log");
        check("daemon = { state_dir = \"/var/lib/b\" }\n[log]\nfile = \"b.log\"", "/var/lib/b", "/srv/logs/b.log");
    }

    #[test]
    fn a_broken_file_still_tells_them() {
        check("[daemon]\nstate_dir = \"here\"\n[jobs.a]\ncommand = [\"x\"\nschedule = = 1\n", "/srv/here", "/srv/logs/batch.log");
        check("[daemon]\nstate_dir = 5\nstate_dir = 6\n[log]\ndir = \"l\"\n", "/srv/state", "/srv/l/batch.log");
    }

    #[test]
    fn the_tables_of_jobs_are_passed_over() {
        let jobs = "[jobs.a]\ncommand = [\"x\"]\nstate_dir = \"no\"\n  [jobs.b]\n";
        check(&format!("{jobs}[daemon]\nstate_dir = \"here\"\n{jobs} [log]\ndir = \"l\"\n{jobs}"), "/srv/here", "/srv/l/batch.log");
        let text = "[jobs.a]\nshell = \"\"\"\n[daemon]\nstate_dir = 'no'\n\"\"\"\n";
        check(text, "/srv/state", "/srv/logs/batch.log");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Place::find(Some(Path::new("/nonexistent/jobs.toml"))).expect_err("it is not there");
        assert_eq!(error.to_string(), "cannot read the configuration `/nonexistent/jobs.toml`: No such file or directory (os error 2)");
    }
}
