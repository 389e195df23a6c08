//! Room on the disk that is kept for the ends of runs: a file that is given up when the disk is full.
//!
//! Without it, a full disk would mean that what has started ends without a record, and counts as lost after a restart.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// The file inside the state directory.
const RESERVE_FILE: &str = "reserve";

/// Room for the ends of some ten thousand partials.
const MOST: u64 = 8 << 20;
const LEAST: u64 = 256 << 10;

/// Of a small file system, one part in so many is kept.
const PART: u64 = 16;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Spent,
    /// The file system cannot keep room: nothing is lost by that but the reserve.
    Unsupported,
}

impl Reserve {
    /// Keeps room in `state_dir`, or goes on keeping what an earlier daemon kept. Where there is not as much, it counts as spent.
    pub(super) fn keep(state_dir: &Path) -> Self {
        let path = state_dir.join(RESERVE_FILE);
        let state = allocate(&path, size(state_dir));
        Self { path, state }
    }

    /// Whether what is written now lives on the reserve.
    pub(super) fn is_spent(&self) -> bool {
        self.state == State::Spent
    }

    /// Gives the room up, once.
    pub(super) fn spend(&mut self) -> bool {
        let given_up = self.state == State::Kept && fs::remove_file(&self.path).is_ok();
        if given_up {
            self.state = State::Spent;
        }
        given_up
    }

    /// Keeps the room again once there is as much beside it, so that the next record does not spend it at once.
    pub(super) fn refill(&mut self) {
        let Some(dir) = self.path.parent().filter(|_| self.is_spent()) else { return };
        let size = size(dir);
        if free(dir).is_none_or(|free| free >= 2 * size) {
            self.state = allocate(&self.path, size);
        }
    }
}

fn allocate(path: &Path, size: u64) -> State {
    // Not truncated: on a full disk others would take what is kept already.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let allocated = file.map_err(|error| error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)).and_then(|file| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        posix_fallocate(&file, 0, size)
    });
    match allocated {
        Ok(()) => State::Kept,
        Err(error) => {
            // What was allocated so far is of no use. It may not be there at all.
            let _ = fs::remove_file(path);
            if matches!(error, Errno::ENOSPC | Errno::EDQUOT) { State::Spent } else { State::Unsupported }
        }
    }
}

fn size(dir: &Path) -> u64 {
    statvfs(dir).map_or(MOST, |disk| (disk.blocks() * disk.fragment_size() / PART).clamp(LEAST, MOST))
}

fn free(dir: &Path) -> Option<u64> {
    statvfs(dir).ok().map(|disk| disk.blocks_available() * disk.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spent_once_and_kept_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(RESERVE_FILE);
        let mut reserve = Reserve::keep(dir.path());
        assert!(!reserve.is_spent());
        let length = file.metadata().expect("is there").len();
        assert!((LEAST..=MOST).contains(&length), "{length}");
        assert!(reserve.spend());
        assert!(reserve.is_spent() && !file.exists());
        assert!(!reserve.spend(), "it is gone");
        reserve.refill();
        assert!(!reserve.is_spent() && file.exists());
    }

    #[test]
    fn what_is_kept_already_is_kept_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let inode = || std::os::unix::fs::MetadataExt::ino(&dir.path().join(RESERVE_FILE).metadata().expect("is there"));
        drop(Reserve::keep(dir.path()));
        let before = inode();
        assert!(!Reserve::keep(dir.path()).is_spent());
        assert_eq!(inode(), before);
    }

    #[test]
    fn a_directory_that_cannot_keep_it_does_without() {
        let mut reserve = Reserve::keep(Path::new("/nowhere"));
        assert!(!reserve.is_spent());
        assert!(!reserve.spend());
    }
}
