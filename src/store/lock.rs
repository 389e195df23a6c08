//! One daemon per state directory: a lock that the kernel gives up with its holder, not a pid file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The lock; given up when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct StateLock {
    _lock: Flock<File>,
}

/// Why the state directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another daemon (pid {holder}) runs with the state directory `{}`", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("cannot use the state directory `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl StateLock {
    /// Takes the lock of `directory`, which is made (mode 0700) where there is none. Fails at once when another holds it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let path = directory.join("lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                write_pid(&mut lock).map_err(failed)?;
                Ok(Self { _lock: lock })
            }
            Err((mut file, Errno::EAGAIN)) => Err(LockError::Held { path: directory.to_owned(), holder: read_pid(&mut file) }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The pid in the file, for people: digits only, whoever wrote it.
fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    // What cannot be read is shown as unknown.
    let _ = file.take(20).read_to_string(&mut text);
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() { "unknown".to_owned() } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_and_told_who_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("state");
        let first = StateLock::acquire(&state).expect("free");
        let refused = StateLock::acquire(&state).expect_err("held").to_string();
        let expected = format!("another daemon (pid {}) runs with the state directory `{}`", std::process::id(), state.display());
        assert_eq!(refused, expected);
        drop(first);
        StateLock::acquire(&state).expect("free again");
    }
}
