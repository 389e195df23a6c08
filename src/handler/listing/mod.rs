//! Reads the targets of a run from where its job says they are: one after the other, never all at once.

mod csv;
mod json;
mod lines;
mod paths;
mod request;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::OFlag;
use tokio::sync::mpsc;

use super::command::{self, Source as CommandSource};
use super::process::{self, Streams};
use super::template::{self, Values};
use super::{Attempt, ResultFiles, Rooms, StopLine, account_of, rust};
use crate::config::{Format, Origin, Source, Target, Work};

/// The longest row, in bytes.
const MAX_ROW: usize = 1 << 20;

/// So many pieces of a command's output wait to be read as targets.
const PIECES_WAITING: usize = 4;

/// Takes a target, with where it came from; an error ends the reading.
pub(crate) type Take = Box<dyn FnMut(Target, Place) -> Result<(), Fault> + Send>;

/// Where a target stands: `line 7`, `element 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) noun: &'static str,
    /// From 1.
    pub(crate) number: u64,
}

impl Place {
    pub(crate) fn fault(self, problem: String) -> Fault {
        Fault::At { place: self, problem }
    }
}

/// Why the targets could not be read; for people, one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{} {}: {problem}", place.noun, place.number)]
    At { place: Place, problem: String },
    #[error("{0}")]
    Whole(String),
}

impl Fault {
    fn whole(problem: &(impl ToString + ?Sized)) -> Self {
        Self::Whole(problem.to_string())
    }

    /// The same with the name of what was read before it.
    pub(crate) fn of(self, name: &str) -> Self {
        Self::Whole(format!("`{name}`: {self}"))
    }
}

/// Reads all targets of `source` for the run of `attempt`; `take` gets each. Returns the name of what was read.
pub(crate) async fn read(attempt: Arc<Attempt>, source: Arc<Source>, rooms: &Rooms, stops: &StopLine, take: Take) -> Result<String, Fault> {
    match (&source.origin, &attempt.run.job.work) {
        (Origin::Command(argv), _) => {
            return read_command(&attempt, argv, Arc::clone(&source), &rooms.results, stops, take).await;
        }
        (Origin::Http(work), _) => return request::read(&attempt, work, Arc::clone(&source), stops, take).await,
        (Origin::Handler, Work::Handler(name)) => {
            return rust::list(&attempt, &rooms.handlers, name, stops, take).await.map(|()| name.clone()).map_err(|fault| fault.of(name));
        }
        _ => {}
    }
    let reading = tokio::task::spawn_blocking(move || read_files(&attempt, &source, take));
    reading.await.unwrap_or_else(|error| Err(Fault::whole(&error)))
}

fn read_files(attempt: &Attempt, source: &Source, mut take: Take) -> Result<String, Fault> {
    let process = &attempt.run.job.process;
    let render = |text: &str| template::render(text, &Values::new(attempt)).map(String::from).map_err(|error| Fault::whole(&error));
    match &source.origin {
        Origin::File(path) => {
            let name = render(path)?;
            let file = open(&process.base.join(&name)).map_err(|error| Fault::whole(&error).of(&name))?;
            parse(file, source, &mut take).map_err(|fault| fault.of(&name))?;
            Ok(name)
        }
        Origin::Glob(pattern) => {
            let pattern = render(pattern)?;
            paths::read(&pattern, &process.base, process.directory(), &mut take).map_err(|fault| fault.of(&pattern))?;
            Ok(pattern)
        }
        Origin::Command(_) | Origin::Http(_) | Origin::Handler => Err(Fault::whole("the job has no handler that lists its targets")),
    }
}

/// Runs `argv` as a process of the job, and reads its stdout.
async fn read_command(
    attempt: &Attempt,
    argv: &[String],
    source: Arc<Source>,
    results: &ResultFiles,
    stops: &StopLine,
    take: Take,
) -> Result<String, Fault> {
    let account = account_of(&attempt.run.job.process).await.map_err(|error| Fault::whole(&error))?;
    let path = results.prepare(attempt, account.as_ref());
    let plan = command::plan(attempt, CommandSource::Argv(argv), &path, account).map_err(|error| Fault::whole(&error))?;
    let name = plan.arguments.first().cloned().unwrap_or_default();
    let (sender, reading) = parse_pieces(source, take);
    let streams = Streams { stdout: Some(sender), ..Streams::default() };
    let end = process::run(&plan, attempt, &path, streams, stops).await;
    let parsed = reading.await;
    // What it wrote to BATCHD_RESULT means nothing here.
    let _ = std::fs::remove_file(&path);
    parsed.map_err(|fault| fault.of(&name))?;
    let end = end.map_err(|error| Fault::whole(&error))?;
    match end.failure() {
        Some(failure) => Err(Fault::Whole(failure).of(&name)),
        None if end.cut => Err(Fault::Whole("a process that it left behind held its output open".to_owned()).of(&name)),
        None => Ok(name),
    }
}

fn parse(input: impl Read, source: &Source, take: &mut Take) -> Result<(), Fault> {
    let key = source.key.as_deref();
    match source.format {
        Format::Lines => lines::read(BufReader::new(input), take),
        Format::JsonLines => json::read_lines(BufReader::new(input), key, take),
        Format::Json => json::read_array(BufReader::new(input), &source.pointer, key, take),
        Format::Csv => csv::read(input, b',', key, take),
        Format::Tsv => csv::read(input, b'\t', key, take),
    }
}

/// Opens a regular file; a FIFO in its place is refused, not waited on.
fn open(path: &Path) -> io::Result<impl Read + use<>> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Where the pieces go, and the reading of them, on a thread that may wait for each; it ends when there is no sender any more.
fn parse_pieces(source: Arc<Source>, mut take: Take) -> (mpsc::Sender<Vec<u8>>, impl Future<Output = Result<(), Fault>>) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let reading = tokio::task::spawn_blocking(move || parse(Pieces { receiver, piece: Vec::new(), read: 0 }, &source, &mut take));
    (sender, async { reading.await.unwrap_or_else(|error| Err(Fault::whole(&error))) })
}

/// The output of a command, or an answer, as it comes.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.read) = (piece, 0),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.read);
        buffer[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// A text as a message repeats it: not longer than it helps.
fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut rest = text.char_indices().skip(SHOWN);
    match rest.next() {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The key of a target, if it can be one.
pub(super) fn fit_key(key: &str) -> Result<(), String> {
    match key.len() {
        0 => Err("the target has an empty key".to_owned()),
        length if length > Target::MAX_KEY => {
            Err(format!("the target's key is too long: {length} bytes, at most {} are allowed", Target::MAX_KEY))
        }
        _ => Ok(()),
    }
}

/// The names of the fields that identify a table, and how a message names them.
fn key_names(key: Option<&str>) -> Vec<&str> {
    key.map_or_else(|| vec!["id", "name"], |key| vec![key])
}

fn no_key(key: Option<&str>, found: &str) -> String {
    let names = key_names(key).into_iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(" or ");
    format!("no {names} that identifies a target, found: {}; name one with `target_key`", shown(found))
}
