//! The log: tracing events become lines of a size-rotating file and, where somebody reads it, of stderr.
//!
//! - One event is one line; nothing from outside can break or forge one (`escape`, `format`).
//! - No line for the file is lost without being counted, in the file itself: callers wait when it is slow (`spool`), and what
//!   a full disk refused is reported once it works again (`writer`). stderr may lose lines, counted, and never holds anyone up.
//! - What is wrong with the file is known to those who ask (`trouble`), tried again every second, and heals by itself.
//! - The start and the end of a run are synced within a second (`through`).
//! - The files are those of Python's `RotatingFileHandler` (`rotate`).
//!
//! The queue is our own rather than `tracing_appender::non_blocking`: that one is bounded in lines, not bytes, allocates for
//! every line, and gives up after a fixed second at exit without saying what was left.

mod console;
mod escape;
mod format;
mod layer;
mod rotate;
mod spool;
mod stamp;
mod through;
mod trouble;
mod writer;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

pub use console::Console;
pub use escape::{escape, escape_bytes, escape_json};
pub use layer::LogLayer;
pub use trouble::Trouble;

use crate::config::{LogConfig, LogLevel};
use crate::schedule::Zone;
use layer::{Settings, Sinks};
use rotate::{Place, RotatingFile};
use stamp::monotonic_now;

/// The target of what handlers say of how far they are.
pub const PROGRESS_TARGET: &str = "batchd::progress";

/// The target of a program's output lines.
pub const OUTPUT_TARGET: &str = "batchd::output";

/// The target of lines that tell of the start or the end of a run: they are brought to the disk without waiting for a flush.
pub const RUN_TARGET: &str = "batchd::run";

/// Somebody who does not read stderr must not keep the daemon from leaving.
const CONSOLE_DEADLINE: Duration = Duration::from_secs(1);

/// How long dropping a [`Log`] waits for its last lines; a daemon that drains calls [`Log::flush`] with its own deadline.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// Why the log could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot open the log file `{}`", escape(&path.to_string_lossy()))]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "the log directory `{}` may be written by others (mode {mode:o}); as root use one that only root writes: chmod go-w",
        escape(&path.to_string_lossy())
    )]
    UnsafeDirectory { path: PathBuf, mode: u32 },
    #[error("cannot start the log's thread")]
    Thread { source: io::Error },
    #[error("another tracing subscriber is installed already; add `batchd::log::layer` to it instead")]
    SubscriberTaken,
}

/// What a flush achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushReport {
    /// Lines in the file since the start of the log.
    pub written: u64,
    /// Lines for the file that were still waiting at the deadline.
    pub left: u64,
    /// Lines the file has lost for good since the start.
    pub lost: u64,
}

/// Lines that did not reach their place since the start of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub file: u64,
    pub console: u64,
}

/// Which of a program's two outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The running log. Dropping it writes what is left and ends its threads.
#[derive(Debug)]
pub struct Log {
    sinks: Arc<Sinks>,
    console: Console,
}

/// Opens the log and makes it the process's tracing subscriber. Call once; an embedding program with a subscriber of its own
/// adds [`layer`] to that.
pub fn start(config: &LogConfig, zone: &Zone, console: Console) -> Result<Log, LogError> {
    let (layer, log) = layer(config, zone, console)?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).map_err(|_| LogError::SubscriberTaken)?;
    Ok(log)
}

/// Opens the log and returns its tracing layer with the handle. The layer's level holds for the whole subscriber.
pub fn layer(config: &LogConfig, zone: &Zone, console: Console) -> Result<(LogLayer, Log), LogError> {
    let file = open(config)?;
    let sinks = Arc::new(Sinks::new(settings(config, zone, console)));
    let log = Log { sinks: Arc::clone(&sinks), console };
    let for_file = Arc::clone(&sinks);
    let for_console = Arc::clone(&sinks);
    spawn("log-console", move || writer::write_console(&for_console, io::stderr()))?;
    spawn("log-file", move || writer::write_file(&for_file, file))?;
    let for_sync = Arc::clone(&sinks);
    spawn("log-sync", move || writer::write_through(&for_sync))?;
    Ok((LogLayer { sinks }, log))
}

/// Logs one line of a program's output, without its line feed. It is marked with its stream, so that it cannot pass for a
/// line of the daemon's.
pub fn output(job: &str, run: &str, partial: &str, stream: Stream, line: &[u8]) {
    tracing::info!(target: OUTPUT_TARGET, job, run, partial, stream = stream.name(), "{}", escape::decode(line));
}

/// Logs one line that a handler says. It is marked as well.
pub fn said(job: &str, run: &str, partial: &str, level: tracing::Level, line: &str) {
    const STREAM: &str = "log";
    match level {
        tracing::Level::ERROR => tracing::error!(target: OUTPUT_TARGET, job, run, partial, stream = STREAM, "{line}"),
        tracing::Level::WARN => tracing::warn!(target: OUTPUT_TARGET, job, run, partial, stream = STREAM, "{line}"),
        tracing::Level::INFO => tracing::info!(target: OUTPUT_TARGET, job, run, partial, stream = STREAM, "{line}"),
        _ => tracing::debug!(target: OUTPUT_TARGET, job, run, partial, stream = STREAM, "{line}"),
    }
}

/// Tells who watches how far a handler is.
pub fn progress(job: &str, run: &str, partial: &str, text: &str) {
    tracing::debug!(target: PROGRESS_TARGET, job, run, partial, stream = "progress", "{text}");
}

impl Log {
    /// Takes over a changed configuration. On an error all stays as it was.
    pub fn reconfigure(&self, config: &LogConfig, zone: &Zone) -> Result<(), LogError> {
        let file = open(config)?;
        *self.sinks.settings.write().unwrap_or_else(PoisonError::into_inner) = settings(config, zone, self.console);
        self.sinks.desk.order_replacement(file);
        self.sinks.file.knock();
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Opens the file again, after somebody else rotated it.
    pub fn reopen(&self) {
        self.sinks.desk.order_reopen();
        self.sinks.file.knock();
    }

    /// Waits until all lines so far are on the disk, at most as long as `deadline`; stderr gets what time is left, up to a second.
    pub fn flush(&self, deadline: Duration) -> FlushReport {
        let deadline = monotonic_now() + deadline;
        let left = self.sinks.file.flush(deadline);
        self.sinks.console.flush(deadline.min(monotonic_now() + CONSOLE_DEADLINE));
        FlushReport { written: self.sinks.desk.written.load(Ordering::Relaxed), left, lost: self.dropped().file }
    }

    /// What is wrong with the file now. It is tried again every second, and healed without a restart.
    pub fn trouble(&self) -> Option<Trouble> {
        self.sinks.desk.troubles.worst()
    }

    /// Lines lost so far, for metrics.
    pub fn dropped(&self) -> Dropped {
        let file = self.sinks.desk.lost.load(Ordering::Relaxed) + self.sinks.file.dropped();
        Dropped { file, console: self.sinks.console.dropped() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush(DROP_DEADLINE);
        self.sinks.file.close();
        self.sinks.console.close();
        self.sinks.desk.through.close();
    }
}

fn open(config: &LogConfig) -> Result<RotatingFile, LogError> {
    let path = config.dir.join(&config.file);
    let place = Place { path: path.clone(), max_size: config.max_size, backups: config.backups };
    check_directory(&config.dir)?;
    RotatingFile::open(place, monotonic_now()).map_err(|source| LogError::Open { path, source })
}

/// Renaming files as root where others may plant links has given away root before (CVE-2011-1548, CVE-2016-1247).
fn check_directory(directory: &Path) -> Result<(), LogError> {
    // One that is missing is made by us, safely; any other trouble shows when the file is opened.
    let Ok(metadata) = std::fs::metadata(directory) else { return Ok(()) };
    let mode = metadata.mode() & 0o7777;
    if nix::unistd::geteuid().is_root() && mode & 0o022 != 0 {
        return Err(LogError::UnsafeDirectory { path: directory.to_owned(), mode });
    }
    Ok(())
}

fn settings(config: &LogConfig, zone: &Zone, console: Console) -> Settings {
    let level = match config.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    Settings { level, format: config.format, style: console::style(console, config.console), zone: zone.rules.clone() }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(|source| LogError::Thread { source })
}

#[cfg(test)]
mod tests;
