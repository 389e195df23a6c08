//! Waits until something is written to a log, without looking again and again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// The kernel tells of everything but a directory that was deleted and made anew, and files that another machine writes.
const AT_THE_LATEST: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Writing, and what a rotation does.
const CHANGES: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::CREATE).union(WatchFlags::MOVED_TO);

/// Watches the directory of a log.
#[derive(Debug)]
pub(super) struct Watch {
    directory: PathBuf,
    inotify: OwnedFd,
}

/// Why waiting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something to read.
    Changed,
    /// Nobody reads our output any more.
    ReaderGone,
}

impl Watch {
    /// What changes from now on is noticed.
    pub(super) fn open(log: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let directory = log.parent().unwrap_or(Path::new("/")).to_owned();
        let watch = Self { directory, inotify };
        watch.look_at_directory();
        Ok(watch)
    }

    /// Waits for a change since the last call, or until the reader of `output` is gone.
    pub(super) fn wait(&self, output: impl AsFd) -> io::Result<Woken> {
        let mut sources = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::from_borrowed_fd(output.as_fd(), PollFlags::empty())];
        match poll(&mut sources, Some(&AT_THE_LATEST)) {
            // A stop and a continue of the shell, or a terminal that was resized.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if sources[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return Ok(Woken::ReaderGone);
        }
        // What exactly has changed, the files tell.
        let mut events = [0; 4096];
        while rustix::io::read(&self.inotify, &mut events).is_ok_and(|count| count > 0) {}
        self.look_at_directory();
        Ok(Woken::Changed)
    }

    /// The directory may have been deleted and made anew; where it is the same, nothing changes.
    fn look_at_directory(&self) {
        // Without a directory there is nothing to watch yet.
        let _ = inotify::add_watch(&self.inotify, &self.directory, CHANGES);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_and_a_rotation_wake_and_a_gone_reader_ends_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("batch.log");
        fs::write(&log, "1\n").expect("write");
        let watch = Watch::open(&log).expect("open");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // The writing comes after the watch was opened, so that each returns at once, long before the latest.
        fs::write(&log, "2\n").expect("write");
        assert_eq!(watch.wait(&writer).expect("wait"), Woken::Changed);
        fs::rename(&log, directory.path().join("batch.log.1")).expect("rename");
        assert_eq!(watch.wait(&writer).expect("wait"), Woken::Changed);
        drop(reader);
        assert_eq!(watch.wait(&writer).expect("wait"), Woken::ReaderGone);
    }
}
