//! What a crash left running: processes of attempts whose ends were never recorded. They are killed before anything is started,
//! so that a partial never runs beside a living copy of itself.
//!
//! They are found by proof, not by a timer: the mark in their environment, or a leader that is on file (`leaders`) and was not
//! started later than it was seen. What left its session *and* cleared its environment is found by its control group only,
//! which systemd empties.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::ResultFiles;
use super::leaders::{self, Leader};
use super::tree::{self, Killed, Process};
use crate::engine::RunKey;

/// What the directory of a run in the foreground begins with, before its pid.
const FOREGROUND: &str = "run-";

/// Where the run in the foreground of the process `pid` has its results and leaders; the daemon has them in `state_dir` itself.
pub fn foreground_home(state_dir: &Path, pid: u32) -> PathBuf {
    state_dir.join(format!("{FOREGROUND}{pid}"))
}

/// Kills what the last daemon of `state_dir` left running of `runs`, in this boot of the machine, and what runs in the foreground
/// have left that died; waits until it is gone. Blocks. Call before any attempt is started.
pub fn kill(state_dir: &Path, boot_id: &str, runs: &[RunKey]) -> Vec<Killed> {
    let files = ResultFiles::new(state_dir);
    let marks: Vec<PathBuf> = runs.iter().flat_map(|run| files.prefixes(*run)).collect();
    let mut killed = kill_of(state_dir, boot_id, &marks);
    for home in dead_foreground(state_dir) {
        killed.extend(kill_of(&home, boot_id, &ResultFiles::new(&home).roots()));
        leave(&home);
    }
    killed
}

/// Removes the home of a run in the foreground. What stays is looked at again by the next daemon.
pub fn leave(home: &Path) {
    let _ = ResultFiles::new(home).remove();
    let _ = fs::remove_dir_all(home);
}

fn kill_of(home: &Path, boot_id: &str, marks: &[PathBuf]) -> Vec<Killed> {
    let leaders = leaders::read(home, boot_id);
    if leaders.is_empty() && marks.is_empty() {
        return Vec::new();
    }
    tree::kill_left(marks, |processes| sessions(&leaders, processes))
}

/// The sessions that `leaders` led. While a session has members no other process gets its number, so it is theirs unless a process
/// that was started later leads it.
fn sessions(leaders: &[Leader], processes: &[Process]) -> BTreeSet<i32> {
    let is_another = |leader: &&Leader| processes.iter().any(|process| process.pid == leader.pid && process.started > leader.seen);
    leaders.iter().filter(|leader| !is_another(leader)).map(|leader| leader.pid).collect()
}

/// The homes of runs in the foreground whose process is gone.
fn dead_foreground(state_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let pid = |path: &Path| path.file_name()?.to_str()?.strip_prefix(FOREGROUND)?.parse::<u32>().ok();
    let is_dead = |path: &PathBuf| pid(path).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
    entries.map(|entry| entry.path()).filter(is_dead).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_that_another_process_has_by_now_is_left_alone() {
        let leaders = [Leader { pid: 7, seen: 100 }, Leader { pid: 8, seen: 100 }, Leader { pid: 9, seen: 100 }];
        let process = |pid, started| Process { pid, name: "x".to_owned(), is_zombie: false, parent: 1, group: pid, session: pid, started };
        let processes = [process(7, 100), process(8, 101), process(70, 500)];
        assert_eq!(sessions(&leaders, &processes), BTreeSet::from([7, 9]));
    }
}
