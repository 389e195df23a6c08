//! The control group of an attempt, where a subtree of control groups (version 2) is the daemon's to divide.
//!
//! Nothing leaves its control group by forking, by a session of its own or by another environment, and `cgroup.kill` ends all of
//! it at once: what marks and sessions can only find is there by construction. The daemon may divide its own control group where
//! systemd has delegated it (`Delegate=yes`), where it belongs to the daemon's user, or where the daemon is the first process of
//! a container. It moves itself into the leaf `daemon`, since a group that has controllers for its children may hold no process.
//!
//! A child joins its group itself, between the `clone` and its program. `CLONE_INTO_CGROUP` would save it some milliseconds of
//! waiting for other processors (measured: 5 ms), but needs `clone3`, which systemd's `RestrictNamespaces=` takes from a unit, so
//! from ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The group of the daemon itself.
const OWN: &str = "daemon";

/// What begins the name of an attempt's group; the daemon's process follows, and the name of the attempt.
const PREFIX: &str = "attempt-";

/// Where processes go that outlive their attempt on purpose.
const LEFT: &str = "left";

/// What attempts can be limited by, where the machine has it.
const CONTROLLERS: [&str; 3] = ["+cpu", "+memory", "+pids"];

/// How long killed processes of an earlier daemon get to go, at the start.
const SWEEP_WITHIN: Duration = Duration::from_secs(1);

/// Where the groups of attempts are made.
static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Why there are no control groups for attempts.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    #[error("no control groups of version 2 are mounted")]
    NotMounted,
    #[error("`{}` is not delegated to batchd: see `Delegate=` of systemd", .0.display())]
    NotDelegated(PathBuf),
    #[error("`{}` cannot be divided: {source}", path.display())]
    Indivisible { path: PathBuf, source: io::Error },
}

/// The control group of one attempt. Dropped, it is removed when it is empty.
#[derive(Debug)]
pub(in crate::handler) struct Cgroup {
    path: PathBuf,
}

/// Takes over the daemon's own control group, to make those of attempts in it. Once, at start.
pub fn divide_cgroup() -> Result<&'static Path, NoCgroups> {
    let own = own_group()?;
    if !is_delegated(&own) {
        return Err(NoCgroups::NotDelegated(own));
    }
    let indivisible = |source| NoCgroups::Indivisible { path: own.clone(), source };
    let leaf = own.join(OWN);
    create(&leaf).and_then(|()| fs::write(leaf.join("cgroup.procs"), "0")).map_err(indivisible)?;
    for controller in CONTROLLERS {
        // One that the machine does not have, or has not delegated, limits nothing.
        let _ = fs::write(own.join("cgroup.subtree_control"), controller);
    }
    sweep(&own);
    Ok(ROOT.get_or_init(|| own))
}

impl Cgroup {
    /// Makes the group of an attempt; `None` where there are none. `name` is the attempt's alone among the live ones.
    pub(super) fn make(name: &str) -> io::Result<Option<Self>> {
        let Some(root) = ROOT.get() else { return Ok(None) };
        let path = root.join(format!("{PREFIX}{}-{name}", std::process::id()));
        create(&path)?;
        Ok(Some(Self { path }))
    }

    /// Writes one of its files, such as `memory.max`.
    pub(in crate::handler) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }

    /// Opened for a child that joins.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// The processes in it, and in the groups that they made below.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut groups = vec![self.path.clone()];
        while let Some(group) = groups.pop() {
            let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
            groups.extend(below(&group));
        }
        found
    }

    /// Whether a process lives in it or below.
    pub(super) fn is_populated(&self) -> bool {
        populated(&fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default())
    }

    /// Kills all of it; false when something was still there at the deadline.
    pub(super) fn kill(&self, deadline: Instant) -> bool {
        if let Err(error) = self.set("cgroup.kill", "1") {
            tracing::error!("cannot kill the control group `{}`: {error}", self.path.display());
            return false;
        }
        let Ok(events) = File::open(self.path.join("cgroup.events")) else { return true };
        while self.is_populated() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !changes(events.as_fd(), left) {
                return !self.is_populated();
            }
        }
        true
    }

    /// Moves what lives in it out of it, for it to stay alive.
    pub(super) fn let_go(&self) {
        let Some(left) = ROOT.get().map(|root| root.join(LEFT)) else { return };
        let moved = create(&left).and_then(|()| {
            // Each round takes what the one before has forked meanwhile.
            while let Some(pid) = self.processes().first() {
                match fs::write(left.join("cgroup.procs"), pid.to_string()) {
                    Err(error) if error.raw_os_error() != Some(Errno::ESRCH as i32) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        });
        if let Err(error) = moved {
            tracing::warn!("cannot move processes from `{}` to `{}`: {error}", self.path.display(), left.display());
        }
    }

    /// The CPU time of all that was ever in it.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let micros = field(&fs::read_to_string(self.path.join("cpu.stat")).ok()?, "usage_usec")?;
        Some(Duration::from_micros(micros))
    }

    /// The most memory that it held at once, in bytes; `None` where memory is not counted.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        fs::read_to_string(self.path.join("memory.peak")).ok()?.trim().parse().ok()
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub(super) fn killed_for_memory(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        field(&events, "oom_kill").unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Waits until the file says something new; false when it did not in time.
fn changes(events: BorrowedFd<'_>, within: Duration) -> bool {
    let timeout = Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: within.subsec_nanos().into() };
    // Read from the start first, for else the change counts as seen.
    let mut seen = [0; 256];
    let _ = rustix::io::pread(events, &mut seen, 0);
    if !populated(&String::from_utf8_lossy(&seen)) {
        return true;
    }
    poll(&mut [PollFd::from_borrowed_fd(events, PollFlags::PRI)], Some(&timeout)) != Ok(0)
}

/// Removes a group and those below it, as far as they are empty.
fn remove(group: &Path) {
    for inner in below(group) {
        remove(&inner);
    }
    match fs::remove_dir(group) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // What was left on purpose lives on in it.
        Err(error) => tracing::debug!("the control group `{}` stays: {error}", group.display()),
    }
}

/// Kills and removes what daemons before this one left of their attempts.
fn sweep(root: &Path) {
    for path in below(root) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((daemon, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { continue };
        let is_ours = daemon.parse() == Ok(std::process::id());
        if is_ours || !Path::new("/proc").join(daemon).exists() {
            Cgroup { path }.kill(Instant::now() + SWEEP_WITHIN);
        }
    }
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn create(group: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(group)
}

/// The directory of this process's control group.
fn own_group() -> Result<PathBuf, NoCgroups> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    find_group(&mounts, &groups).ok_or(NoCgroups::NotMounted)
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn find_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let below = Path::new("/").join(path);
        Some(Path::new(point).join(below.strip_prefix(root).ok()?))
    })
}

/// Whether the group is ours to divide. For root, all are writable, so that it takes a sign.
fn is_delegated(group: &Path) -> bool {
    if std::process::id() == 1 || !nix::unistd::geteuid().is_root() {
        return nix::unistd::access(group, nix::unistd::AccessFlags::W_OK).is_ok();
    }
    ["user.delegate", "trusted.delegate"].iter().any(|mark| {
        let mut value = [0; 8];
        rustix::fs::getxattr(group, *mark, &mut value).is_ok_and(|length| value[..length].starts_with(b"1"))
    })
}

fn populated(events: &str) -> bool {
    field(events, "populated") == Some(1)
}

/// A number from a file of lines `NAME NUMBER`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
        let group = |groups| find_group(mounts, groups).map(|path| path.display().to_string());
        assert_eq!(
            group("1:name=systemd:/\n0::/system.slice/batchd.service\n").as_deref(),
            Some("/sys/fs/cgroup/unified/system.slice/batchd.service")
        );
        assert_eq!(group("0::/\n").as_deref(), Some("/sys/fs/cgroup/unified/"));
        assert_eq!(group("1:name=systemd:/\n"), None);
        let inside = "31 30 0:27 /system.slice/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(find_group(inside, "0::/system.slice/x/y\n"), Some("/sys/fs/cgroup/y".into()));
        assert_eq!(find_group(inside, "0::/elsewhere\n"), None);
    }

    #[test]
    fn numbers_are_read_by_name() {
        let text = "populated 1\nfrozen 0\noom 3\noom_kill 2\n";
        assert_eq!([field(text, "oom_kill"), field(text, "frozen"), field(text, "none")], [Some(2), Some(0), None]);
        assert!(populated(text) && !populated("populated 0\n"));
    }
}
