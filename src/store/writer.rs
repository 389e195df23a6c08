//! The writer thread: takes what the loop records, commits it in groups and tells when something is on disk.
//!
//! The loop never waits for the disk. When the disk is full or fails, the batch is kept and tried again until it works, and the
//! health says so; the loop is expected to hold new fires while [`Writer::backlog`] is large.

mod planner;
mod queue;
mod recorder;
mod side;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::planner::{PendingStep, Planner};
use self::queue::{Message, Shared};
pub use self::recorder::Recorder;
use self::side::{Ended, WriterSide};
use super::{Epoch, Retention, Store};
use crate::engine::{Record, Then};

/// Whether records reach the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Good,
    /// The disk refuses; what was recorded is kept and tried again.
    Degraded { reason: String, since: Instant },
    /// Nothing more is written: another writer took over, or the database is damaged. The daemon must end.
    Failed { reason: String },
}

/// What [`Writer::close`] could not bring to disk.
#[derive(Debug, thiserror::Error)]
#[error("{records} records were not written: {reason}")]
pub struct Unwritten {
    pub records: usize,
    pub reason: String,
}

/// The handle of the loop. Dropped without [`Writer::close`], the thread still writes what it can at once, and ends.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("backlog", &self.backlog()).field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Start the thread. `notify` is called on it, in order, for each [`Writer::when_durable`] once it holds; `on_health` for
    /// each change of the health. Neither may block for long.
    pub fn spawn(
        store: Box<dyn Store>,
        epoch: Epoch,
        notify: impl FnMut(Then) + Send + 'static,
        on_health: impl FnMut(&Health) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut side = WriterSide { shared: shared.clone(), store, epoch, notify, on_health, short: None };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            let _ended = Ended(side.shared.clone());
            side.write_all();
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Put a record behind all others. Never waits. After [`Health::Failed`] it is dropped.
    pub fn record(&self, record: Record) {
        self.shared.record(record);
    }

    /// For those who record beside the loop.
    pub fn recorder(&self) -> Recorder {
        Recorder(Arc::clone(&self.shared))
    }

    /// Have `then` handed to `notify` once all that was recorded before is on disk.
    pub fn when_durable(&self, then: Then) {
        let mut queue = self.shared.queue();
        if queue.ended {
            return;
        }
        queue.messages.push_back(Message::WhenDurable(then));
        queue.awaited += 1;
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Have `told` called on the thread once all that was recorded before is on disk. Hurries nothing.
    pub fn once_written(&self, told: impl FnOnce() + Send + 'static) {
        self.shared.once_written(told);
    }

    /// Have what `retention` does not keep forgotten, step by step, while nothing is to be written.
    pub fn forget(&self, retention: Retention) {
        let mut queue = self.shared.queue();
        (queue.retention, queue.forgets) = (Some(retention), true);
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// A way for the readers of targets to the store.
    pub fn planner(&self) -> Planner {
        Planner::new(Arc::clone(&self.shared))
    }

    /// Records that are not on disk yet.
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Ordering::Relaxed)
    }

    pub fn health(&self) -> Health {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Write everything and end the thread. Gives up after `patience`, also when the disk hangs.
    pub fn close(mut self, patience: Duration) -> Result<(), Unwritten> {
        let close_by = Instant::now() + patience;
        let mut queue = self.shared.queue();
        queue.close_by = Some(close_by);
        self.shared.changed.notify_all();
        while !queue.ended && Instant::now() < close_by {
            queue = self.shared.wait(queue, close_by);
        }
        let ended = queue.ended;
        drop(queue);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            // A panic there has been reported by its hook; what it left unwritten counts below.
            let _panicked = thread.join();
        }
        match self.backlog() {
            0 => Ok(()),
            records => Err(Unwritten { records, reason: self.why_unwritten() }),
        }
    }

    fn why_unwritten(&self) -> String {
        match self.health() {
            Health::Good => "the disk did not answer in time".to_owned(),
            Health::Degraded { reason, .. } | Health::Failed { reason } => reason,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.close_by.get_or_insert_with(Instant::now);
        drop(queue);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
