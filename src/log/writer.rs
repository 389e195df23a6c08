//! The threads that write: one for the file, one for its syncs, one for stderr. None of them ever logs through tracing.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::Level;

use super::layer::Sinks;
use super::rotate::{RotatingFile, Unwritten, count_lines};
use super::spool::Batch;
use super::stamp::{monotonic_now, wall_now};
use super::through::Through;
use super::trouble::{Kind, Troubles};

/// How often what is wrong with the file is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What the file's thread is asked to do besides writing, and what it has done.
#[derive(Debug, Default)]
pub(super) struct FileDesk {
    orders: Mutex<Orders>,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) through: Through,
    pub(super) troubles: Troubles,
}

#[derive(Debug, Default)]
struct Orders {
    reopen: bool,
    replacement: Option<RotatingFile>,
}

impl FileDesk {
    pub(super) fn order_reopen(&self) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).reopen = true;
    }

    pub(super) fn order_replacement(&self, file: RotatingFile) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).replacement = Some(file);
    }

    fn take(&self) -> Orders {
        std::mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lines that never reached the file, until the file has been told.
#[derive(Debug)]
struct Loss {
    lines: u64,
    from: Timestamp,
    until: Timestamp,
}

/// Writes the file until its spool is closed.
pub(super) fn write_file(sinks: &Arc<Sinks>, file: RotatingFile) {
    let mut writer = FileWriter::new(sinks, file);
    let mut batch = Batch::default();
    while let Some(next) = sinks.file.next_within(batch, writer.patience()) {
        writer.obey();
        writer.write(&next.lines);
        if next.is_flush {
            writer.sync();
        } else if next.has_kept {
            writer.file.want_sync(&sinks.desk.through);
        }
        batch = next;
    }
}

#[derive(Debug)]
pub(super) struct FileWriter<'a> {
    sinks: &'a Sinks,
    file: RotatingFile,
    loss: Option<Loss>,
    /// The last write failed and stderr knows.
    is_failing: bool,
    /// The last trouble with the path that stderr knows.
    trouble: Option<String>,
}

impl<'a> FileWriter<'a> {
    pub(super) fn new(sinks: &'a Sinks, file: RotatingFile) -> Self {
        Self { sinks, file, loss: None, is_failing: false, trouble: None }
    }

    /// The path is looked at again, as after a second.
    #[cfg(test)]
    pub(super) fn heal(&mut self) {
        self.file.reopen(monotonic_now());
    }

    fn obey(&mut self) {
        let orders = self.sinks.desk.take();
        if let Some(file) = orders.replacement {
            // The old file's last lines must not be weaker than those of a file that is kept.
            self.sync();
            self.file = file;
        }
        if orders.reopen {
            self.file.reopen(monotonic_now());
        }
    }

    pub(super) fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return self.retry();
        }
        let now = monotonic_now();
        let total = count_lines(lines);
        let outcome = self.tell_loss().and_then(|()| self.file.append(lines, now).map_err(|error| (error.lines, error)));
        let lost = match outcome {
            Ok(()) => 0,
            Err((lost, Unwritten { error, .. })) => {
                let lost = lost.min(total);
                self.account(lost, &error);
                lost
            }
        };
        self.sinks.desk.written.fetch_add(total - lost, Ordering::Relaxed);
        if lost == 0 {
            self.is_written();
        }
        self.tell_trouble();
    }

    /// How long to wait for lines at most.
    fn patience(&self) -> Option<Duration> {
        (self.is_failing || self.file.trouble().is_some()).then_some(RETRY_EVERY)
    }

    /// There is no line: what is wrong is tried again, so that it heals and says so before the next one comes.
    fn retry(&mut self) {
        if self.is_failing && self.tell_loss().is_ok() {
            self.is_written();
        }
        if self.file.trouble().is_some() {
            self.file.retry(monotonic_now());
        }
        self.tell_trouble();
    }

    fn is_written(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            self.sinks.desk.troubles.set(Kind::Write, None);
            self.sinks.tell_console(Level::INFO, format_args!("the log file `{}` is written again", self.file.path().display()));
        }
    }

    /// Says in the file itself what is missing from it, before the next line.
    fn tell_loss(&mut self) -> Result<(), (u64, Unwritten)> {
        let Some(loss) = &self.loss else { return Ok(()) };
        let (from, until) = (self.sinks.local(loss.from), self.sinks.local(loss.until));
        let line = self.sinks.render(Level::WARN, format_args!("{} lines lost from {from} to {until}", loss.lines));
        // The message stands for lines that are counted already, so when it fails all lines of this batch are lost with it.
        self.file.append(line.as_bytes(), monotonic_now()).map_err(|error| (u64::MAX, error))?;
        self.loss = None;
        Ok(())
    }

    fn account(&mut self, lines: u64, error: &io::Error) {
        let now = wall_now();
        let loss = self.loss.get_or_insert(Loss { lines: 0, from: now, until: now });
        loss.lines += lines;
        loss.until = now;
        self.sinks.desk.lost.fetch_add(lines, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            let reason = format!("cannot write the log file `{}`, its lines are lost: {error}", self.file.path().display());
            self.sinks.tell_console(Level::ERROR, format_args!("{reason}"));
            self.sinks.desk.troubles.set(Kind::Write, Some(reason));
        }
    }

    /// One message when the path gives trouble or a different one, none while it lasts.
    fn tell_trouble(&mut self) {
        let trouble = self.file.trouble().map(ToString::to_string);
        if trouble != self.trouble {
            let path = self.file.path().display();
            let reason = trouble.as_ref().map(|error| format!("cannot rotate or reopen the log file `{path}`, writing on: {error}"));
            match &reason {
                Some(reason) => self.sinks.tell_console(Level::ERROR, format_args!("{reason}")),
                None => self.sinks.tell_console(Level::INFO, format_args!("the log file `{path}` is where it belongs again")),
            }
            self.sinks.desk.troubles.set(Kind::Path, reason);
            self.trouble = trouble;
        }
    }

    fn sync(&mut self) {
        if let Err(error) = self.file.sync() {
            self.sinks.tell_console(Level::ERROR, format_args!("cannot sync the log file `{}`: {error}", self.file.path().display()));
        }
    }
}

/// Syncs the lines that tell of runs, until it is closed.
pub(super) fn write_through(sinks: &Sinks) {
    sinks.desk.through.sync_all(|error| {
        let reason = error.map(|error| format!("cannot sync the log file: {error}"));
        match &reason {
            Some(reason) => sinks.tell_console(Level::ERROR, format_args!("{reason}")),
            None => sinks.tell_console(Level::INFO, format_args!("the log file is synced again")),
        }
        sinks.desk.troubles.set(Kind::Sync, reason);
    });
}

/// Writes stderr until the spool is closed. May block for as long as nobody reads; nobody waits for it.
pub(super) fn write_console(sinks: &Sinks, mut stderr: impl io::Write) {
    let mut batch = Batch::default();
    while let Some(next) = sinks.console.next(batch) {
        if next.dropped > 0 {
            let note = sinks.render_console(Level::WARN, format_args!("{} lines not shown: stderr was not read in time", next.dropped));
            let _ = stderr.write_all(note.as_bytes());
        }
        // There is no better place to report a broken stderr than stderr: counted is all it can be.
        if stderr.write_all(&next.lines).and_then(|()| stderr.flush()).is_err() {
            sinks.console.lose(count_lines(&next.lines));
        }
        batch = next;
    }
}
