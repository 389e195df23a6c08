//! The size-rotating file: `batch.log`, then `batch.log.1` (newest) to `batch.log.N` (oldest), the very files that Python's
//! `RotatingFileHandler` writes: it rolls before a line that would bring the file to `max_size`, if the file is not empty.
//!
//! Four deliberate differences. A line longer than `max_size` is cut, with a mark, so that no file exceeds the limit. An empty file
//! is never rolled (Python 3.11 leaves an empty `.1` before an oversized first line). A file that fills twice within a second
//! may grow to twice the limit before it is rolled, so that `tail -F` sees every file. With no backups the full file is
//! discarded (Python lets it grow for ever).
//!
//! Names are shifted from the oldest to the newest, and only as far as the first gap. So a crash between two renames, which
//! leaves a gap, loses nothing: the next rotation fills the gap instead of dropping the oldest file.
//!
//! The path is compared with the open file once a second: a deleted or moved directory is made anew, a file that somebody
//! else renamed or replaced is followed, and one that was truncated is measured again.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;

use super::through::Through;

/// The least time between two rotations, and between two looks at the path.
const PACE: Duration = Duration::from_secs(1);
/// The owner writes, the group reads; whatever the umask says.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// Ends a line that was longer than a whole file may be.
const CUT_MARK: &[u8] = b" [line cut]";

/// Where the log goes and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Bytes; zero, as in Python, never rotates.
    pub(super) max_size: u64,
    pub(super) backups: u32,
}

/// What could not be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Lines lost, counting one that was written in part.
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

/// An open log file.
#[derive(Debug)]
pub(super) struct RotatingFile {
    place: Place,
    file: File,
    /// Device and inode of `file`.
    identity: (u64, u64),
    size: u64,
    /// The file ends in the middle of a line, after a crash or a failed write.
    is_torn: bool,
    last_look: Instant,
    last_rotation: Option<Instant>,
    /// Why the path could not be followed when last looked at; the old file is written on meanwhile.
    astray: Option<io::Error>,
    /// Why the last rotation failed; the old file is written on until the next.
    stuck: Option<io::Error>,
}

impl RotatingFile {
    /// Opens the file for appending, with its directory made where missing, and removes backups beyond their number.
    pub(super) fn open(place: Place, now: Instant) -> io::Result<Self> {
        let file = open_file(&place.path)?;
        let metadata = file.metadata()?;
        let is_torn = ends_torn(&file, metadata.len());
        let mut log = Self {
            place,
            file,
            identity: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            is_torn,
            last_look: now,
            last_rotation: None,
            astray: None,
            stuck: None,
        };
        log.stuck = log.prune().err();
        Ok(log)
    }

    /// Appends whole lines, rotating between them where due. After an error later calls try again.
    pub(super) fn append(&mut self, lines: &[u8], now: Instant) -> Result<(), Unwritten> {
        if now.saturating_duration_since(self.last_look) >= PACE {
            self.look(now);
        }
        let mut from = 0;
        let mut at = 0;
        while at < lines.len() {
            let length = line_length(&lines[at..]);
            if self.is_full((at - from) as u64, length as u64, now) {
                self.write(&lines[from..at]).map_err(|error| error.counting(&lines[at..]))?;
                from = at;
                self.stuck = self.rotate(now).err();
            }
            if self.place.max_size > 0 && length as u64 > self.place.max_size {
                self.write(&lines[from..at]).map_err(|error| error.counting(&lines[at..]))?;
                from = at + length;
                self.write(&cut(&lines[at..from], self.place.max_size)).map_err(|error| error.counting(&lines[from..]))?;
            }
            at += length;
        }
        self.write(&lines[from..])
    }

    /// Opens the path again, whatever it names now.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.last_look = now;
        self.astray = self.follow().err();
    }

    /// Tries again what gave trouble.
    pub(super) fn retry(&mut self, now: Instant) {
        self.look(now);
        if self.astray.is_none() && self.stuck.is_some() {
            self.stuck = self.rotate(now).err();
        }
    }

    /// Everything appended so far is on the disk when this returns.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same, soon, and by another thread.
    pub(super) fn want_sync(&self, through: &Through) {
        through.want(self.identity, &self.file);
    }

    /// Why the file is not where or as large as it should be, if so.
    pub(super) fn trouble(&self) -> Option<&io::Error> {
        self.astray.as_ref().or(self.stuck.as_ref())
    }

    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    /// The same log, but on a disk without room until the path is looked at again.
    #[cfg(test)]
    pub(super) fn on_full_disk(mut self) -> Self {
        self.file = OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
        self.identity = (0, 0);
        self
    }

    fn is_full(&self, waiting: u64, length: u64, now: Instant) -> bool {
        let size = self.size + waiting;
        let is_early = self.last_rotation.is_some_and(|last| now.saturating_duration_since(last) < PACE);
        let limit = if is_early { self.place.max_size.saturating_mul(2) } else { self.place.max_size };
        self.place.max_size > 0 && size > 0 && size + length >= limit
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            match self.file.write_all(b"\n") {
                Ok(()) => self.size += 1,
                Err(error) => return Err(Unwritten { lines: count_lines(lines), error }),
            }
            self.is_torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) if written > 0 => {
                    self.size += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => {
                    let done = lines.len() - rest.len();
                    self.is_torn = done > 0 && lines[done - 1] != b'\n';
                    let error = outcome.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                    return Err(Unwritten { lines: count_lines(rest), error });
                }
            }
        }
        Ok(())
    }

    /// Compares the path with the open file.
    fn look(&mut self, now: Instant) {
        self.last_look = now;
        self.astray = match self.found_in_place() {
            Some(found) => {
                self.size = found.len();
                None
            }
            None => self.follow().err(),
        };
    }

    /// What the path names, if that is still the open file.
    fn found_in_place(&self) -> Option<Metadata> {
        fs::symlink_metadata(&self.place.path).ok().filter(|found| (found.dev(), found.ino()) == self.identity)
    }

    fn follow(&mut self) -> io::Result<()> {
        let file = open_file(&self.place.path)?;
        self.adopt(file)
    }

    fn adopt(&mut self, file: File) -> io::Result<()> {
        let metadata = file.metadata()?;
        self.is_torn = ends_torn(&file, metadata.len());
        self.identity = (metadata.dev(), metadata.ino());
        self.size = metadata.len();
        self.file = file;
        Ok(())
    }

    /// Shifts the files by one name and starts a new one. On an error the old file is written on.
    fn rotate(&mut self, now: Instant) -> io::Result<()> {
        self.last_rotation = Some(now);
        if self.found_in_place().is_none() {
            // Somebody else moved the file since the last look; theirs is not ours to shift.
            return self.follow();
        }
        if self.place.backups == 0 {
            fs::remove_file(&self.place.path)?;
            return self.follow();
        }
        let gap = (1..self.place.backups).find(|number| !self.backup(*number).exists()).unwrap_or(self.place.backups);
        for number in (1..gap).rev() {
            fs::rename(self.backup(number), self.backup(number + 1))?;
        }
        let newest = self.backup(1);
        fs::rename(&self.place.path, &newest)?;
        self.follow().inspect_err(|_| {
            // No new file (the disk may be out of inodes): the old one goes on under its own name.
            let _ = fs::rename(&newest, &self.place.path);
        })
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.place.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Removes `file.N` with N above the number of backups, as left by an earlier configuration.
    fn prune(&self) -> io::Result<()> {
        let (Some(directory), Some(name)) = (self.place.path.parent(), self.place.path.file_name()) else {
            return Ok(());
        };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let number = file_name.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()).and_then(backup_number);
            if number.is_some_and(|number| number > self.place.backups) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Unwritten {
    /// Adds the lines that were not tried any more.
    fn counting(mut self, untried: &[u8]) -> Self {
        self.lines += count_lines(untried);
        self
    }
}

/// Opens a regular file for appending, never through a symbolic link and never waiting for the other end of a pipe.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).read(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let created = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let directory = path.parent().ok_or(error)?;
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
            options.clone().create_new(true).open(path)
        }
        outcome => outcome,
    };
    match created {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
        }
        Err(error) => Err(error),
    }
}

fn ends_torn(file: &File, size: u64) -> bool {
    let mut last = [b'\n'];
    size > 0 && file.read_exact_at(&mut last, size - 1).is_ok() && last != [b'\n']
}

/// `.7` → 7, in the one spelling that a rotation writes.
fn backup_number(suffix: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(suffix.strip_prefix(b".")?).ok()?;
    let is_canonical = !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_canonical)
}

fn line_length(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

/// How many lines `lines` holds, an unended last one included.
pub(super) fn count_lines(lines: &[u8]) -> u64 {
    lines.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// The head of `line` with the mark, at most `max_size` long, whole characters where the mark fits.
fn cut(line: &[u8], max_size: u64) -> Vec<u8> {
    let room = usize::try_from(max_size).unwrap_or(usize::MAX).saturating_sub(CUT_MARK.len() + 1);
    let mut end = room.min(line.len() - 1);
    while end > 0 && line[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    [&line[..end], CUT_MARK, b"\n"].concat()
}

#[cfg(test)]
mod tests;
