//! The way in: one thread that commits records in groups, in order, and says when they are on disk.
//!
//! A batch that cannot be written (full disk, I/O error, read-only or locked file) is kept and tried again: nothing after it is
//! written first, nobody is told that it is durable, and [`Health`] says so. What can never succeed ends the daemon instead.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, atomic};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Epoch, Store, StoreError};
use crate::engine::{Record, Then};

/// Records nobody waits for are committed at the latest after this.
const LINGER: Duration = Duration::from_millis(50);

/// So many records make one transaction at most.
const MAX_BATCH: usize = 1_000;

/// The waits between tries of a batch that could not be written.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Whether records reach the disk.
#[derive(Debug)]
pub enum Health {
    Healthy,
    /// They wait for the disk; tries go on.
    Degraded {
        reason: String,
    },
    /// They never will: the thread has ended.
    Failed(StoreError),
}

/// What goes to the thread.
enum Message {
    Record(Record),
    Then(Then),
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Writer {
    queue: std::sync::mpsc::Sender<Message>,
    backlog: Arc<atomic::AtomicUsize>,
    closing: Arc<atomic::AtomicBool>,
    closed: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `notify` is called for each [`Then`] once everything before it is on disk, `report` when the health
    /// changes.
    pub fn spawn(
        store: Box<dyn Store>,
        epoch: Epoch,
        notify: impl FnMut(Then) + Send + 'static,
        report: impl FnMut(Health) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, messages) = channel();
        let (done, closed) = sync_channel(1);
        let backlog = Arc::new(atomic::AtomicUsize::new(0));
        let closing = Arc::new(atomic::AtomicBool::new(false));
        let work = Work {
            store,
            epoch,
            messages,
            notify: Box::new(notify),
            report: Box::new(report),
            backlog: Arc::clone(&backlog),
            closing: Arc::clone(&closing),
            degraded: false,
            _done: done,
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || work.run())?;
        Ok(Self { queue, backlog, closing, closed, thread: Some(thread) })
    }

    /// Appends a record. Never blocks.
    pub fn record(&self, record: Record) {
        self.send(Message::Record(record));
    }

    /// Commits without delay what was appended so far, and says so.
    pub fn when_durable(&self, then: Then) {
        self.send(Message::Then(then));
    }

    /// Records that are not on disk yet.
    pub fn backlog(&self) -> usize {
        self.backlog.load(atomic::Ordering::Relaxed)
    }

    /// Writes what is left and ends the thread; gives up after `deadline`, and says whether everything is on disk.
    pub fn close(mut self, deadline: Duration) -> bool {
        self.closing.store(true, atomic::Ordering::Relaxed);
        let Self { queue, .. } = &mut self;
        // The thread ends when the last sender is gone.
        *queue = channel().0;
        if self.closed.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        !panicked && self.backlog() == 0
    }

    fn send(&self, message: Message) {
        if matches!(message, Message::Record(_)) {
            self.backlog.fetch_add(1, atomic::Ordering::Relaxed);
        }
        // The thread is gone only after it has reported that it failed.
        let _ = self.queue.send(message);
    }
}

/// The thread's side.
struct Work {
    store: Box<dyn Store>,
    epoch: Epoch,
    messages: Receiver<Message>,
    notify: Box<dyn FnMut(Then) + Send>,
    report: Box<dyn FnMut(Health) + Send>,
    backlog: Arc<atomic::AtomicUsize>,
    closing: Arc<atomic::AtomicBool>,
    degraded: bool,
    /// Dropped with the thread, which tells `close`.
    _done: SyncSender<()>,
}

impl Work {
    fn run(mut self) {
        let mut batch: Vec<Record> = Vec::new();
        let mut thens: Vec<Then> = Vec::new();
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Record(record) => batch.push(record),
                    Message::Then(then) => thens.push(then),
                }
                next = if batch.len() < MAX_BATCH { self.gather(!thens.is_empty()) } else { None };
            }
            if !self.commit(&batch) {
                return;
            }
            self.backlog.fetch_sub(batch.len(), atomic::Ordering::Relaxed);
            batch.clear();
            thens.drain(..).for_each(&mut self.notify);
        }
    }

    /// The next message of the batch: what is there already, or, when nobody waits, what comes soon.
    fn gather(&self, urgent: bool) -> Option<Message> {
        match self.messages.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) if !urgent => self.messages.recv_timeout(LINGER).ok(),
            Err(_) => None,
        }
    }

    /// Writes the batch, however often it takes. False: it can never be written, or the daemon leaves and cannot wait.
    fn commit(&mut self, batch: &[Record]) -> bool {
        let mut wait = FIRST_RETRY;
        loop {
            let error = match if batch.is_empty() { Ok(()) } else { self.store.append(self.epoch, batch) } {
                Ok(()) => {
                    if std::mem::take(&mut self.degraded) {
                        (self.report)(Health::Healthy);
                    }
                    return true;
                }
                Err(error) => error,
            };
            if !error.is_temporary() {
                (self.report)(Health::Failed(error));
                return false;
            }
            if !std::mem::replace(&mut self.degraded, true) {
                (self.report)(Health::Degraded { reason: error.to_string() });
            }
            if self.closing.load(atomic::Ordering::Relaxed) && wait == LAST_RETRY {
                return false;
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(LAST_RETRY);
        }
    }
}
