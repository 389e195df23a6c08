//! The store of one machine: a `SQLite` database in write-ahead mode, synced at each commit.
//!
//! A database that cannot be trusted is refused, never replaced by an empty one: an empty one would forget what was decided,
//! and batches would run twice or not at all.

mod accounts;
mod append;
mod forget;
mod outbox;
mod plan;
mod reader;
mod recover;
mod schema;
mod values;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, ffi, params};

pub use reader::{MAX_CANDIDATES, MAX_PAGE, Reader};

use super::lock::make_state_dir;
use super::reserve::Reserve;
use super::{DATABASE_FILE, Epoch, Node, PlanAnswer, PlanStep, Retention, Store, StoreError};
use crate::engine::{Record, Recovery, RunId};

/// How long a statement waits for another program's lock before the append is refused (and tried again by the writer).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Databases up to this many bytes are checked whole when opened, about 0.1 s; greater ones show damage when it is met.
const MAX_CHECKED_BYTES: u64 = 16 << 20;

/// The write-ahead log is cut back to this many bytes after a checkpoint.
const MAX_IDLE_WAL_BYTES: i64 = 16 << 20;

/// Prepared statements kept; more than there are.
const STATEMENTS: usize = 32;

/// The writing connection.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    /// Device and inode of the file that was opened.
    file: (u64, u64),
    busy_timeout: Duration,
    node: Option<String>,
    /// A write or sync failed: the connection's view of the file is not to be trusted, so the next append opens it anew.
    failed: bool,
    /// The jobs that have got runs since their number was looked at; all of them at first.
    fired: Option<BTreeSet<String>>,
    reserve: Option<Reserve>,
    /// Bytes of captured output; `None` until it is known.
    captured: Option<u64>,
}

impl Sqlite {
    /// Open the database in `state_dir`, or make both where there is none.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        Self::open_patiently(state_dir, BUSY_TIMEOUT)
    }

    pub(super) fn open_patiently(state_dir: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        make_state_dir(state_dir).map_err(|error| io_fault(state_dir, error))?;
        let path = state_dir.join(DATABASE_FILE);
        if !path.try_exists().map_err(|error| io_fault(&path, error))? {
            create(&path)?;
        }
        refuse_cut_off(&path)?;
        let connection = connect(&path, busy_timeout)?;
        let file = file_identity(&path)?;
        Ok(Self { path, connection, file, busy_timeout, node: None, failed: false, fired: None, reserve: None, captured: None })
    }

    /// Opens it for the daemon, of which there is one: with room that is kept on the disk for the ends of runs. On a full disk it
    /// opens in that room.
    pub fn open_with_reserve(state_dir: &Path) -> Result<Self, StoreError> {
        make_state_dir(state_dir).map_err(|error| io_fault(state_dir, error))?;
        let mut reserve = Reserve::keep(state_dir);
        let opened = match Self::open(state_dir) {
            // Without space for the index of its log, `SQLite` says that it cannot open the file.
            Err(StoreError::Full { .. } | StoreError::Io { .. }) if reserve.spend() => Self::open(state_dir),
            opened => opened,
        };
        opened.map(|store| Self { reserve: Some(reserve), ..store })
    }

    /// Does `write`; on a full disk once more, in the room that was kept.
    fn in_reserve<T>(&mut self, mut write: impl FnMut(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match write(self) {
            Err(StoreError::Full { .. }) if self.reserve.as_mut().is_some_and(Reserve::spend) => write(self),
            done => done,
        }
    }

    fn try_append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), StoreError> {
        let node = self.node.as_deref().ok_or(StoreError::NotJoined)?;
        let short = self.reserve.as_ref().is_some_and(Reserve::is_spent);
        let captured = append::append(&mut self.connection, node, epoch, records, short).map_err(|refusal| refusal.at(&self.path))?;
        self.captured = captured.or(self.captured);
        Ok(())
    }

    /// A file moved away is still written by this connection, but whoever starts next would not find what it writes.
    fn refuse_replaced(&self) -> Result<(), StoreError> {
        match file_identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(StoreError::Replaced { path: self.path.clone() }),
        }
    }

    fn ready(&mut self) -> Result<(), StoreError> {
        self.refuse_replaced()?;
        if self.failed {
            self.connection = connect(&self.path, self.busy_timeout)?;
            self.failed = false;
        }
        Ok(())
    }

    fn node(&self) -> Result<&str, StoreError> {
        self.node.as_deref().ok_or(StoreError::NotJoined)
    }
}

impl Store for Sqlite {
    fn join(&mut self, node: &Node) -> Result<Epoch, StoreError> {
        self.ready()?;
        let epoch = self.in_reserve(|store| join(&mut store.connection, node).map_err(|error| fault(&store.path, error)))?;
        self.node = Some(node.name.clone());
        Ok(Epoch(epoch))
    }

    fn recover(&mut self) -> Result<Recovery, StoreError> {
        self.ready()?;
        recover::recover(&self.connection, self.node()?).map_err(|error| fault(&self.path, error))
    }

    fn append(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), StoreError> {
        self.ready()?;
        if let Some(fired) = &mut self.fired {
            fired.extend(records.iter().filter_map(fired_job).map(str::to_owned));
        }
        let done = self.in_reserve(|store| store.try_append(epoch, records));
        self.failed = matches!(done, Err(StoreError::Io { .. }));
        done
    }

    fn forget(&mut self, epoch: Epoch, retention: &Retention) -> Result<bool, StoreError> {
        self.ready()?;
        let node = self.node.as_deref().ok_or(StoreError::NotJoined)?;
        if self.fired.is_none() {
            let jobs = self.connection.prepare("SELECT name FROM job").and_then(|mut jobs| jobs.query_map([], |row| row.get(0))?.collect());
            self.fired = Some(jobs.map_err(|error| fault(&self.path, error))?);
        }
        let fired = self.fired.get_or_insert_default();
        let step = forget::step(&mut self.connection, node, epoch, retention, fired).map_err(|refusal| refusal.at(&self.path))?;
        self.captured = Some(step.captured);
        Ok(step.more)
    }

    fn is_over(&self, retention: &Retention) -> bool {
        self.captured.is_some_and(|captured| captured > retention.output)
    }

    fn room(&mut self) -> Result<(), StoreError> {
        let Some(reserve) = &mut self.reserve else { return Ok(()) };
        reserve.refill();
        if reserve.is_spent() { Err(StoreError::Short { path: self.path.clone() }) } else { Ok(()) }
    }

    fn plan(&mut self, epoch: Epoch, step: &PlanStep) -> Result<PlanAnswer, StoreError> {
        self.ready()?;
        let node = self.node.as_deref().ok_or(StoreError::NotJoined)?;
        let done = plan::step(&mut self.connection, node, epoch, step).map_err(|refusal| refusal.at(&self.path));
        self.failed = matches!(done, Err(StoreError::Io { .. }));
        done
    }

    fn finish_abandoned(&mut self, epoch: Epoch, at: Timestamp, is_alive: &dyn Fn(u32, &str) -> bool) -> Result<Vec<RunId>, StoreError> {
        self.ready()?;
        self.in_reserve(|store| {
            let node = store.node.as_deref().ok_or(StoreError::NotJoined)?;
            append::finish_abandoned(&mut store.connection, node, epoch, at, is_alive).map_err(|refusal| refusal.at(&store.path))
        })
    }
}

/// The job that gets a run.
fn fired_job(record: &Record) -> Option<&str> {
    match record {
        Record::Fired { run, .. } => Some(&run.job.name),
        _ => None,
    }
}

fn join(connection: &mut Connection, node: &Node) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let epoch = transaction.query_row(
        "INSERT INTO node (name, epoch, pid, boot_id) VALUES (?1, 1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1, pid = excluded.pid, boot_id = excluded.boot_id
         RETURNING epoch",
        params![node.name, node.pid, node.boot_id],
        |row| row.get(0),
    )?;
    transaction.commit()?;
    Ok(epoch)
}

/// Make the database under another name and link it into place whole, so that a file under its own name that is empty or has no
/// tables is always damage, and the first of two creators wins.
fn create(path: &Path) -> Result<(), StoreError> {
    let failed = |error| io_fault(path, error);
    if path.with_extension("db-wal").exists() {
        let found = "the file is missing, but its `-wal` is there".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), found });
    }
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
    let made = Connection::open(&draft).and_then(|mut connection| {
        schema::migrate(&mut connection, 0)?;
        connection.close().map_err(|(_, error)| error)
    });
    let linked = made.map_err(|error| fault(path, error)).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    });
    fs::remove_file(&draft).map_err(failed)?;
    linked?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// `SQLite` takes an empty file for an empty database; here it is what a crash of the file system leaves.
fn refuse_cut_off(path: &Path) -> Result<(), StoreError> {
    let length = fs::metadata(path).map_err(|error| io_fault(path, error))?.len();
    if length == 0 {
        return Err(StoreError::Corrupt { path: path.to_owned(), found: "the file is empty".to_owned() });
    }
    Ok(())
}

fn connect(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let failed = |error| fault(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    let version = known_version(&connection, path)?;
    configure(&connection).map_err(failed)?;
    refuse_damaged(&connection, path)?;
    schema::migrate(&mut connection, version).map_err(failed)?;
    Ok(connection)
}

/// The schema version of a database that this release can read.
fn known_version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
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

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", MAX_IDLE_WAL_BYTES)
}

fn refuse_damaged(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    if fs::metadata(path).map_err(|error| io_fault(path, error))?.len() > MAX_CHECKED_BYTES {
        return Ok(());
    }
    let found: Option<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).optional().map_err(|error| fault(path, error))?;
    match found {
        Some(found) if found != "ok" => {
            let found = found.lines().last().unwrap_or_default().escape_debug().to_string();
            Err(StoreError::Corrupt { path: path.to_owned(), found })
        }
        _ => Ok(()),
    }
}

fn file_identity(path: &Path) -> Result<(u64, u64), StoreError> {
    let file = fs::metadata(path).map_err(|error| io_fault(path, error))?;
    Ok((file.dev(), file.ino()))
}

fn io_fault(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path: path.to_owned() },
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path: path.to_owned() },
        _ => StoreError::Io { path: path.to_owned(), fault: error.into() },
    }
}

/// Sort what `SQLite` said by what can be done about it.
fn fault(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    if error.sqlite_error().is_some_and(|inner| inner.extended_code == ffi::SQLITE_READONLY_DBMOVED) {
        return StoreError::Replaced { path };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path, found: "it is no SQLite file".to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, found: error.to_string().escape_debug().to_string() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { path },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => StoreError::Io { path, fault: error.into() },
        _ if values::is_unreadable(&error) => StoreError::Corrupt { path, found: error.to_string().escape_debug().to_string() },
        _ => StoreError::Database { path, fault: error.into() },
    }
}
