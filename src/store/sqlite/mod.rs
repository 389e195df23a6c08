//! The records in one `SQLite` file: write-ahead log, `synchronous = FULL` (with less, a power cut lost acknowledged commits).

mod append;
mod recover;
mod schema;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::{Epoch, Node, Store, StoreError};
use crate::engine::{Record, Recovery, RunOutcome};

/// How long a statement waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) use recover::{instant, named};

/// The index of a gather command's output.
pub(super) const GATHER_INDEX: i64 = -1;

/// The write side of a database file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    node: String,
}

impl Sqlite {
    /// Opens the database, and makes it where there is none. Nothing that is not ours is ever overwritten.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let explain = |error| explain(path, error);
        let found = check_version(&connection, path)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(explain)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
        schema::migrate(&mut connection, found).map_err(explain)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, path: path.to_owned(), node: String::new() })
    }

    fn explain(&self, error: rusqlite::Error) -> StoreError {
        explain(&self.path, error)
    }
}

impl Store for Sqlite {
    fn join(&mut self, node: &Node) -> Result<Epoch, StoreError> {
        self.node.clone_from(&node.name);
        let sql = "INSERT INTO node (name, epoch, pid, boot_id) VALUES (?1, 1, ?2, ?3)
                   ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1, pid = ?2, boot_id = ?3 RETURNING epoch";
        let row = self.connection.query_row(sql, params![node.name, node.pid, node.boot_id], |row| row.get(0));
        row.map(Epoch).map_err(|error| self.explain(error))
    }

    fn recover(&mut self, node: &Node) -> Result<Recovery, StoreError> {
        recover::recover(&self.connection, &node.name).map_err(|error| self.explain(error))
    }

    fn others(&mut self, node: &Node) -> Result<Vec<Node>, StoreError> {
        let sql = "SELECT name, pid, boot_id FROM node WHERE name <> ?1
                   AND EXISTS (SELECT 1 FROM run WHERE run.node = node.name AND run.ended IS NULL)";
        let read = || {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([&node.name], |row| Ok(Node { name: row.get(0)?, pid: row.get(1)?, boot_id: row.get(2)? }))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.explain(error))
    }

    fn close(&mut self, node: &Node, at: Timestamp) -> Result<usize, StoreError> {
        let sql = "UPDATE run SET ended = ?2, outcome = ?3, reason = 'the program that carried it out died',
                       succeeded = (SELECT count(*) FROM partial WHERE partial.run = run.key AND outcome = 'succeeded'),
                       failed = (SELECT count(*) FROM partial WHERE partial.run = run.key AND outcome NOT IN ('succeeded', 'cancelled')),
                       cancelled = partials - (SELECT count(*) FROM partial WHERE partial.run = run.key AND outcome <> 'cancelled')
                   WHERE node = ?1 AND ended IS NULL";
        let outcome = RunOutcome::Interrupted.name();
        self.connection.execute(sql, params![node.name, at.as_microsecond(), outcome]).map_err(|error| self.explain(error))
    }

    fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), StoreError> {
        append::append(&mut self.connection, &self.path, &self.node, epoch, records)
    }
}

/// Opens a connection with the settings that readers and the writer share.
pub(super) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| explain(path, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| explain(path, error))?;
    Ok(connection)
}

/// The version of the database, 0 for an empty file; anything that is not ours, or newer, is refused.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(|error| explain(path, error));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(|error| explain(path, error))?;
    if application != schema::APPLICATION_ID && (tables > 0 || version > 0) {
        return Err(StoreError::NotADatabase(path.to_owned()));
    }
    if version > schema::VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: schema::VERSION });
    }
    Ok(version)
}

/// Says in our words what went wrong.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase(path),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path, detail },
        _ => StoreError::Database { path, source: error },
    }
}

/// Makes the file and its directory for our eyes only; `SQLite` gives its other files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
