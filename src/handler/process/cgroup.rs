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
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::limits::{self, MemoryEvents};
use crate::config::{Controller, Limits};

/// The group of the daemon itself.
const OWN: &str = "daemon";

/// What begins the name of an attempt's group; the daemon's process follows, and the name of the attempt.
const PREFIX: &str = "attempt-";

/// Where processes go that outlive their attempt on purpose.
const LEFT: &str = "left";

/// How long killed processes of an earlier daemon get to go, at the start.
const SWEEP_WITHIN: Duration = Duration::from_secs(1);

/// Where the groups of attempts are made, once that was tried.
static DIVISION: OnceLock<Result<Division, NoCgroups>> = OnceLock::new();

/// A control group whose children attempts may be.
#[derive(Debug)]
struct Division {
    root: PathBuf,
    /// What its children cannot be limited by, and why.
    lacking: Vec<(Controller, String)>,
}

/// Why there are no control groups for attempts.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    #[error("this program has not looked for control groups")]
    Untried,
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

/// Takes over the daemon's own control group, to make those of attempts in it: the first time that it is called, at start, before any
/// configuration is read.
pub fn divide_cgroup() -> Result<&'static Path, &'static NoCgroups> {
    DIVISION.get_or_init(divide).as_ref().map(|division| &*division.root)
}

/// Why the attempts of this process cannot be limited by it; `None`: they can.
pub fn no_controller(controller: Controller) -> Option<String> {
    match division() {
        Ok(division) => division.lacks(controller).map(str::to_owned),
        Err(reason) => Some(reason.to_string()),
    }
}

/// Why no daemon on this machine can limit attempts by it; `None`: one to which it is delegated can.
pub fn no_controller_here(controller: Controller) -> Option<String> {
    let Some((point, _)) = find_mount(&mounts()) else { return Some(NoCgroups::NotMounted.to_string()) };
    let has = has(&point.join("cgroup.controllers"), controller);
    (!has).then(|| format!("its control groups of version 2, in `{}`, have no controller `{}`", point.display(), controller.name()))
}

/// What is left for the process itself to be limited by: not what its control group is.
pub(in crate::handler) fn beside_group(limits: &Limits) -> Limits {
    let processes = limits.processes.filter(|_| no_controller(Controller::Pids).is_some());
    Limits { processes, ..*limits }
}

fn division() -> Result<&'static Division, &'static NoCgroups> {
    DIVISION.get().map_or(Err(&NoCgroups::Untried), Result::as_ref)
}

fn divide() -> Result<Division, NoCgroups> {
    let root = own_group()?;
    if !is_delegated(&root) {
        return Err(NoCgroups::NotDelegated(root));
    }
    let leaf = root.join(OWN);
    let moved = create(&leaf).and_then(|()| fs::write(leaf.join("cgroup.procs"), "0"));
    moved.map_err(|source| NoCgroups::Indivisible { path: root.clone(), source })?;
    let lacking = Controller::ALL.into_iter().filter_map(|controller| Some((controller, enable(&root, controller).err()?))).collect();
    sweep(&root);
    Ok(Division { root, lacking })
}

/// Has the children of the group limited by the controller, or tells why not.
fn enable(group: &Path, controller: Controller) -> Result<(), String> {
    let (shown, name) = (group.display(), controller.name());
    if !has(&group.join("cgroup.controllers"), controller) {
        return Err(format!("`{shown}` has no controller `{name}`"));
    }
    let enabled = fs::write(group.join("cgroup.subtree_control"), format!("+{name}"));
    enabled.map_err(|error| format!("`{shown}` does not give its controller `{name}` on: {error}"))
}

/// Whether the list of controllers in the file has it.
fn has(file: &Path, controller: Controller) -> bool {
    fs::read_to_string(file).is_ok_and(|list| list.split_whitespace().any(|name| name == controller.name()))
}

impl Division {
    /// Why attempts cannot be limited by the controller; `None`: they can.
    fn lacks(&self, controller: Controller) -> Option<&str> {
        self.lacking.iter().find(|(lacking, _)| *lacking == controller).map(|(_, reason)| reason.as_str())
    }
}

impl Cgroup {
    /// Makes the group of an attempt, within its limits; `None` where there are none, which is an error for one that is to be limited.
    /// `name` is the attempt's alone among the live ones.
    pub(super) fn make(name: &str, limits: &Limits) -> io::Result<Option<Self>> {
        match division() {
            Ok(division) => Self::within(division, name, limits).map(Some),
            Err(_) if limits.memory.is_none() && limits.tasks_cpu.is_none() => Ok(None),
            Err(reason) => Err(io::Error::other(reason.to_string())),
        }
    }

    fn within(division: &Division, name: &str, limits: &Limits) -> io::Result<Self> {
        let path = division.root.join(format!("{PREFIX}{}-{name}", std::process::id()));
        create(&path)?;
        let group = Self { path };
        for setting in limits::settings(limits, |controller| division.lacks(controller).is_none()) {
            match group.set(setting.file, &setting.value) {
                Err(error) if setting.is_optional && error.kind() == ErrorKind::NotFound => {}
                set => set.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", setting.file)))?,
            }
        }
        Ok(group)
    }

    /// Writes one of its files, such as `memory.max`.
    pub(in crate::handler) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        // Never made: a file that the kernel does not have is to be told from one that it refuses.
        OpenOptions::new().write(true).open(self.path.join(file))?.write_all(value.as_bytes())
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
        let Ok(left) = division().map(|division| division.root.join(LEFT)) else { return };
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

    /// What the kernel did to it for want of memory.
    pub(super) fn memory_events(&self) -> MemoryEvents {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let count = |name| field(&events, name).unwrap_or(0);
        MemoryEvents { at_limit: count("oom"), killed: count("oom_kill") }
    }

    /// Whether one of its processes could not fork.
    pub(super) fn has_refused_processes(&self) -> bool {
        let events = fs::read_to_string(self.path.join("pids.events")).unwrap_or_default();
        field(&events, "max").is_some_and(|refused| refused > 0)
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
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    find_group(&mounts(), &groups).ok_or(NoCgroups::NotMounted)
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn find_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let (point, root) = find_mount(mounts)?;
    Some(point.join(Path::new("/").join(path).strip_prefix(root).ok()?))
}

/// Where control groups of version 2 are mounted, and which of them is there.
fn find_mount(mounts: &str) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup2 ").then(|| (point.into(), root.into()))
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
mod tests;
