//! The processes of an attempt: its session, their descendants, and whatever carries the attempt's mark in its environment,
//! wherever it has moved to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process_group};

use super::super::environment::RESULT_VARIABLE;
use super::cgroup::Cgroup;
use super::orphans::{adopted, reap_orphans};

/// How long killed processes get to go. Only one in uninterruptible sleep needs longer, and nothing helps there.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Of an environment, so much is searched for the mark; the kernel allows programs far more.
const ENVIRON_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// How often, and how far apart, an orphan without an environment is looked at again.
const EXEC_LOOKS: usize = 10;
const EXEC_LOOK_EVERY: Duration = Duration::from_millis(1);

/// A process that was killed because its attempt was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    pub pid: i32,
    /// Its `comm`, as the process chose it: to be escaped where it is shown.
    pub name: String,
}

impl From<Process> for Killed {
    fn from(process: Process) -> Self {
        Self { pid: process.pid, name: process.name }
    }
}

/// The processes of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The number of its session and of its group, too.
    leader: Pid,
    mark: Vec<u8>,
    /// Where there is one, all are in it.
    cgroup: Option<Arc<Cgroup>>,
}

impl Tree {
    pub(super) fn new(leader: Pid, result_path: &Path, cgroup: Option<Arc<Cgroup>>) -> Self {
        Self { leader, mark: mark(result_path), cgroup }
    }

    /// Whether something outlived the leader, which was reaped.
    pub(super) fn is_left(&self) -> bool {
        let others_live = reap_orphans();
        match &self.cgroup {
            Some(cgroup) => cgroup.is_populated(),
            None => test_kill_process_group(self.leader).is_ok() || (others_live && self.has_orphan()),
        }
    }

    /// Without a subreaper nobody knows, and nothing is found that way.
    fn has_orphan(&self) -> bool {
        adopted().into_iter().any(|orphan| orphan_carries(orphan, |variable| variable == self.mark))
    }

    /// Sends a signal to those that left the group.
    pub(super) fn signal_outside_group(&self, signal: i32) {
        let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
        let group = self.leader.as_raw_nonzero().get();
        for process in self.members().iter().filter(|process| process.group != group) {
            process.open().inspect(|pidfd| process.send(pidfd, signal));
        }
    }

    /// Kills the whole tree and waits until it is gone; tells who was there.
    pub(super) fn kill(&self) -> Vec<Killed> {
        let Some(cgroup) = &self.cgroup else { return kill_all(|| self.members()) };
        let members = self.members();
        if !cgroup.kill(Instant::now() + GONE_WITHIN) {
            tracing::error!("processes {:?} do not die within {GONE_WITHIN:?} of SIGKILL", cgroup.processes());
        }
        reap_orphans();
        members.into_iter().map(Killed::from).collect()
    }

    /// Takes what is left out of the attempt's control group, which ends with the attempt; tells who it is.
    pub(super) fn let_go(&self) -> Vec<Killed> {
        let members = self.members();
        self.cgroup.iter().for_each(|cgroup| cgroup.let_go());
        members.into_iter().map(Killed::from).collect()
    }

    fn members(&self) -> Vec<Process> {
        if let Some(cgroup) = &self.cgroup {
            return cgroup.processes().into_iter().filter_map(read).filter(|process| !process.is_zombie).collect();
        }
        let leader = self.leader.as_raw_nonzero().get();
        let all = processes();
        // Once the leader is reaped, the last of its session may go too, and the number be another's.
        let is_its_own =
            all.iter().all(|process| process.pid != leader || carries(leader, |variable| variable == self.mark) || process.is_zombie);
        let is_mark = |variable: &[u8]| variable == self.mark;
        let this = std::process::id().cast_signed();
        let is_marked = |process: &Process| {
            if process.parent == this { orphan_carries(process.pid, is_mark) } else { carries(process.pid, is_mark) }
        };
        members(all, |process| (is_its_own && process.session == leader) || is_marked(process))
    }
}

/// What is in the environment of the processes of an attempt, and of no others.
fn mark(result_path: &Path) -> Vec<u8> {
    [RESULT_VARIABLE.as_bytes(), b"=", result_path.as_os_str().as_encoded_bytes()].concat()
}

/// Kills all processes whose mark begins with one of those of `prefixes` or whose session is one of those that `sessions` finds
/// among all processes, and waits until they are gone.
pub(super) fn kill_left(prefixes: &[std::path::PathBuf], sessions: impl Fn(&[Process]) -> BTreeSet<i32>) -> Vec<Killed> {
    let marks: Vec<Vec<u8>> = prefixes.iter().map(|prefix| mark(prefix)).collect();
    let is_marked = |variable: &[u8]| marks.iter().any(|mark| variable.starts_with(mark));
    kill_all(|| {
        let all = processes();
        let sessions = sessions(&all);
        members(all, |process| sessions.contains(&process.session) || carries(process.pid, is_marked))
    })
}

/// Kills round after round, since a process may have forked meanwhile, until none is left or [`GONE_WITHIN`] has passed.
fn kill_all(find: impl Fn() -> Vec<Process>) -> Vec<Killed> {
    let deadline = Instant::now() + GONE_WITHIN;
    let mut killed: Vec<Killed> = Vec::new();
    loop {
        let found = find();
        let dying: Vec<(&Process, OwnedFd)> = found.iter().filter_map(|process| process.open().map(|pidfd| (process, pidfd))).collect();
        for (process, pidfd) in &dying {
            process.send(pidfd, Signal::KILL);
            if !killed.iter().any(|killed| killed.pid == process.pid) {
                killed.push((*process).clone().into());
            }
        }
        let all_gone = wait_gone(&dying, deadline);
        reap_orphans();
        if dying.is_empty() {
            return killed;
        }
        if !all_gone {
            let pids: Vec<i32> = dying.iter().map(|(process, _)| process.pid).collect();
            tracing::error!("processes {pids:?} do not die within {GONE_WITHIN:?} of SIGKILL");
            return killed;
        }
    }
}

/// Waits for the processes to exit; false when the deadline came first.
fn wait_gone(dying: &[(&Process, OwnedFd)], deadline: Instant) -> bool {
    for (_, pidfd) in dying {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        if poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) == Ok(0) {
            return false;
        }
    }
    true
}

/// A process as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) name: String,
    pub(super) is_zombie: bool,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Ticks since boot: with the pid, an identity.
    pub(super) started: u64,
}

impl Process {
    /// A handle on this very process; `None` when it is gone, or its number is another's by now.
    fn open(&self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        let now = read(self.pid)?;
        (now.started == self.started && !now.is_zombie).then_some(pidfd)
    }

    fn send(&self, pidfd: &OwnedFd, signal: Signal) {
        match pidfd_send_signal(pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::warn!("cannot signal process {} (`{}`): {error}", self.pid, self.name.escape_debug()),
        }
    }
}

/// Those that `is_root` names and all their descendants, without zombies and this process.
fn members(all: Vec<Process>, is_root: impl Fn(&Process) -> bool) -> Vec<Process> {
    let this = std::process::id().cast_signed();
    let mut inside: BTreeSet<i32> =
        all.iter().filter(|process| process.pid != this && is_root(process)).map(|process| process.pid).collect();
    loop {
        let before = inside.len();
        inside.extend(
            all.iter()
                .filter(|process| process.pid != this && inside.contains(&process.parent))
                .map(|process| process.pid)
                .collect::<Vec<_>>(),
        );
        if inside.len() == before {
            break;
        }
    }
    all.into_iter().filter(|process| inside.contains(&process.pid) && !process.is_zombie).collect()
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn read(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &String::from_utf8_lossy(&stat))
}

/// Reads a line of `/proc/PID/stat`. The name is in parentheses and may itself hold any, so it ends at the last one.
fn parse(pid: i32, stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        name: name.to_owned(),
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Whether a variable of the process's environment, as `NAME=VALUE`, is a mark. Those of other users cannot be read: not ours.
fn carries(pid: i32, is_mark: impl Fn(&[u8]) -> bool) -> bool {
    environment(pid).split(|byte| *byte == 0).any(is_mark)
}

/// The same of an orphan of ours. One that is just exchanging its program for another (`execve(2)`) has no environment for a
/// moment: it is looked at again, for else it would be taken for a stranger and outlive its attempt.
fn orphan_carries(pid: i32, is_mark: impl Fn(&[u8]) -> bool) -> bool {
    let mut environ = environment(pid);
    for _ in 0..EXEC_LOOKS {
        if !environ.is_empty() || read(pid).is_none_or(|process| process.is_zombie) {
            break;
        }
        std::thread::sleep(EXEC_LOOK_EVERY);
        environ = environment(pid);
    }
    environ.split(|byte| *byte == 0).any(is_mark)
}

/// Empty also where it cannot be read.
fn environment(pid: i32) -> Vec<u8> {
    let mut environ = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ")).and_then(|file| file.take(ENVIRON_MAX_BYTES).read_to_end(&mut environ));
    if read.is_ok() { environ } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process { pid, name: "x".to_owned(), is_zombie: false, parent, group: session, session, started: 0 }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b (c) S 1 40 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 100 1";
        let expected = Process { pid: 42, name: "a) b (c".to_owned(), is_zombie: false, parent: 1, group: 40, session: 41, started: 12345 };
        assert_eq!(parse(42, stat), Some(expected));
        assert_eq!(parse(42, "42 (a"), None);
    }

    #[test]
    fn a_tree_is_its_session_and_all_descendants_that_live() {
        const BASE: i32 = 1 << 30;
        let zombie = Process { is_zombie: true, ..process(BASE + 5, BASE, BASE) };
        let all = vec![
            process(BASE + 3, BASE + 2, BASE + 3),
            process(BASE, 1, BASE),
            process(BASE + 1, 1, BASE),
            process(BASE + 2, BASE + 1, BASE + 2),
            process(BASE + 4, 1, BASE + 4),
            zombie,
        ];
        let inside: Vec<i32> = members(all, |process| process.session == BASE).iter().map(|process| process.pid - BASE).collect();
        assert_eq!(inside, [3, 0, 1, 2]);
    }
}
