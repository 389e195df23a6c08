//! Opening the database: made whole where there is none, refused where it cannot be trusted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::fault::{fault, io_fault};
use super::schema;
use crate::store::StoreError;

/// Databases up to this many bytes are checked whole when opened, about 0.1 s; of greater ones what a start depends on is, and
/// the rest shows damage when it is met. `batchd state check` reads all.
const MAX_CHECKED_BYTES: u64 = 16 << 20;

/// What a start depends on, all of it small.
const CHECKED_TABLES: [&str; 6] = ["node", "job", "accounting", "joined", "pruned", "captured"];

/// The write-ahead log is cut back to this many bytes after a checkpoint.
const MAX_IDLE_WAL_BYTES: i64 = 16 << 20;

/// Prepared statements kept; more than there are.
const STATEMENTS: usize = 32;

/// The files of an open database, each by device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Files {
    database: (u64, u64),
    log: Option<(u64, u64)>,
}

/// What has become of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    /// The write-ahead log was deleted: what it has is still in the hands of the connection.
    LogDeleted,
    /// A file moved away is still written by the connection, but whoever starts next would not find what it writes.
    Replaced,
}

impl Files {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let database = identity(path).map_err(|error| io_fault(path, error))?;
        Ok(Self { database, log: identity(&log_path(path)).ok() })
    }

    pub(super) fn changed(&self, path: &Path) -> Changed {
        match identity(path) {
            Ok(database) if database == self.database => match (self.log, identity(&log_path(path))) {
                (Some(log), Ok(found)) if log != found => Changed::Replaced,
                (Some(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => Changed::LogDeleted,
                _ => Changed::Nothing,
            },
            _ => Changed::Replaced,
        }
    }
}

pub(super) fn log_path(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// Says that there has been a database: one that is missing now is not made anew, or what was decided would be forgotten.
pub(super) fn made_path(path: &Path) -> PathBuf {
    path.with_extension("made")
}

/// The connection of a writer, to a database that is made where there never was one.
pub(super) fn open_or_make(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    if !path.try_exists().map_err(|error| io_fault(path, error))? {
        create(path)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(made_path(path)).map_err(|error| io_fault(path, error))?;
    refuse_cut_off(path)?;
    connect(path, busy_timeout)
}

/// There is no database: because there never was one, or because it is lost.
pub(super) fn missing(path: &Path) -> StoreError {
    let path = path.to_owned();
    if log_path(&path).exists() {
        return StoreError::Corrupt { path, found: "the file is missing, but its `-wal` is there".to_owned() };
    }
    if made_path(&path).exists() { StoreError::Missing { path } } else { StoreError::NoState { path } }
}

/// Make the database under another name and link it into place whole, so that a file under its own name that is empty or has no
/// tables is always damage, and the first of two creators wins.
fn create(path: &Path) -> Result<(), StoreError> {
    match missing(path) {
        StoreError::NoState { .. } => {}
        lost => return Err(lost),
    }
    let draft = Draft::beside(path).map_err(|error| io_fault(path, error))?;
    let made = Connection::open(&draft.path).and_then(|mut connection| {
        schema::migrate(&mut connection, 0)?;
        connection.close().map_err(|(_, error)| error)
    });
    made.map_err(|error| fault(path, error))?;
    match draft.put(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_fault(path, error)),
        _ => Ok(()),
    }
}

/// A private file under another name, until it is whole. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: PathBuf,
}

impl Draft {
    /// An empty one in the directory of `path`.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let draft = Self { path: path.with_file_name(name) };
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft.path)?;
        Ok(draft)
    }

    /// Gives it its name, where nothing has it.
    pub(super) fn put(self, path: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        fs::hard_link(&self.path, path)?;
        sync_dir(path)
    }

    /// Gives it its name, in the place of what has it.
    pub(super) fn replace(self, path: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, path)?;
        sync_dir(path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It has its name, or it is of no use.
        let _ = fs::remove_file(&self.path);
    }
}

/// What was made, linked or renamed beside `path` is there after a power cut.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// `SQLite` takes an empty file for an empty database; here it is what a crash of the file system leaves.
pub(super) fn refuse_cut_off(path: &Path) -> Result<(), StoreError> {
    let length = fs::metadata(path).map_err(|error| io_fault(path, error))?.len();
    if length == 0 {
        return Err(StoreError::Corrupt { path: path.to_owned(), found: "the file is empty".to_owned() });
    }
    Ok(())
}

pub(super) fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let failed = |error| fault(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Else the log that a crash has left would be put into a database that is refused.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    let version = known_version(&connection, path)?;
    configure(&connection).map_err(failed)?;
    refuse_damaged(&connection, path)?;
    schema::migrate(&mut connection, version).map_err(failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    Ok(connection)
}

/// The schema version of a database that this release can read.
pub(super) fn known_version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let marks = schema::marks(connection).map_err(|error| fault(path, error))?;
    if marks.application_id != schema::APPLICATION_ID {
        let found = format!("its application id is {:#x}", marks.application_id);
        return Err(StoreError::NotADatabase { path: path.to_owned(), found });
    }
    if marks.version > schema::VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: marks.version, known: schema::VERSION });
    }
    Ok(marks.version)
}

/// Has each statement prepared once. Else most would be again whenever values are bound, for a plan that might suit these better:
/// that takes longer than a small question itself, and all of them have the index that they need.
pub(super) fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    keep_statements(connection)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", MAX_IDLE_WAL_BYTES)
}

fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let length = fs::metadata(path).map_err(|error| io_fault(path, error))?.len();
    let found = if length <= MAX_CHECKED_BYTES { quick_check(connection, "1") } else { check_tables(connection) };
    match found.map_err(|error| fault(path, error))? {
        Some(found) => Err(StoreError::Corrupt { path: path.to_owned(), found }),
        None => Ok(()),
    }
}

fn check_tables(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut known = connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    for table in CHECKED_TABLES {
        // A database of an older release does not have them all.
        if known.exists([table])?
            && let Some(found) = quick_check(connection, table)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first damage of what is named: a table, or `1` for all of them.
pub(super) fn quick_check(connection: &Connection, of: &str) -> rusqlite::Result<Option<String>> {
    let found: Option<String> = connection.query_row(&format!("PRAGMA quick_check({of})"), [], |row| row.get(0)).optional()?;
    Ok(found.filter(|found| found != "ok").map(|found| found.lines().last().unwrap_or_default().escape_debug().to_string()))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
