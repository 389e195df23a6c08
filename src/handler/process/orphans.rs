//! The daemon is the subreaper of its jobs ([`become_subreaper`]): an orphan becomes its child, can be seen and must be reaped.
//! Reaping asks for numbers that are known to be orphans, one by one: a wait for "any child" would steal the status of another
//! attempt.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::sync::Notify;

static IS_SUBREAPER: AtomicBool = AtomicBool::new(false);

/// The children that attempts wait for themselves.
static OWNED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Told of each child that is started: from then on there may be orphans.
static STARTED: Notify = Notify::const_new();

/// Held for reading from before a spawn until the child is in [`OWNED`], and while one is taken out and reaped; for writing while
/// orphans are reaped.
static SPAWNING: RwLock<()> = RwLock::new(());

/// Makes this process the one that orphans of its jobs fall to. Once, at start.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    IS_SUBREAPER.store(true, Ordering::Relaxed);
    Ok(())
}

/// Waits until there may be orphans to reap: while an attempt is under way, and while something outlives its own. The first process
/// of a container does not wait, since those of strangers fall to it.
pub async fn orphans_may_come() {
    while std::process::id() != 1 && owned().is_empty() && adopted().is_empty() {
        STARTED.notified().await;
    }
}

/// Reaps the orphans that have exited; true when others live. Cheap without orphans. To be called now and then, in a process that
/// is a subreaper.
pub fn reap_orphans() -> bool {
    if !IS_SUBREAPER.load(Ordering::Relaxed) || adopted().is_empty() {
        return false;
    }
    let _no_spawn = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
    for orphan in adopted().into_iter().filter_map(Pid::from_raw) {
        // `None`: still alive. An error: gone, reaped by someone else.
        let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
    !adopted().is_empty()
}

/// A spawned child that its attempt reaps, for as long as this lives.
#[derive(Debug)]
pub(super) struct Owned(i32);

impl Owned {
    /// Starts a child, so that at no instant it can be taken for an orphan.
    pub(super) fn start<E>(start: impl FnOnce() -> Result<Pid, E>) -> Result<(Pid, Self), E> {
        let _spawning = SPAWNING.read().unwrap_or_else(PoisonError::into_inner);
        let pid = start()?;
        let number = pid.as_raw_nonzero().get();
        owned().insert(number);
        STARTED.notify_one();
        Ok((pid, Self(number)))
    }

    /// Reaps the child by `reap`, or has it back where that finds it alive. Orphans are not reaped meanwhile, so that none of them,
    /// nor a later child of the same number, is taken for another.
    pub(super) fn reap<T>(self, reap: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        let _no_orphans = SPAWNING.read().unwrap_or_else(PoisonError::into_inner);
        let number = self.0;
        drop(self);
        reap().ok_or_else(|| {
            owned().insert(number);
            Self(number)
        })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        owned().remove(&self.0);
    }
}

/// Orphans that fell to this process: the kernel gives them to its main thread, among whose children they stand beside those
/// that the main thread itself spawned.
pub(super) fn adopted() -> Vec<i32> {
    let children = children().unwrap_or_default();
    if children.is_empty() {
        return Vec::new();
    }
    let owned = owned();
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| !owned.contains(pid)).collect()
}

/// The children of the main thread, as procfs tells them: mostly none. The file stays open, since this is asked at each end.
fn children() -> io::Result<String> {
    static CHILDREN: OnceLock<File> = OnceLock::new();
    let file = if let Some(file) = CHILDREN.get() {
        file
    } else {
        let opened = File::open(format!("/proc/self/task/{}/children", std::process::id()))?;
        CHILDREN.get_or_init(|| opened)
    };
    let (mut all, mut piece) = (Vec::new(), [0; 512]);
    loop {
        let length = file.read_at(&mut piece, all.len() as u64)?;
        if length == 0 {
            break;
        }
        all.extend_from_slice(&piece[..length]);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

fn owned() -> MutexGuard<'static, BTreeSet<i32>> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}
