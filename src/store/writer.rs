//! The writer thread: takes what the loop records, commits it in groups and tells when something is on disk.
//!
//! The loop never waits for the disk. When the disk is full or fails, the batch is kept and tried again until it works, and the
//! health says so; the loop is expected to hold new fires while [`Writer::backlog`] is large.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Epoch, Retention, Store};
use crate::engine::{Record, Then};

/// This many waiting records are committed without waiting for more.
const FULL_GROUP: usize = 100;

/// One transaction takes at most this many records.
const MAX_GROUP: usize = 1000;

/// A record waits at most this long for company.
const GROUP_TIME: Duration = Duration::from_millis(50);

/// The wait after a first failure; doubled after each further one, up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

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
        let mut side = WriterSide { shared: shared.clone(), store, epoch, notify, on_health };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            // Ended is ended, also by a panic of a callback: `close` must not wait for ever.
            let _ended = Ended(side.shared.clone());
            side.write_all();
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Put a record behind all others. Never waits. After [`Health::Failed`] it is dropped.
    pub fn record(&self, record: Record) {
        let mut queue = self.shared.queue();
        if queue.ended {
            return;
        }
        queue.messages.push_back(Message::Record(record));
        self.shared.backlog.fetch_add(1, Ordering::Relaxed);
        let waiting = queue.messages.len();
        drop(queue);
        if waiting == 1 || waiting == FULL_GROUP {
            self.shared.changed.notify_all();
        }
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
        let mut queue = self.shared.queue();
        if !queue.ended {
            queue.messages.push_back(Message::OnceWritten(Told(Box::new(told))));
        }
    }

    /// Have what `retention` does not keep forgotten, step by step, while nothing is to be written.
    pub fn forget(&self, retention: Retention) {
        self.shared.queue().retention = Some(retention);
        self.shared.changed.notify_all();
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

#[derive(Debug)]
enum Message {
    Record(Record),
    WhenDurable(Then),
    OnceWritten(Told),
}

/// What is to be told once it is true.
struct Told(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// Between the loop and the thread. The locks are held for a few instructions only, never during a write.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    backlog: AtomicUsize,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// How many of the messages are waited for.
    awaited: usize,
    /// What is to be forgotten, until it is.
    retention: Option<Retention>,
    /// Set by `close`: write what there is, until then.
    close_by: Option<Instant>,
    ended: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until something changed or the time has come; may also return early.
    fn wait<'q>(&self, queue: MutexGuard<'q, Queue>, until: Instant) -> MutexGuard<'q, Queue> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.ended = true;
        queue.messages = VecDeque::new();
        drop(queue);
        self.0.changed.notify_all();
    }
}

/// One transaction, and who waits for it.
#[derive(Debug, Default)]
struct Group {
    records: Vec<Record>,
    thens: Vec<Then>,
    told: Vec<Told>,
}

/// What the thread does next.
enum Task {
    Write(Group),
    Forget(Retention),
}

/// What the thread owns.
struct WriterSide<N, H> {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    epoch: Epoch,
    notify: N,
    on_health: H,
}

impl<N: FnMut(Then), H: FnMut(&Health)> WriterSide<N, H> {
    fn write_all(&mut self) {
        loop {
            let group = match self.next_task() {
                Some(Task::Write(group)) => group,
                Some(Task::Forget(retention)) => {
                    self.forget(&retention);
                    continue;
                }
                None => return,
            };
            if !group.records.is_empty() && !self.commit(&group.records) {
                return;
            }
            self.shared.backlog.fetch_sub(group.records.len(), Ordering::Relaxed);
            group.thens.into_iter().for_each(&mut self.notify);
            group.told.into_iter().for_each(|Told(tell)| tell());
        }
    }

    /// One step. What fails is left for the next time: records are written all the same, and they tell of a bad disk.
    fn forget(&mut self, retention: &Retention) {
        let more = self.store.forget(self.epoch, retention).unwrap_or(false);
        let mut queue = self.shared.queue();
        if !more && queue.retention == Some(*retention) {
            queue.retention = None;
        }
    }

    /// Wait for records, then a little for more. `None`: closed, and all is written.
    fn next_task(&self) -> Option<Task> {
        let mut queue = self.shared.queue();
        while queue.messages.is_empty() {
            if queue.close_by.is_some() {
                return None;
            }
            if let Some(retention) = queue.retention {
                return Some(Task::Forget(retention));
            }
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let commit_at = Instant::now() + GROUP_TIME;
        loop {
            let hurry = queue.awaited > 0 || queue.messages.len() >= FULL_GROUP || queue.close_by.is_some();
            if hurry || Instant::now() >= commit_at {
                return Some(Task::Write(take_group(&mut queue)));
            }
            queue = self.shared.wait(queue, commit_at);
        }
    }

    /// Until it is on disk; `false`: it never will be.
    fn commit(&mut self, records: &[Record]) -> bool {
        let mut backoff = FIRST_BACKOFF;
        let mut since = None;
        loop {
            let Err(error) = self.store.append(self.epoch, records) else {
                self.set_health(&Health::Good);
                return true;
            };
            let reason = error.to_string();
            if !error.is_transient() {
                self.set_health(&Health::Failed { reason });
                return false;
            }
            self.set_health(&Health::Degraded { reason, since: *since.get_or_insert_with(Instant::now) });
            if !self.back_off(backoff) {
                return false;
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// `false`: `close` has no more patience.
    fn back_off(&self, backoff: Duration) -> bool {
        let retry_at = Instant::now() + backoff;
        let mut queue = self.shared.queue();
        loop {
            let now = Instant::now();
            if queue.close_by.is_some_and(|close_by| close_by <= now) {
                return false;
            }
            if retry_at <= now {
                return true;
            }
            let until = queue.close_by.map_or(retry_at, |close_by| close_by.min(retry_at));
            queue = self.shared.wait(queue, until);
        }
    }

    fn set_health(&mut self, health: &Health) {
        let mut current = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == *health {
            return;
        }
        current.clone_from(health);
        drop(current);
        (self.on_health)(health);
    }
}

/// An empty queue keeps room for so many messages.
const KEPT_CAPACITY: usize = 1_024;

/// The longest beginning of the queue that may be one transaction.
fn take_group(queue: &mut Queue) -> Group {
    let mut group = Group::default();
    while let Some(message) = queue.messages.front() {
        if group.records.len() >= MAX_GROUP && matches!(message, Message::Record(_)) {
            break;
        }
        match queue.messages.pop_front() {
            Some(Message::Record(record)) => group.records.push(record),
            Some(Message::WhenDurable(then)) => {
                queue.awaited -= 1;
                group.thens.push(then);
            }
            Some(Message::OnceWritten(told)) => group.told.push(told),
            None => break,
        }
    }
    // A burst, such as the first start of ten thousand jobs, does not hold its memory for ever.
    if queue.messages.is_empty() && queue.messages.capacity() > KEPT_CAPACITY {
        queue.messages.shrink_to(KEPT_CAPACITY);
    }
    group
}

#[cfg(test)]
mod tests;
