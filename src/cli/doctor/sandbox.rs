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

/// Programs that change priorities or limits.
const RESOURCES: [&str; 5] = ["nice", "ionice", "chrt", "renice", "taskset"];

/// What a unit lets its processes do.
#[derive(Debug)]
pub(super) struct Sandbox {
    unit: Unit,
}

/// What a job touches.
pub(super) struct Needs<'a> {
    /// Programs by their file names.
    pub(super) programs: Vec<String>,
    /// Paths that it reads, its directory first.
    pub(super) paths: Vec<&'a Path>,
}

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
        if self.filters("@resources")
            && let Some(program) = uses(&RESOURCES)
        {
            let message = format!("`{program}` has no effect, or fails: the unit refuses @resources");
            checks.push(Check::doubtful("sandbox", message).help(loosen("SystemCallFilter=@resources")));
        }
        checks.extend(needs.paths.iter().find_map(|path| self.home(path)));
        checks.extend(needs.paths.iter().find_map(|path| self.temporary(path)));
        checks.extend(needs.paths.first().and_then(|directory| self.read_only(directory)));
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
        let mode = self.value("ProtectSystem")?;
        let writable = self.writable();
        let is_protected = match mode {
            "strict" => !["/dev", "/proc", "/sys", "/tmp", "/var/tmp"].iter().any(|open| directory.starts_with(open)),
            "full" => ["/usr", "/boot", "/efi", "/etc"].iter().any(|path| directory.starts_with(path)),
            mode if is_true(mode) => ["/usr", "/boot", "/efi"].iter().any(|path| directory.starts_with(path)),
            _ => false,
        };
        let is_open = writable.iter().any(|path| directory.starts_with(path));
        (is_protected && !is_open).then(|| {
            let message = format!("it cannot write in its directory `{}`: ProtectSystem={mode} in the unit", directory.display());
            Check::doubtful("sandbox", message).help(loosen(&format!("ReadWritePaths={}", directory.display())))
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

    /// Whether the filter refuses the set: the last line that names it counts.
    pub(super) fn filters(&self, set: &str) -> bool {
        let lines = self.unit.list("Service", "SystemCallFilter");
        lines.iter().rev().find(|line| line.contains(set)).is_some_and(|line| line.starts_with('~'))
    }
}
