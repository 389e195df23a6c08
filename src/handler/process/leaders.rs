//! The leaders of the live attempts of this process, in a file beside the results: what a crash leaves running is found by it, also where it has
//! cleared its environment and, with it, the mark.
//!
//! A line a leader, in places of one length that are used again: the file is as long as the most attempts that were live at
//! once. It needs no sync: it outlives the daemon, and what does not outlive it are the processes of a machine that goes down.
//!
//! A leader is its pid, the boot of the machine, and the time since that boot at which it was seen: what has the pid and was
//! started later is another process.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use rustix::process::Pid;

/// Of a line, its line feed included.
const LINE_BYTES: usize = 80;

const FILE: &str = "leaders";

/// Of this process: set once, by the daemon or the run in the foreground that it is.
static TABLE: OnceLock<Arc<Table>> = OnceLock::new();

#[derive(Debug)]
struct Table {
    file: File,
    boot_id: Arc<str>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    free: Vec<u32>,
    used: u32,
}

/// A leader is on file for as long as this lives.
#[derive(Debug)]
pub(super) struct Entry {
    table: Arc<Table>,
    place: u32,
}

/// A process that led an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) pid: i32,
    /// In clock ticks since the boot, as `/proc` gives the start of a process.
    pub(super) seen: u64,
}

/// From now on the leaders of this process are on file in `home`, which is made where it is missing.
pub fn keep(home: &Path, boot_id: Arc<str>) -> io::Result<()> {
    // A second daemon in one process has its leaders in the file of the first.
    let _ = TABLE.set(Arc::new(Table::create(home, boot_id)?));
    Ok(())
}

/// Puts a leader that is alive on file.
pub(super) fn enter(leader: Pid) -> Option<Entry> {
    TABLE.get().map(|table| Entry::new(table, leader))
}

impl Entry {
    fn new(table: &Arc<Table>, leader: Pid) -> Self {
        let table = Arc::clone(table);
        let place = table.take_place();
        let line = format_args!("{} {} {}", leader.as_raw_nonzero(), ticks_since_boot(), table.boot_id);
        if let Err(error) = table.write(place, line) {
            tracing::warn!("cannot put process {leader} on file: {error}; should the daemon crash, it is found by its environment only");
        }
        Self { table, place }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // A line that stays names a process that is gone: it is compared with what is alive.
        let _ = self.table.write(self.place, format_args!(""));
        self.table.places().free.push(self.place);
    }
}

impl Table {
    fn create(home: &Path, boot_id: Arc<str>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(home.join(FILE))?;
        Ok(Self { file, boot_id, places: Mutex::default() })
    }

    fn take_place(&self) -> u32 {
        let mut places = self.places();
        places.free.pop().unwrap_or_else(|| {
            places.used += 1;
            places.used - 1
        })
    }

    fn write(&self, place: u32, line: fmt::Arguments<'_>) -> io::Result<()> {
        let mut bytes = [b' '; LINE_BYTES];
        (&mut bytes[..LINE_BYTES - 1]).write_fmt(line)?;
        bytes[LINE_BYTES - 1] = b'\n';
        self.file.write_all_at(&bytes, u64::from(place) * LINE_BYTES as u64)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leaders that a crash left on file in `home`, of this boot of the machine.
pub(super) fn read(home: &Path, boot_id: &str) -> Vec<Leader> {
    let text = fs::read(home.join(FILE)).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter_map(|line| parse(line, boot_id)).collect()
}

fn parse(line: &str, boot_id: &str) -> Option<Leader> {
    let mut words = line.split_ascii_whitespace();
    let leader = Leader { pid: words.next()?.parse().ok()?, seen: words.next()?.parse().ok()? };
    (words.next() == Some(boot_id)).then_some(leader)
}

fn ticks_since_boot() -> u64 {
    let second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return u64::MAX };
    let (seconds, nanoseconds) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
    seconds * second + nanoseconds * second / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_is_on_file_and_places_are_used_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let table = Arc::new(Table::create(dir.path(), "this-boot".into()).expect("a file"));
        let enter = |pid| Entry::new(&table, Pid::from_raw(pid).expect("a pid"));
        let pids = || read(dir.path(), "this-boot").iter().map(|leader| leader.pid).collect::<Vec<_>>();
        let (first, second) = (enter(71), enter(72));
        assert_eq!(pids(), [71, 72]);
        drop(first);
        assert_eq!(pids(), [72]);
        let third = enter(73);
        assert_eq!((pids(), fs::metadata(dir.path().join(FILE)).expect("there").len()), (vec![73, 72], 160));
        assert_eq!(read(dir.path(), "another-boot"), []);
        drop((second, third));
        assert_eq!(pids(), [0_i32; 0]);
    }

    #[test]
    fn this_process_was_started_before_it_is_seen() {
        let stat = fs::read_to_string("/proc/self/stat").expect("Linux tells it");
        let started: u64 =
            stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().nth(19).expect("a field").parse().expect("a number");
        let seen = ticks_since_boot();
        assert!(started <= seen && seen < started + 1_000_000, "started at {started}, seen at {seen}");
    }
}
