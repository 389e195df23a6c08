//! The store of one machine: a `SQLite` database in write-ahead mode, synced at each commit.
//!
//! A database that cannot be trusted is refused, never replaced by an empty one: an empty one would forget what was decided,
//! and batches would run twice or not at all.

mod accounts;
mod append;
mod backup;
mod fault;
mod forget;
mod inspect;
mod listed;
mod open;
mod outbox;
mod partials;
mod plan;
mod reader;
mod recover;
mod repair;
mod salvage;
mod schema;
mod streak;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

pub use self::backup::BackupError;
use self::fault::{fault, io_fault};
pub use self::inspect::Inspection;
pub use self::listed::PackedTargets;
use self::open::{Changed, Files};
pub use self::reader::{MAX_CANDIDATES, MAX_PAGE, Reader};
pub use self::repair::{RepairError, Repaired, repair};
pub use self::salvage::Saved;
use super::lock::make_state_dir;
use super::reserve::Reserve;
use super::{DATABASE_FILE, Epoch, Node, PlanAnswer, PlanStep, Retention, Store, StoreError};
use crate::engine::{Record, Recovery, RunId};
use crate::memory;

/// How long a statement waits for another program's lock before the append is refused (and tried again by the writer).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The writing connection.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    /// The files as they were opened.
    files: Files,
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
        let connection = open::open_or_make(&path, busy_timeout)?;
        let files = Files::of(&path)?;
        Ok(Self { path, connection, files, busy_timeout, node: None, failed: false, fired: None, reserve: None, captured: None })
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

    fn ready(&mut self) -> Result<(), StoreError> {
        match self.files.changed(&self.path) {
            Changed::Nothing => {}
            Changed::LogDeleted => self.take_over_log()?,
            Changed::Replaced => return Err(StoreError::Replaced { path: self.path.clone() }),
        }
        if self.failed { self.open_anew() } else { Ok(()) }
    }

    /// What was written is read from the deleted log and put into the database. After that a new log can be begun, and not before the
    /// last connection to the old one is closed: `SQLite` would share its locks and its index with the new one.
    fn take_over_log(&mut self) -> Result<(), StoreError> {
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        match checkpoint.map_err(|error| fault(&self.path, error))? {
            0 => self.failed = true,
            _busy => return Err(StoreError::Locked { path: self.path.clone() }),
        }
        self.connection = Connection::open_in_memory().map_err(|error| fault(&self.path, error))?;
        Ok(())
    }

    /// The old connection is closed last: while there is one, the index of the log does not have what could not be synced. Read
    /// from the log anew that would count as written, though it may not be on the disk, and the records would be there twice.
    fn open_anew(&mut self) -> Result<(), StoreError> {
        self.connection = open::connect(&self.path, self.busy_timeout)?;
        self.files = Files::of(&self.path)?;
        self.failed = false;
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
        if !step.more {
            // Much was written or walked through, and the daemon may now sleep for hours: the pages need no memory meanwhile.
            self.connection.execute_batch("PRAGMA shrink_memory").map_err(|error| fault(&self.path, error))?;
            memory::give_back();
        }
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
