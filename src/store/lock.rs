//! One daemon per state directory: a `flock` on a file in it, which the kernel releases however the daemon ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::shown;

/// The locked file inside the state directory. It stays when the lock is released: removing it would let two daemons lock two
/// files of the same name.
const LOCK_FILE: &str = "lock";

/// The longest pid text that is read back.
const MAX_PID_DIGITS: u64 = 10;

/// Held for as long as this process is the daemon of the directory.
#[derive(Debug)]
pub struct StateLock {
    // Closing the file releases the lock.
    _file: File,
}

/// Why the directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} uses the state directory `{}`; stop it, or name another `state_dir`", holder(*pid), shown(dir))]
    Held { dir: PathBuf, pid: Option<u32> },
    #[error("cannot create or lock `{}`: {source}", shown(path))]
    Io { path: PathBuf, source: io::Error },
}

impl StateLock {
    /// Take the directory, which is made (mode 0700) where it is missing. Does not wait.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        make_state_dir(dir).map_err(|source| LockError::Io { path: dir.to_owned(), source })?;
        let path = dir.join(LOCK_FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { dir: dir.to_owned(), pid: read_pid(&mut file) }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Make the directory and its parents; those made are private to this user.
pub(super) fn make_state_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// `None` in the instant between the holder's lock and its writing.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_DIGITS).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another batchd".to_owned(), |pid| format!("another batchd (pid {pid})"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = StateLock::acquire(dir.path()).expect("is free");
        let refused = StateLock::acquire(dir.path()).expect_err("is held").to_string();
        let (pid, dir) = (std::process::id(), dir.path().display());
        assert_eq!(refused, format!("another batchd (pid {pid}) uses the state directory `{dir}`; stop it, or name another `state_dir`"));
    }

    #[test]
    fn dropping_releases() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(StateLock::acquire(dir.path()).expect("is free"));
        StateLock::acquire(dir.path()).expect("is free");
    }

    #[test]
    fn a_missing_directory_is_made_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("a/state");
        let _held = StateLock::acquire(&state).expect("is free");
        assert_eq!(state.metadata().expect("is there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_in_its_place_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("a directory");
        assert!(matches!(StateLock::acquire(file.path()), Err(LockError::Io { .. })));
    }
}
