//! What can be read of a damaged database, in a new one in its place. The damaged one is kept.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::inspect::{self, LOST_PARTIALS};
use super::open::{Draft, known_version, log_path, missing, refuse_cut_off, sync_dir};
use super::salvage::{Saved, salvage};
use super::{fault, io_fault, schema};
use crate::store::error::shown;
use crate::store::{DATABASE_FILE, LockError, StateLock, StoreError};

/// Begins the extension of a damaged database's second name; the time follows.
const BROKEN: &str = "broken-";

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The damaged database.
    pub aside: PathBuf,
    /// By table.
    pub saved: Vec<Saved>,
    /// Runs that have lost partials: the first hundred names.
    pub incomplete: Vec<String>,
    /// What does not hang together any more.
    pub problems: Vec<String>,
}

/// Why nothing was repaired. The database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(
        "nothing can be read of the database `{}`: {found}; put a backup in its place, or remove the whole directory to begin anew",
        shown(path)
    )]
    Unreadable { path: PathBuf, found: String },
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for RepairError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { path, found } => Self::Unreadable { path, found },
            error => Self::Store(error),
        }
    }
}

/// Repairs the database in `state_dir`, which no daemon may use meanwhile. `None`: nothing is wrong with it.
pub fn repair(state_dir: &Path, now: Timestamp) -> Result<Option<Repaired>, RepairError> {
    let path = state_dir.join(DATABASE_FILE);
    if !path.exists() {
        return Err(missing(&path).into());
    }
    let _lock = StateLock::acquire(state_dir)?;
    refuse_cut_off(&path)?;
    // What cannot be read at all stays as it is.
    let version = readable_version(&path)?;
    let broken_off = broken_off(&path).map_err(|error| io_fault(&path, error))?;
    if broken_off.is_none() && is_sound(&path) {
        return Ok(None);
    }
    let aside = broken_off.map_or_else(|| keep_aside(&path, now), Ok).map_err(|error| io_fault(&path, error))?;
    let failed = |error| fault(&aside, error);
    let damaged = read_only(&aside).map_err(failed)?;

    let draft = Draft::beside(&path).map_err(|error| io_fault(&path, error))?;
    let mut new = Connection::open(&draft.path).map_err(failed)?;
    // The draft is synced as a whole, before it gets its name.
    new.execute_batch("PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA foreign_keys = on;").map_err(failed)?;
    schema::migrate_to(&mut new, 0, version).map_err(failed)?;
    let saved = salvage(&damaged, &new).map_err(failed)?;
    let incomplete = settle(&new, version).map_err(failed)?;
    let problems = inspect::inspect(&new).map_err(failed)?.problems;
    new.close().map_err(|(_, error)| failed(error))?;
    drop(damaged);
    // Nothing of the old log may be taken for a part of the new database.
    for old in [log_path(&path), path.with_extension("db-shm"), beside(&aside, "-shm")] {
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_fault(&old, error).into()),
            _ => {}
        }
    }
    draft.replace(&path).map_err(|error| io_fault(&path, error))?;
    Ok(Some(Repaired { aside, saved, incomplete, problems }))
}

/// The schema version of a database whose first page can be read: it says where the tables are.
fn readable_version(path: &Path) -> Result<i64, StoreError> {
    let database = read_only(path).map_err(|error| fault(path, error))?;
    let version = known_version(&database, path)?;
    match database.prepare("SELECT 1 FROM node, job, run") {
        Ok(_) => Ok(version),
        Err(error) => Err(StoreError::Corrupt { path: path.to_owned(), found: error.to_string().escape_debug().to_string() }),
    }
}

fn is_sound(path: &Path) -> bool {
    let inspected = read_only(path).and_then(|connection| inspect::inspect(&connection));
    inspected.is_ok_and(|found| found.problems.is_empty())
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// The second name of the damaged database, when an earlier repair was broken off. Its log may have no other name by now.
fn broken_off(path: &Path) -> io::Result<Option<PathBuf>> {
    let prefix = format!("{DATABASE_FILE}.{BROKEN}");
    let inode = path.metadata()?.ino();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) && entry.metadata()?.ino() == inode {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Gives the database and its log a second name each.
fn keep_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let aside = path.with_extension(format!("db.{BROKEN}{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let log = log_path(path);
    if log.exists() {
        fs::hard_link(&log, beside(&aside, "-wal"))?;
    }
    fs::hard_link(path, &aside)?;
    sync_dir(path)?;
    Ok(aside)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes what is counted fit what was saved; the runs that have lost partials.
fn settle(new: &Connection, version: i64) -> rusqlite::Result<Vec<String>> {
    let partials = if version >= schema::WITH_STREAKS { "every_partial" } else { "partial" };
    let succeeded = format!("(SELECT count(*) FROM {partials} WHERE run = key AND outcome = 'succeeded')");
    let lost = format!(
        "UPDATE run SET reason = coalesce(reason || '; ', '') || ?1 WHERE ended IS NOT NULL AND succeeded > {succeeded} RETURNING id"
    );
    let mut incomplete: Vec<String> = new.prepare(&lost)?.query_map([LOST_PARTIALS], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let live = format!(
        "UPDATE run SET succeeded = {succeeded},
             failed = (SELECT count(*) FROM partial WHERE run = key AND outcome NOT IN ('succeeded', 'cancelled')),
             cancelled = (SELECT count(*) FROM partial WHERE run = key AND outcome = 'cancelled')
         WHERE ended IS NULL AND succeeded > {succeeded} RETURNING id"
    );
    incomplete.extend(new.prepare(&live)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?);
    if version >= 3 {
        new.execute_batch(
            "DELETE FROM captured;
             INSERT INTO captured (bytes, cut_upto) SELECT coalesce(sum(length(head) + length(tail)), 0), 0 FROM output;",
        )?;
    }
    incomplete.truncate(100);
    Ok(incomplete)
}
