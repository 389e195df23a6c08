//! Open files: how many the daemon may have, how many it keeps for itself, and what its children may have.
//!
//! An attempt takes three. The soft limit of most systems, 1,024, exists for programs that use `select()`, which the daemon does
//! not: it raises its own to the hard one, and its children get back what it was started with.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// So many are kept for the records, the log and the socket; of a small limit, an eighth.
const KEPT: u64 = 64;

static LIMITS: OnceLock<Limits> = OnceLock::new();

/// So many will be opened by attempts that are under way.
static OWED: AtomicU64 = AtomicU64::new(0);

/// The limits of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// The soft one that the daemon was started with.
    given: u64,
    /// Its soft one now: the hard one.
    raised: u64,
}

/// Raises the daemon's soft limit to the hard one. Once, before the first attempt.
pub fn raise_open_files() -> Result<(), Errno> {
    let (given, raised) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, raised, raised)?;
    LIMITS.get_or_init(|| Limits { given, raised });
    Ok(())
}

/// The soft and the hard limit of children; `None`: as the daemon's.
pub(super) fn of_children() -> Option<(u64, u64)> {
    LIMITS.get().map(|limits| (limits.given, limits.raised)).filter(|(given, raised)| given != raised)
}

/// Whether enough are left for the daemon itself, now that an attempt has opened this one: the kernel gives the lowest number that
/// is free, so a high one says that all below are taken.
pub(super) fn leaves_room(newest: BorrowedFd<'_>) -> bool {
    let number = u64::try_from(newest.as_raw_fd()).unwrap_or(0) + OWED.load(Ordering::Relaxed);
    LIMITS.get().is_none_or(|limits| number < limits.raised - kept(limits.raised))
}

/// A descriptor that an attempt will open later, for as long as this lives: none of those that the daemon keeps.
#[derive(Debug)]
pub(super) struct Owed(());

impl Owed {
    pub(super) fn new() -> Self {
        OWED.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        OWED.fetch_sub(1, Ordering::Relaxed);
    }
}

fn kept(limit: u64) -> u64 {
    (limit / 8).min(KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_whatever_the_limit_is() {
        assert_eq!([32, 256, 1_024, 65_536].map(kept), [4, 32, 64, 64]);
    }
}
