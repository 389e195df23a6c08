//! What a process prints: every line to the log, the head and the tail kept (`capture`), the last line of each stream remembered.
//! Memory is bounded whatever is printed.

use std::path::Path;

use super::super::Attempt;
use super::super::result::RESULT_MAX_BYTES;
use super::super::secrets::{Redactor, Secrets};
use super::capture::Capture;
use crate::config::JobName;
use crate::engine::{CapturedOutput, RunId};
use crate::log::{self, Stream};

/// A longer line is logged in pieces of so many bytes …
const LINE_MAX_BYTES: usize = 16 * 1024;

/// … each but the last with this at its end.
const LINE_GOES_ON: &[u8] = b" [line goes on]";

/// So much of the last line of stderr is told as the reason of a failure.
const REASON_MAX_BYTES: usize = 300;

/// Takes in both streams of one process, without the secrets that it was given.
pub(super) struct Output {
    redactors: [Redactor; 2],
    kept: Kept,
}

/// What becomes of the output.
struct Kept {
    job: JobName,
    run: RunId,
    partial: String,
    capture: Capture,
    lines: [Lines; 2],
    last_stdout: LastLine,
    last_stderr: LastLine,
}

/// What is left of the output at the end.
pub(super) struct Collected {
    /// `None` when nothing was printed.
    pub(super) captured: Option<CapturedOutput>,
    /// Empty when longer than a result may be.
    pub(super) last_stdout: Vec<u8>,
    pub(super) last_stderr: String,
}

impl Output {
    /// Of an attempt; large output is kept in a file in `directory`.
    pub(super) fn new(attempt: &Attempt, secrets: &Secrets, directory: &Path) -> Self {
        let run = &attempt.run;
        let kept = Kept {
            job: run.job.name.clone(),
            run: run.id.clone(),
            partial: attempt.label().to_owned(),
            capture: Capture::new(run.job.policies.output_max_size, directory),
            lines: [Lines::default(), Lines::default()],
            last_stdout: LastLine::new(RESULT_MAX_BYTES),
            last_stderr: LastLine::new(LINE_MAX_BYTES),
        };
        Self { redactors: [secrets.redactor(), secrets.redactor()], kept }
    }

    /// Takes bytes as they come: the capture interleaves the streams in the order of arrival.
    pub(super) fn accept(&mut self, stream: Stream, bytes: &[u8]) {
        let [stdout, stderr] = &mut self.redactors;
        let redactor = if stream == Stream::Stdout { stdout } else { stderr };
        redactor.push(bytes, |clean| self.kept.accept(stream, clean));
    }

    pub(super) fn finish(mut self) -> Collected {
        for (mut redactor, stream) in self.redactors.into_iter().zip([Stream::Stdout, Stream::Stderr]) {
            redactor.finish(|clean| self.kept.accept(stream, clean));
        }
        self.kept.finish()
    }
}

impl Kept {
    fn accept(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.capture.push(bytes);
        let (lines, last) = match stream {
            Stream::Stdout => (&mut self.lines[0], &mut self.last_stdout),
            Stream::Stderr => (&mut self.lines[1], &mut self.last_stderr),
        };
        last.push(bytes);
        lines.push(bytes, |line| log::output(&self.job, &self.run.0, &self.partial, stream, line));
    }

    fn finish(self) -> Collected {
        for (lines, stream) in self.lines.into_iter().zip([Stream::Stdout, Stream::Stderr]) {
            lines.finish(|line| log::output(&self.job, &self.run.0, &self.partial, stream, line));
        }
        Collected {
            captured: self.capture.finish(),
            last_stdout: self.last_stdout.finish(),
            last_stderr: shorten(&String::from_utf8_lossy(self.last_stderr.finish().trim_ascii())),
        }
    }
}

/// The beginning of a text, short enough for a reason.
pub(in crate::handler) fn shorten(text: &str) -> String {
    if text.len() <= REASON_MAX_BYTES {
        return text.to_owned();
    }
    let end = (0..=REASON_MAX_BYTES).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// What is kept of bytes that are all there.
pub(in crate::handler) fn captured(bytes: &[u8], limit: usize) -> Option<CapturedOutput> {
    let mut capture = Capture::in_memory(limit as u64);
    capture.push(bytes);
    capture.finish()
}

/// Cuts one stream into lines.
#[derive(Default)]
struct Lines {
    /// A line whose end has not come, less than [`LINE_MAX_BYTES`] and one piece.
    pending: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.pending.is_empty() && line.len() <= LINE_MAX_BYTES {
                emit(line);
            } else {
                self.append(line, &mut emit);
                emit(&self.pending);
                self.pending.clear();
            }
        }
        self.append(rest, &mut emit);
    }

    fn append(&mut self, mut part: &[u8], emit: &mut impl FnMut(&[u8])) {
        while self.pending.len() + part.len() > LINE_MAX_BYTES {
            let (piece, rest) = part.split_at(LINE_MAX_BYTES - self.pending.len());
            self.pending.extend_from_slice(piece);
            self.pending.extend_from_slice(LINE_GOES_ON);
            emit(&self.pending);
            self.pending.clear();
            part = rest;
        }
        self.pending.extend_from_slice(part);
    }

    fn finish(self, mut emit: impl FnMut(&[u8])) {
        if !self.pending.is_empty() {
            emit(&self.pending);
        }
    }
}

/// Remembers the last line that is not blank; one longer than the limit counts as empty.
struct LastLine {
    limit: usize,
    /// The last whole line.
    last: Vec<u8>,
    /// The line whose end has not come; one byte more than the limit says that it is too long.
    current: Vec<u8>,
}

impl LastLine {
    fn new(limit: usize) -> Self {
        Self { limit, last: Vec::new(), current: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            self.extend_current(bytes);
            return;
        };
        let whole = &bytes[..end];
        // Only the last line of a chunk can be the last of all: the lines before it are not even looked at.
        let first_end = whole.iter().position(|byte| *byte == b'\n').unwrap_or(end);
        let after_first = whole.get(first_end + 1..).unwrap_or_default();
        if let Some(line) = after_first.rsplit(|byte| *byte == b'\n').find(|line| !is_blank(line)) {
            self.current.clear();
            self.extend_current(line);
        } else {
            self.extend_current(&whole[..first_end]);
        }
        if !is_blank(&self.current) {
            std::mem::swap(&mut self.last, &mut self.current);
        }
        self.current.clear();
        self.extend_current(&bytes[end + 1..]);
    }

    fn extend_current(&mut self, bytes: &[u8]) {
        let room = self.limit + 1 - self.current.len();
        self.current.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(self) -> Vec<u8> {
        let line = if is_blank(&self.current) { self.last } else { self.current };
        if line.len() > self.limit { Vec::new() } else { line }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `text` in chunks of each size, which must make no difference.
    fn in_chunks<T: PartialEq + std::fmt::Debug>(text: &[u8], expected: &T, run: impl Fn(std::slice::Chunks<'_, u8>) -> T) {
        for size in [1, 2, 3, 5, 16, text.len().max(1)] {
            assert_eq!(run(text.chunks(size)), *expected, "chunks of {size}");
        }
    }

    fn check_lines(text: &str, expected: &[&str]) {
        let expected: Vec<Vec<u8>> = expected.iter().map(|line| line.as_bytes().to_vec()).collect();
        in_chunks(text.as_bytes(), &expected, |chunks| {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            chunks.for_each(|chunk| lines.push(chunk, |line| seen.push(line.to_vec())));
            lines.finish(|line| seen.push(line.to_vec()));
            seen
        });
    }

    #[test]
    fn lines_are_whole_or_marked() {
        check_lines("", &[]);
        check_lines("a\n\nb\r\nc", &["a", "", "b\r", "c"]);
        let full = "x".repeat(LINE_MAX_BYTES);
        check_lines(&format!("{full}\ny\n"), &[&full, "y"]);
        check_lines(&format!("{full}{full}z\ny"), &[&format!("{full} [line goes on]"), &format!("{full} [line goes on]"), "z", "y"]);
    }

    fn check_last(text: &str, expected: &str) {
        in_chunks(text.as_bytes(), &expected.as_bytes().to_vec(), |chunks| {
            let mut last = LastLine::new(8);
            chunks.for_each(|chunk| last.push(chunk));
            last.finish()
        });
    }

    #[test]
    fn the_last_line_is_the_last_that_is_not_blank() {
        check_last("", "");
        check_last("\n \n", "");
        check_last("one", "one");
        check_last("one\ntwo\n", "two");
        check_last("one\ntwo\n\n  \n", "two");
        check_last("one\ntwo\nthree", "three");
        check_last("12345678\n", "12345678");
        check_last("one\n123456789\n", "");
        check_last("123456789\none\n", "one");
    }

    #[test]
    fn reasons_are_short() {
        assert_eq!(shorten("no"), "no");
        assert_eq!(shorten(&"é".repeat(200)).len(), REASON_MAX_BYTES + "…".len());
    }
}
