//! What is kept of an output: its head and its tail, half of the limit each. Little of it stays in memory; more goes to a file
//! without a name in the state directory, so that memory does not grow with `output.max_size` and the number of attempts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use crate::engine::CapturedOutput;

/// So much is kept in memory before a file is made.
const MEMORY_BYTES: usize = 64 * 1024;

/// Keeps an output while it is printed. The bytes up to the head's end stand in their place, those after it go round in the room
/// of the tail.
#[derive(Debug)]
pub(super) struct Capture {
    head_max: u64,
    tail_max: u64,
    /// How much was printed.
    total: u64,
    room: Room,
    /// Where files are made; `None` once that has failed.
    directory: Option<PathBuf>,
}

/// Where the kept bytes are.
#[derive(Debug)]
enum Room {
    Memory(Vec<u8>),
    File(File),
}

impl Capture {
    /// Keeps up to `limit` bytes, most of them in a file in `directory`.
    pub(super) fn new(limit: u64, directory: &Path) -> Self {
        let head_max = limit / 2;
        Self { head_max, tail_max: limit - head_max, total: 0, room: Room::Memory(Vec::new()), directory: Some(directory.to_owned()) }
    }

    /// Keeps all in memory.
    pub(super) fn in_memory(limit: u64) -> Self {
        Self { directory: None, ..Self::new(limit, Path::new("")) }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room_needed = (self.total + bytes.len() as u64).min(self.head_max + self.tail_max);
        if room_needed > MEMORY_BYTES as u64 {
            self.move_to_file();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (place, length) = self.place(rest.len());
            let (now, later) = rest.split_at(length);
            // What the tail would only overwrite again is left out.
            if self.total < self.head_max || (later.len() as u64) < self.tail_max {
                self.room.write(place, now);
            }
            self.total += length as u64;
            rest = later;
        }
    }

    /// `None` when nothing was printed.
    pub(super) fn finish(self) -> Option<CapturedOutput> {
        let limit = self.head_max + self.tail_max;
        if self.total <= limit {
            return (self.total > 0).then(|| CapturedOutput { head: self.room.read(0, self.total), tail: Vec::new(), cut: 0 });
        }
        let oldest = (self.total - self.head_max).checked_rem(self.tail_max).unwrap_or(0);
        let mut tail = self.room.read(self.head_max + oldest, self.tail_max - oldest);
        tail.append(&mut self.room.read(self.head_max, oldest));
        Some(CapturedOutput { head: self.room.read(0, self.head_max), tail, cut: self.total - limit })
    }

    /// Where the next bytes stand, and how many of `length` fit there in one piece.
    fn place(&self, length: usize) -> (u64, usize) {
        let (place, end) = match self.total.checked_sub(self.head_max) {
            None => (self.total, self.head_max),
            // Without room for a tail, all is passed over.
            Some(after) if self.tail_max == 0 => (0, after + length as u64),
            Some(after) => (self.head_max + after % self.tail_max, self.head_max + self.tail_max),
        };
        (place, length.min(usize::try_from(end - place).unwrap_or(usize::MAX)))
    }

    /// The whole room is taken at once, so that a disk that fills up later takes nothing away. Where it cannot be taken, the
    /// output stays in memory.
    fn move_to_file(&mut self) {
        let (Room::Memory(memory), Some(directory)) = (&self.room, self.directory.take()) else { return };
        match take_room(&directory, memory, self.head_max + self.tail_max) {
            Ok(file) => self.room = Room::File(file),
            Err(error) => tracing::warn!("output is kept in memory, a file in `{}` cannot be had: {error}", directory.display()),
        }
    }
}

fn take_room(directory: &Path, so_far: &[u8], limit: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits()).open(directory)?;
    fallocate(&file, FallocateFlags::empty(), 0, i64::try_from(limit).unwrap_or(i64::MAX))?;
    file.write_all_at(so_far, 0)?;
    Ok(file)
}

impl Room {
    fn write(&mut self, place: u64, bytes: &[u8]) {
        match self {
            Self::File(file) => {
                if let Err(error) = file.write_all_at(bytes, place) {
                    tracing::warn!("a part of an output is lost: {error}");
                }
            }
            Self::Memory(memory) => {
                let start = usize::try_from(place).unwrap_or(usize::MAX);
                let end = start.saturating_add(bytes.len());
                memory.resize(memory.len().max(end), 0);
                memory[start..end].copy_from_slice(bytes);
            }
        }
    }

    fn read(&self, place: u64, length: u64) -> Vec<u8> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match self {
            Self::File(file) => {
                let mut bytes = vec![0; length];
                if let Err(error) = file.read_exact_at(&mut bytes, place) {
                    tracing::warn!("an output cannot be read back: {error}");
                }
                bytes
            }
            Self::Memory(memory) => {
                let start = usize::try_from(place).unwrap_or(usize::MAX);
                memory[start..start + length].to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(limit: u64, text: &[u8], size: usize, directory: &Path) -> Option<CapturedOutput> {
        let mut capture = Capture::new(limit, directory);
        text.chunks(size).for_each(|chunk| capture.push(chunk));
        capture.finish()
    }

    /// In chunks of each size, which must make no difference.
    fn check(limit: u64, text: &str, head: &str, tail: &str, cut: u64) {
        let expected = (!text.is_empty()).then(|| CapturedOutput { head: head.into(), tail: tail.into(), cut });
        for size in [1, 2, 3, 5, 16, text.len().max(1)] {
            assert_eq!(captured(limit, text.as_bytes(), size, Path::new("/nowhere")), expected, "chunks of {size}");
        }
    }

    #[test]
    fn head_and_tail_are_kept() {
        check(8, "", "", "", 0);
        check(8, "abc", "abc", "", 0);
        check(8, "abcdefgh", "abcdefgh", "", 0);
        check(8, "abcdefghi", "abcd", "fghi", 1);
        check(7, "abcdefghijklmnopqrstuvwxyz", "abc", "wxyz", 19);
        check(1, "abc", "", "c", 2);
        check(0, "abc", "", "", 3);
    }

    #[test]
    fn a_large_output_is_the_same_in_a_file_and_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let text: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
        for (limit, size) in [(1 << 20, 16_384), (100_001, 16_383), (1 << 20, 1 << 22), (1 << 21, 16_384)] {
            let limit_bytes = usize::try_from(limit).expect("is small");
            let in_file = captured(limit, &text, size, directory.path()).expect("an output");
            assert_eq!(Some(&in_file), captured(limit, &text, size, Path::new("/nowhere")).as_ref());
            let kept = in_file.head.len() + in_file.tail.len();
            assert_eq!((kept, in_file.cut), (text.len().min(limit_bytes), (text.len() - kept) as u64));
            assert!(text.starts_with(&in_file.head) && text.ends_with(&in_file.tail));
        }
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "the files have no names");
    }
}
