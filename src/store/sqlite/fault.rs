//! What the file system and `SQLite` said, sorted by what can be done about it.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::values;
use crate::store::StoreError;

pub(super) fn io_fault(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path: path.to_owned() },
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path: path.to_owned() },
        _ => StoreError::Io { path: path.to_owned(), fault: error.into() },
    }
}

pub(super) fn fault(path: &Path, error: rusqlite::Error) -> StoreError {
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
