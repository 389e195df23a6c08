//! The result of a process: what it wrote to `BATCHD_RESULT`, else the last line of its stdout when that is JSON.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::value::{RawValue, to_raw_value};

use super::{Attempt, Part};
use crate::engine::RunKey;

/// A result may have at most this many bytes.
pub(super) const RESULT_MAX_BYTES: usize = 1024 * 1024;

/// Where results are written. The path also marks the processes of an attempt: it is in the environment of each and names the
/// daemon's state directory, the run and the partial, so no other daemon's process can have it.
#[derive(Clone, Debug)]
pub(crate) struct ResultFiles {
    dir: PathBuf,
}

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
        Self { dir: state_dir.join("results") }
    }

    /// Makes the directory and drops what attempts of an earlier daemon left: it must not become the result of a later one.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)
    }

    pub(crate) fn path(&self, attempt: &Attempt) -> PathBuf {
        let RunKey(run) = attempt.run.key;
        self.dir.join(match attempt.part {
            Part::Partial { index, .. } => format!("{run}-{index}"),
            Part::Gather => format!("{run}-gather"),
            Part::Plan => format!("{run}-plan"),
        })
    }

    /// What the paths of all parts of a run begin with.
    pub(super) fn prefix(&self, RunKey(run): RunKey) -> PathBuf {
        self.dir.join(format!("{run}-"))
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
