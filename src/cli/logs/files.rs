//! The log's files: `batch.log` and, older, `batch.log.1`, `batch.log.2`, …; read from the end, followed through rotations.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A longer line is taken apart.
const MAX_LINE: u64 = 1024 * 1024;

/// So many rotated files are looked at.
const MAX_BACKUPS: u32 = 10_000;

/// Reads a growing log, whole lines only.
#[derive(Debug)]
pub(in crate::cli) struct Follower {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes of `file` that were read.
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

/// Is handed each line, without its line feed.
type Each<'a> = dyn FnMut(&str) -> io::Result<()> + 'a;

impl Follower {
    /// Starts at the beginning of the current file.
    pub(in crate::cli) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: BufReader::new(File::open(path)?), offset: 0, begun: Vec::new() })
    }

    /// Reads on to the end of the current file, through all files that were begun since.
    ///
    /// A file that is held open keeps its identity through a rotation, so that it is found among the rotated ones, and those
    /// after it are newer. Where it is not, more files have come than are kept, and reading goes on with the current one.
    pub(in crate::cli) fn read(&mut self, each: &mut Each<'_>) -> io::Result<()> {
        self.read_file(each)?;
        let newer = self.newer()?;
        if newer.is_empty() {
            return self.start_over_if_cut(each);
        }
        // What was written between the last reading and the rotation.
        self.read_file(each)?;
        for file in newer {
            self.end_line(each)?;
            self.file = BufReader::new(file);
            self.offset = 0;
            self.read_file(each)?;
        }
        Ok(())
    }

    fn read_file(&mut self, each: &mut Each<'_>) -> io::Result<()> {
        loop {
            let room = MAX_LINE.saturating_sub(self.begun.len() as u64);
            let count = self.file.by_ref().take(room).read_until(b'\n', &mut self.begun)?;
            self.offset += count as u64;
            if self.begun.ends_with(b"\n") || self.begun.len() as u64 >= MAX_LINE {
                self.end_line(each)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Hands out what has been read of a line.
    fn end_line(&mut self, each: &mut Each<'_>) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let line = String::from_utf8_lossy(self.begun.strip_suffix(b"\n").unwrap_or(&self.begun)).into_owned();
        self.begun.clear();
        each(&line)
    }

    /// The files that were begun after ours, oldest first.
    fn newer(&self) -> io::Result<Vec<File>> {
        let ours = identity(self.file.get_ref())?;
        let mut newer = VecDeque::new();
        for number in 0..=MAX_BACKUPS {
            // A rotation is under way, or the files end here without ours.
            let Some(file) = open_if_there(&numbered(&self.path, number))? else { break };
            if identity(&file)? == ours {
                return Ok(newer.into());
            }
            newer.push_front(file);
        }
        Ok(newer.pop_back().into_iter().collect())
    }

    /// A file that is shorter than what was read of it has been cut off in place.
    fn start_over_if_cut(&mut self, each: &mut Each<'_>) -> io::Result<()> {
        if self.file.get_ref().metadata()?.len() >= self.offset {
            return Ok(());
        }
        self.end_line(each)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.offset = 0;
        self.read_file(each)
    }
}

/// The last `count` lines that pass, oldest first, from as many files as it takes. The follower has then read its file.
pub(in crate::cli) fn tail(follower: &mut Follower, count: usize, passes: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let mut lines = last_lines(follower, count, &passes)?;
    let current = identity(follower.file.get_ref())?;
    for number in 1..=MAX_BACKUPS {
        if lines.len() >= count {
            break;
        }
        let Some(file) = open_if_there(&numbered(&follower.path, number))? else { break };
        // It may have been rotated just now.
        if identity(&file)? == current {
            continue;
        }
        let mut older = Follower { path: follower.path.clone(), file: BufReader::new(file), offset: 0, begun: Vec::new() };
        let mut before = last_lines(&mut older, count - lines.len(), &passes)?;
        before.append(&mut lines);
        lines = before;
    }
    Ok(lines.into())
}

fn last_lines(follower: &mut Follower, count: usize, passes: &impl Fn(&str) -> bool) -> io::Result<VecDeque<String>> {
    let mut lines = VecDeque::new();
    follower.read_file(&mut |line| {
        if count > 0 && passes(line) {
            if lines.len() == count {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        }
        Ok(())
    })?;
    Ok(lines)
}

/// `batch.log` for 0, else `batch.log.N`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    struct Log {
        directory: tempfile::TempDir,
    }

    impl Log {
        fn new(text: &str) -> Self {
            let log = Self { directory: tempfile::tempdir().expect("a temporary directory") };
            log.append(text);
            log
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("batch.log")
        }

        fn append(&self, text: &str) {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(self.path()).expect("open");
            file.write_all(text.as_bytes()).expect("write");
        }

        /// As Python's handler does it, with three backups.
        fn rotate(&self) {
            for number in (0..3).rev() {
                if numbered(&self.path(), number).exists() {
                    fs::rename(numbered(&self.path(), number), numbered(&self.path(), number + 1)).expect("rename");
                }
            }
            self.append("");
        }

        fn follower(&self) -> Follower {
            Follower::open(&self.path()).expect("open")
        }
    }

    fn read(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        follower
            .read(&mut |line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .expect("read");
        lines
    }

    #[test]
    fn the_tail_spans_files() {
        let log = Log::new("1\n2\n");
        log.rotate();
        log.append("3\n");
        log.rotate();
        log.append("4\n5\n");
        for (count, expected) in [(0, vec![]), (1, vec!["5"]), (3, vec!["3", "4", "5"]), (9, vec!["1", "2", "3", "4", "5"])] {
            assert_eq!(tail(&mut log.follower(), count, |_| true).expect("read"), expected);
        }
        assert_eq!(tail(&mut log.follower(), 2, |line| line < "4").expect("read"), ["2", "3"]);
    }

    #[test]
    fn no_line_is_lost_or_doubled_through_rotations() {
        let log = Log::new("1\n");
        let mut follower = log.follower();
        assert_eq!(read(&mut follower), ["1"]);
        log.append("2\n3");
        assert_eq!(read(&mut follower), ["2"], "a line that is not whole waits");
        log.append(".\n4\n");
        log.rotate();
        log.append("5\n");
        log.rotate();
        log.append("6\n");
        assert_eq!(read(&mut follower), ["3.", "4", "5", "6"]);
        assert_eq!(read(&mut follower), [""; 0]);
    }

    #[test]
    fn more_rotations_than_files_go_on_with_the_current_one() {
        let log = Log::new("1\n");
        let mut follower = log.follower();
        read(&mut follower);
        for number in 2..9 {
            log.rotate();
            log.append(&format!("{number}\n"));
        }
        assert_eq!(read(&mut follower), ["8"]);
    }

    #[test]
    fn a_file_cut_off_in_place_is_read_anew() {
        let log = Log::new("1\n2\n");
        let mut follower = log.follower();
        read(&mut follower);
        fs::write(log.path(), "3\n").expect("write");
        assert_eq!(read(&mut follower), ["3"]);
    }

    #[test]
    fn a_long_line_is_taken_apart() {
        let length = usize::try_from(MAX_LINE).expect("it fits");
        let log = Log::new(&format!("{}\nend\n", "x".repeat(length + 5)));
        let lengths: Vec<_> = read(&mut log.follower()).iter().map(String::len).collect();
        assert_eq!(lengths, [length, 5, 3]);
    }
}
