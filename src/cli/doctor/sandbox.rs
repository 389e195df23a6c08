//! The unit that the daemon runs in: what a job may not do there, and which line of the unit is to blame.

use std::path::Path;

use super::Check;
use super::machine::Machine;
use crate::cli::import::find_unit;
use crate::config::Controller;
use crate::exchange::systemd::{Unit, is_true};

/// Programs that become another user, for which setuid has to work.
const SETUID: [&str; 10] = ["sudo", "su", "doas", "pkexec", "runuser", "newgrp", "mount", "umount", "crontab", "at"];

/// Programs whose memory is both writable and executable.
const JIT: [&str; 8] = ["node", "nodejs", "java", "deno", "bun", "dotnet", "luajit", "pypy3"];

/// Programs that change priorities.
const RESOURCES: [&str; 4] = ["nice", "ionice", "renice", "taskset"];

/// Programs that make namespaces.
const NAMESPACES: [&str; 9] = ["unshare", "nsenter", "bwrap", "podman", "buildah", "firejail", "flatpak", "systemd-nspawn", "lxc-execute"];

/// Programs that talk to the kernel over netlink.
const NETLINK: [&str; 12] = ["ip", "ss", "bridge", "tc", "nft", "iptables", "ip6tables", "ipset", "conntrack", "ethtool", "wg", "wg-quick"];

/// What a unit lets its processes do.
#[derive(Debug)]
pub(super) struct Sandbox {
    unit: Unit,
}

/// What a job touches.
pub(super) struct Needs<'a> {
    /// Programs by their file names.
    pub(super) programs: Vec<String>,
    /// Paths that it reads.
    pub(super) paths: Vec<&'a Path>,
    /// Where somebody has put it: it may well write there.
    pub(super) directory: Option<&'a Path>,
    /// Absolute paths that its scripts write to.
    pub(super) written: Vec<String>,
    /// Devices that its commands and scripts name.
    pub(super) devices: Vec<String>,
    pub(super) open_files: Option<u64>,
}

/// What every unit has in `/dev`.
const PSEUDO: [&str; 17] = [
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "console",
    "ptmx",
    "pts",
    "shm",
    "mqueue",
    "hugepages",
    "log",
    "fd",
    "stdin",
    "stdout",
    "stderr",
];

/// How a line of the unit is overridden.
pub(super) fn loosen(line: &str) -> String {
    format!("`systemctl edit batchd`, with `[Service]` and `{line}`, when the job needs it")
}

impl Sandbox {
    /// The installed unit with its drop-ins, if there is one.
    pub(super) fn of_unit(machine: &Machine) -> Option<Self> {
        Some(Self { unit: Unit::read(&find_unit("batchd.service", &machine.root)?) })
    }

    pub(super) fn summary(&self) -> Check {
        const NAMED: [&str; 6] =
            ["NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "MemoryDenyWriteExecute", "RestrictSUIDSGID"];
        let set = NAMED.iter().filter_map(|key| Some(format!("{key}={}", self.value(key)?))).collect::<Vec<_>>();
        let text = if set.is_empty() { "no sandbox".to_owned() } else { set.join(" ") };
        Check::good("unit", format!("batchd.service: {text}"))
    }

    /// What would not work in the unit.
    pub(super) fn checks(&self, needs: &Needs<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        let uses = |names: &[&str]| needs.programs.iter().find(|program| names.contains(&program.as_str())).cloned();
        if self.is_set("NoNewPrivileges")
            && let Some(program) = uses(&SETUID)
        {
            let message = format!("`{program}` cannot become another user: NoNewPrivileges=yes in the unit");
            checks.push(Check::bad("sandbox", message).help(loosen("NoNewPrivileges=no")));
        }
        if self.is_set("MemoryDenyWriteExecute")
            && let Some(program) = uses(&JIT)
        {
            let message = format!("`{program}` compiles while it runs: MemoryDenyWriteExecute=yes in the unit");
            checks.push(Check::bad("sandbox", message).help(loosen("MemoryDenyWriteExecute=no")));
        }
        if self.is_set("RestrictNamespaces")
            && let Some(program) = uses(&NAMESPACES)
        {
            let message = format!("`{program}` cannot make a namespace: RestrictNamespaces=yes in the unit");
            checks.push(Check::bad("sandbox", message).help(loosen("RestrictNamespaces=no")));
        }
        if self.refuses_family("AF_NETLINK")
            && let Some(program) = uses(&NETLINK)
        {
            let message = format!("`{program}` cannot ask the kernel: RestrictAddressFamilies= in the unit has no AF_NETLINK");
            checks.push(Check::bad("sandbox", message).help(loosen("RestrictAddressFamilies=AF_NETLINK")));
        }
        if uses(&["chrt"]).is_some() && (self.is_set("RestrictRealtime") || self.filters("@resources")) {
            let message = "`chrt` fails: RestrictRealtime=yes, or a SystemCallFilter without @resources, in the unit";
            checks.push(Check::bad("sandbox", message).help(loosen("RestrictRealtime=no` and `SystemCallFilter=@resources")));
        }
        if self.filters("@resources")
            && let Some(program) = uses(&RESOURCES)
        {
            let message = format!("`{program}` has no effect, or fails: the unit refuses @resources");
            checks.push(Check::doubtful("sandbox", message).help(loosen("SystemCallFilter=@resources")));
        }
        checks.extend(needs.paths.iter().find_map(|path| self.home(path)));
        checks.extend(needs.paths.iter().find_map(|path| self.temporary(path)));
        checks.extend(needs.directory.and_then(|directory| self.read_only(directory)));
        checks.extend(needs.written.iter().find_map(|file| self.unwritable(Path::new(file))));
        if self.is_set("PrivateDevices")
            && let Some(device) = needs.devices.iter().find(|device| !is_pseudo(device))
        {
            let message = format!("`{device}` is not there for jobs: PrivateDevices=yes in the unit");
            checks.push(Check::bad("sandbox", message).help(loosen("PrivateDevices=no")));
        }
        checks.extend(self.raised_limit(needs));
        checks
    }

    fn home(&self, path: &Path) -> Option<Check> {
        let is_home = ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
        let mode = self.value("ProtectHome").filter(|_| is_home)?;
        let shown = path.display();
        if is_true(mode) || mode == "tmpfs" {
            let message = format!("`{shown}` is not there for jobs: ProtectHome={mode} in the unit");
            return Some(Check::bad("sandbox", message).help(loosen("ProtectHome=read-only")));
        }
        (mode == "read-only").then(|| {
            let message = format!("`{shown}` can only be read by jobs: ProtectHome=read-only in the unit");
            Check::doubtful("sandbox", message).help(loosen("ProtectHome=no"))
        })
    }

    fn temporary(&self, path: &Path) -> Option<Check> {
        let is_temporary = ["/tmp", "/var/tmp"].iter().any(|directory| path.starts_with(directory));
        (is_temporary && self.is_set("PrivateTmp")).then(|| {
            let message = format!("`{}` is another one for jobs: PrivateTmp=yes in the unit gives the daemon its own", path.display());
            Check::bad("sandbox", message).help(loosen("PrivateTmp=no"))
        })
    }

    fn read_only(&self, directory: &Path) -> Option<Check> {
        let mode = self.protection(directory)?;
        let message = format!("it cannot write in its directory `{}`: ProtectSystem={mode} in the unit", directory.display());
        Some(Check::doubtful("sandbox", message).help(loosen(&format!("ReadWritePaths={}", directory.display()))))
    }

    fn unwritable(&self, file: &Path) -> Option<Check> {
        let mode = self.protection(file)?;
        let message = format!("it cannot write `{}`: ProtectSystem={mode} in the unit", file.display());
        let directory = file.parent().unwrap_or(file);
        Some(Check::bad("sandbox", message).help(loosen(&format!("ReadWritePaths={}", directory.display()))))
    }

    /// How the unit keeps the path from being written.
    fn protection(&self, path: &Path) -> Option<&str> {
        let mode = self.value("ProtectSystem")?;
        let is_below = |roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
        let is_protected = match mode {
            "strict" => !is_below(&["/dev", "/proc", "/sys", "/tmp", "/var/tmp"]),
            "full" => is_below(&["/usr", "/boot", "/efi", "/etc"]),
            mode if is_true(mode) => is_below(&["/usr", "/boot", "/efi"]),
            _ => false,
        };
        let is_open = self.writable().iter().any(|open| path.starts_with(open));
        Some(mode).filter(|_| is_protected && !is_open)
    }

    /// Limits above the unit's own, which only root with `CAP_SYS_RESOURCE` may raise.
    fn raised_limit(&self, needs: &Needs<'_>) -> Option<Check> {
        let bounding = self.unit.list("Service", "CapabilityBoundingSet");
        let is_root = matches!(self.value("User"), None | Some("root"));
        if is_root && (bounding.is_empty() || bounding.iter().any(|list| list.contains("CAP_SYS_RESOURCE"))) {
            return None;
        }
        let most: u64 = self.value("LimitNOFILE").and_then(|limit| limit.rsplit(':').next()?.parse().ok())?;
        if let Some(files) = needs.open_files.filter(|files| *files > most) {
            let message = format!("`limits.open_files = {files}` cannot be set, and no attempt starts: LimitNOFILE={most} in the unit");
            return Some(Check::bad("sandbox", message).help(loosen(&format!("LimitNOFILE={files}"))));
        }
        needs.programs.iter().any(|program| program == "ulimit").then(|| {
            let message = format!("`ulimit` raises nothing above the unit's own limits, such as LimitNOFILE={most}");
            Check::doubtful("sandbox", message).help(loosen("LimitNOFILE=…"))
        })
    }

    /// What may be written in spite of `ProtectSystem=`.
    fn writable(&self) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for (key, parent) in
            [("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log"), ("CacheDirectory", "/var/cache"), ("RuntimeDirectory", "/run")]
        {
            paths.extend(
                self.unit.list("Service", key).iter().flat_map(|names| names.split_whitespace()).map(|name| format!("{parent}/{name}")),
            );
        }
        let named = self.unit.list("Service", "ReadWritePaths");
        paths.extend(named.iter().flat_map(|list| list.split_whitespace()).map(|path| path.trim_start_matches(['-', '+']).to_owned()));
        paths
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.unit.value("Service", key)
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.value(key).is_some_and(is_true)
    }

    /// Whether the unit gives the controller to the daemon.
    pub(super) fn is_delegated(&self, controller: Controller) -> bool {
        self.value("Delegate").is_some_and(|value| is_true(value) || value.split_whitespace().any(|name| name == controller.name()))
    }

    /// Whether sockets of the family are refused: a list names what is allowed, with a tilde what is not.
    fn refuses_family(&self, family: &str) -> bool {
        let lists = self.unit.list("Service", "RestrictAddressFamilies");
        let names = |list: &&&str| list.trim_start_matches('~').split_whitespace().any(|name| name == family);
        match lists.iter().rev().find(names) {
            Some(list) => list.starts_with('~'),
            None => lists.first().is_some_and(|first| !first.starts_with('~')),
        }
    }

    /// Whether the filter refuses the set: the last line that names it counts.
    pub(super) fn filters(&self, set: &str) -> bool {
        let lines = self.unit.list("Service", "SystemCallFilter");
        lines.iter().rev().find(|line| line.contains(set)).is_some_and(|line| line.starts_with('~'))
    }
}

fn is_pseudo(device: &str) -> bool {
    let name = device.trim_start_matches("/dev/").split('/').next().unwrap_or_default();
    PSEUDO.contains(&name)
}
