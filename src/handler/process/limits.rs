//! Limits of an attempt's whole tree, by the files of its control group, and what is said when they end it.

use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::cgroup::Cgroup;
use super::spawn::SpawnError;
use crate::config::{Controller, Limits};

/// The time in which a share of the processor is counted, in microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// What a file of the control group is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Not every kernel has it, and the limit holds without it.
    pub(super) is_optional: bool,
}

/// What the kernel did to a control group for want of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryEvents {
    /// How often nothing more could be had within the group's own limit.
    pub(super) at_limit: u64,
    /// How many processes were killed, at that limit, at one above it, or since the machine had no more.
    pub(super) killed: u64,
}

/// What a process met with of its limits, for people.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// What has ended it, in place of its signal.
    pub(super) killer: Option<String>,
    pub(super) notes: Vec<String>,
}

/// What a process, ended by `signal` if by any, met with in its control group.
pub(super) fn reached(cgroup: Option<&Cgroup>, limits: &Limits, signal: Option<i32>) -> Reached {
    let Some(cgroup) = cgroup else { return Reached::default() };
    let events = cgroup.memory_events();
    let killer = events.killer(signal, limits.memory);
    let few = limits.processes.filter(|_| cgroup.has_refused_processes());
    let few = few.map(|count| format!("forks were refused to it: it may have {count} processes and threads"));
    let notes = events.note(limits.memory).filter(|_| killer.is_none()).into_iter().chain(few).collect();
    Reached { killer, notes }
}

/// Why a program was not started, where that was for the memory that it may have: no shortage of the machine, which would pass.
pub(super) fn starved(error: SpawnError, limits: &Limits, cgroup: Option<&Cgroup>) -> SpawnError {
    let limit = limits.memory.filter(|_| cgroup.is_some_and(|cgroup| cgroup.memory_events() != MemoryEvents::default()));
    match (error, limit) {
        (SpawnError::Memory { program } | SpawnError::Unready { program }, Some(limit)) => {
            SpawnError::MemoryLimit { program, limit: size(limit) }
        }
        (error, _) => error,
    }
}

/// Whether the daemon is protected from the kernel's search for a process to kill (`OOMScoreAdjust=` of its unit), which its children
/// are not to be. As it was at the first start.
pub(super) fn is_daemon_protected() -> bool {
    static IS_PROTECTED: OnceLock<bool> = OnceLock::new();
    *IS_PROTECTED.get_or_init(|| {
        let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        score.trim().parse::<i32>().is_ok_and(|score| score < 0)
    })
}

/// What the limits are as files, in the order in which they are written. A count of processes is left to the process where the group
/// cannot count them; nothing else is left out.
pub(super) fn settings(limits: &Limits, has: impl Fn(Controller) -> bool) -> Vec<Setting> {
    let setting = |file, value, is_optional| Setting { file, value, is_optional };
    let mut settings = Vec::new();
    if let Some(bytes) = limits.memory {
        settings.extend([
            // Swapping would slow down all others. There is no such file where the machine cannot swap.
            setting("memory.swap.max", "0".to_owned(), true),
            // All of it is killed or nothing: half a tree hangs, or takes half for the whole.
            setting("memory.oom.group", "1".to_owned(), true),
            setting("memory.max", bytes.to_string(), false),
        ]);
    }
    if let Some(percent) = limits.tasks_cpu {
        settings.push(setting("cpu.max", format!("{} {CPU_PERIOD}", u64::from(percent) * CPU_PERIOD / 100), false));
    }
    if let Some(count) = limits.processes.filter(|_| has(Controller::Pids)) {
        settings.push(setting("pids.max", count.to_string(), false));
    }
    settings
}

impl MemoryEvents {
    /// Who has killed a process that ended by `signal`, where that was for want of memory.
    fn killer(self, signal: Option<i32>, limit: Option<u64>) -> Option<String> {
        if self.killed == 0 || signal != Some(Signal::SIGKILL as i32) {
            return None;
        }
        Some(match limit.filter(|_| self.at_limit > 0) {
            Some(limit) => format!("killed at its memory limit of {}", size(limit)),
            None => "killed by the kernel for want of memory, of the machine or of the daemon's unit".to_owned(),
        })
    }

    /// What has happened to some of its processes, when it was not the end of the first.
    fn note(self, limit: Option<u64>) -> Option<String> {
        let limit = limit.filter(|_| self.at_limit > 0).map(|limit| format!(", at its memory limit of {}", size(limit)));
        (self.killed > 0)
            .then(|| format!("the kernel killed {} of its processes for want of memory{}", self.killed, limit.unwrap_or_default()))
    }
}

/// `64 MiB`; with a digit behind the point where it is not whole.
fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string().replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_files() {
        let check = |limits: Limits, has_pids: bool, expected: &[&str]| {
            let has = |controller| controller != Controller::Pids || has_pids;
            let files: Vec<String> = settings(&limits, has).iter().map(|setting| format!("{} {}", setting.file, setting.value)).collect();
            assert_eq!(files, expected, "{limits:?}");
        };
        let none = Limits::default();
        check(none, true, &[]);
        let memory = Limits { memory: Some(64 << 20), ..none };
        check(memory, true, &["memory.swap.max 0", "memory.oom.group 1", "memory.max 67108864"]);
        check(Limits { tasks_cpu: Some(1), ..none }, true, &["cpu.max 1000 100000"]);
        check(Limits { tasks_cpu: Some(250), ..none }, true, &["cpu.max 250000 100000"]);
        check(Limits { processes: Some(20), ..none }, true, &["pids.max 20"]);
        check(Limits { processes: Some(20), ..none }, false, &[]);
    }

    #[test]
    fn what_ended_it_is_said_in_words() {
        let check = |events: (u64, u64), signal: Option<i32>, limit: Option<u64>, killer: Option<&str>, note: Option<&str>| {
            let events = MemoryEvents { at_limit: events.0, killed: events.1 };
            assert_eq!(events.killer(signal, limit).as_deref(), killer, "{events:?}");
            assert_eq!(events.note(limit).as_deref(), note, "{events:?}");
        };
        let limit = Some(64 << 20);
        let note = Some("the kernel killed 2 of its processes for want of memory, at its memory limit of 64 MiB");
        check((0, 0), Some(9), limit, None, None);
        check((3, 0), Some(9), limit, None, None);
        check((1, 2), Some(9), limit, Some("killed at its memory limit of 64 MiB"), note);
        check((1, 2), Some(15), limit, None, note);
        check((1, 2), None, limit, None, note);
        let machine = "killed by the kernel for want of memory, of the machine or of the daemon's unit";
        let others = Some("the kernel killed 1 of its processes for want of memory");
        check((0, 1), Some(9), limit, Some(machine), others);
        check((0, 1), Some(9), None, Some(machine), others);
        assert_eq!(size(1536 << 10), "1.5 MiB");
    }
}
