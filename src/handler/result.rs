//! The result of a process: what it wrote to `BATCHD_RESULT`, else the last line of its stdout when that is JSON.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde_json::value::{RawValue, to_raw_value};

use super::account::Account;
use super::{Attempt, Part};
use crate::engine::RunKey;
use crate::schedule::fnv_1a;

/// A result may have at most this many bytes.
pub(crate) const RESULT_MAX_BYTES: usize = 1024 * 1024;

/// Where results are written. The path also marks the processes of an attempt: it is in the environment of each and names the
/// daemon's state directory, the run and the partial, so no other daemon's process can have it.
///
/// The state directory is closed to other users. What their jobs write stands in a directory of the daemon's below `/tmp`: nobody
/// else can make, replace or remove anything in it, and each file is made by the daemon and given to the user of the job.
#[derive(Clone, Debug)]
pub(crate) struct ResultFiles {
    dir: PathBuf,
    shared: PathBuf,
}

/// No name of a file is longer: two numbers and a dash.
const NAME_MAX_BYTES: usize = 32;

/// Where every user finds a file whose name it knows.
const SHARED: &str = "/tmp";

/// Why a result was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResultError {
    #[error("result ignored: more than {RESULT_MAX_BYTES} bytes in BATCHD_RESULT")]
    TooLarge,
    #[error("result ignored: BATCHD_RESULT is not a regular file")]
    NotAFile,
    #[error("result ignored: cannot read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl ResultFiles {
    /// Of the daemon whose state is in `state_dir`.
    pub(crate) fn new(state_dir: &Path) -> Self {
        let hash = fnv_1a(state_dir.as_os_str().as_bytes().iter().copied());
        Self { dir: state_dir.join("results"), shared: Path::new(SHARED).join(format!("batchd-results-{hash:016x}")) }
    }

    /// Makes the directory and drops what attempts of an earlier daemon left: it must not become the result of a later one.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.remove()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> io::Result<()> {
        if geteuid().is_root() {
            // What cannot go is seen when a file is to be made in it.
            let _ = fs::remove_dir_all(&self.shared);
        }
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The file of an attempt, ready for its processes.
    pub(super) fn prepare(&self, attempt: &Attempt, account: Option<&Account>) -> PathBuf {
        let path = self.path(attempt, account);
        if let Some(account) = account
            && let Err(error) = self.give(&path, account)
        {
            tracing::warn!("cannot make the result file `{}`: {error}; the job cannot write BATCHD_RESULT", path.display());
        }
        path
    }

    pub(super) fn path(&self, attempt: &Attempt, account: Option<&Account>) -> PathBuf {
        let RunKey(run) = attempt.run.key;
        let dir = if account.is_some() { &self.shared } else { &self.dir };
        let mut name = String::with_capacity(NAME_MAX_BYTES);
        let _ = match attempt.part {
            Part::Partial { index, .. } => write!(name, "{run}-{index}"),
            Part::Gather => write!(name, "{run}-gather"),
            Part::Plan => write!(name, "{run}-plan"),
        };
        dir.join(name)
    }

    /// What the paths of all parts of a run begin with.
    pub(super) fn prefixes(&self, RunKey(run): RunKey) -> [PathBuf; 2] {
        [&self.dir, &self.shared].map(|dir| dir.join(format!("{run}-")))
    }

    /// What the paths of all its files begin with.
    pub(super) fn roots(&self) -> [PathBuf; 2] {
        [&self.dir, &self.shared].map(|dir| dir.join(""))
    }

    /// Makes an empty file that the account may write.
    fn give(&self, path: &Path, account: &Account) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o711).create(&self.shared) {
            // Whatever the umask says.
            Ok(()) => fs::set_permissions(&self.shared, fs::Permissions::from_mode(0o711))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&self.shared)?;
                if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
                    return Err(io::Error::other("its directory is not the daemon's own"));
                }
            }
            Err(error) => return Err(error),
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
    }
}

/// Reads and removes the result file, and falls back to the last line of stdout. Most attempts write none: one failed open.
pub(super) fn take(path: &Path, last_stdout: &[u8]) -> Result<Option<Box<RawValue>>, ResultError> {
    // The child made the file: a link in its place must not make us read elsewhere, a FIFO must not make us wait.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let text = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(json(last_stdout)),
        Err(source) => Err(ResultError::Read { path: path.to_owned(), source }),
        Ok(file) => read(&file, path),
    };
    // A file that stays would be taken for the result of the next attempt.
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("cannot remove the result file `{}`: {error}", path.display());
    }
    let text = text?;
    if text.is_empty() {
        // Made, and not written.
        return Ok(json(last_stdout));
    }
    Ok(json(&text).or_else(|| to_raw_value(&String::from_utf8_lossy(&text)).ok()))
}

fn read(file: &File, path: &Path) -> Result<Vec<u8>, ResultError> {
    let failed = |source| ResultError::Read { path: path.to_owned(), source };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ResultError::NotAFile);
    }
    let mut text = Vec::new();
    file.take(RESULT_MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > RESULT_MAX_BYTES { Err(ResultError::TooLarge) } else { Ok(text) }
}

/// The text as JSON; `None` when it is not one whole JSON value.
pub(super) fn json(text: &[u8]) -> Option<Box<RawValue>> {
    let text = text.trim_ascii();
    let first = text.first()?;
    let may_be = matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
    may_be.then(|| serde_json::from_slice(text).ok()).flatten()
}
