//! A copy of the records while others write them.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::open::{Draft, quick_check};
use super::{Reader, fault};
use crate::store::StoreError;
use crate::store::error::shown;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("`{}` exists already; name a file that does not", shown(path))]
    Exists { path: PathBuf },
    #[error("`{}` is not UTF-8, as the name of a database has to be", shown(path))]
    NotUtf8 { path: PathBuf },
    #[error("cannot write `{}`: {source}", shown(path))]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reader {
    /// Copies all records, as they are at one moment, into the new file `to`, which is private to this user. It is on disk, and
    /// has been read back, before it has its name; what exists already is not overwritten.
    pub fn backup(&self, to: &Path) -> Result<(), BackupError> {
        let io = |source| BackupError::Io { path: to.to_owned(), source };
        let exists = || BackupError::Exists { path: to.to_owned() };
        if to.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let draft = Draft::beside(to).map_err(io)?;
        let name = draft.path.to_str().ok_or_else(|| BackupError::NotUtf8 { path: to.to_owned() })?;
        // One statement reads one state of the database. It also leaves out what was deleted.
        self.connection.execute("VACUUM INTO ?1", [name]).map_err(|error| fault(&self.path, error))?;
        read_back(&draft.path)?;
        draft.put(to).map_err(|error| if error.kind() == io::ErrorKind::AlreadyExists { exists() } else { io(error) })
    }
}

fn read_back(copy: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(copy, flags).and_then(|copy| quick_check(&copy, "1"));
    match found.map_err(|error| fault(copy, error))? {
        Some(found) => Err(StoreError::Corrupt { path: copy.to_owned(), found }),
        None => Ok(()),
    }
}
