//! What lies between the loop and the thread: messages in order, taken in groups.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Health;
use super::side::FULL_GROUP;
use crate::engine::{Record, Then};
use crate::store::{PlanAnswer, PlanStep, Retention, StoreError};

/// One transaction takes records of so many facts, or those of the last record more.
pub(super) const MAX_GROUP: usize = 4_096;

/// An empty queue keeps room for so many messages.
const KEPT_CAPACITY: usize = 1_024;

#[derive(Debug)]
pub(super) enum Message {
    Record(Record),
    Plan(PlanStep, Reply),
    WhenDurable(Then),
    OnceWritten(Told),
}

/// Where the answer to a step of a plan goes.
pub(super) type Reply = SyncSender<Result<PlanAnswer, StoreError>>;

/// What is to be told once it is true.
pub(super) struct Told(pub(super) Box<dyn FnOnce() + Send>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// Between the loop and the thread. The locks are held for a few instructions only, never during a write.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) changed: Condvar,
    pub(super) backlog: AtomicUsize,
    pub(super) health: Mutex<Health>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) messages: VecDeque<Message>,
    /// How many facts the records among them tell.
    pub(super) facts: usize,
    /// How many of the messages are waited for.
    pub(super) awaited: usize,
    /// What is kept.
    pub(super) retention: Option<Retention>,
    /// The rest is being forgotten.
    pub(super) forgets: bool,
    /// Set by `close`: write what there is, until then.
    pub(super) close_by: Option<Instant>,
    pub(super) ended: bool,
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, record: Record) {
        let mut queue = self.queue();
        if queue.ended {
            return;
        }
        let (facts, before) = (record.facts(), queue.facts);
        queue.messages.push_back(Message::Record(record));
        queue.facts += facts;
        self.backlog.fetch_add(facts, Ordering::Relaxed);
        let wakes = queue.messages.len() == 1 || (before < FULL_GROUP && queue.facts >= FULL_GROUP);
        drop(queue);
        if wakes {
            self.changed.notify_all();
        }
    }

    pub(super) fn once_written(&self, told: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue();
        if !queue.ended {
            queue.messages.push_back(Message::OnceWritten(Told(Box::new(told))));
        }
    }

    /// Until something changed or the time has come; may also return early.
    pub(super) fn wait<'q>(&self, queue: MutexGuard<'q, Queue>, until: Instant) -> MutexGuard<'q, Queue> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// One transaction, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) records: Vec<Record>,
    pub(super) facts: usize,
    pub(super) thens: Vec<Then>,
    pub(super) told: Vec<Told>,
}

/// The step of a plan that comes first, if one does.
pub(super) fn take_step(queue: &mut Queue) -> Option<(PlanStep, Reply)> {
    queue.messages.front().filter(|message| matches!(message, Message::Plan(..)))?;
    let Some(Message::Plan(step, reply)) = queue.messages.pop_front() else { return None };
    queue.awaited -= 1;
    Some((step, reply))
}

/// The longest beginning of the queue that may be one transaction.
pub(super) fn take_group(queue: &mut Queue) -> Group {
    let mut group = Group::default();
    while let Some(message) = queue.messages.front() {
        let is_full = group.facts >= MAX_GROUP && matches!(message, Message::Record(_));
        if is_full || matches!(message, Message::Plan(..)) {
            break;
        }
        match queue.messages.pop_front() {
            Some(Message::Record(record)) => {
                group.facts += record.facts();
                group.records.push(record);
            }
            Some(Message::WhenDurable(then)) => {
                queue.awaited -= 1;
                group.thens.push(then);
            }
            Some(Message::OnceWritten(told)) => group.told.push(told),
            Some(Message::Plan(..)) | None => break,
        }
    }
    queue.facts -= group.facts;
    // A burst, such as the first start of ten thousand jobs, does not hold its memory for ever.
    if queue.messages.is_empty() && queue.messages.capacity() > KEPT_CAPACITY {
        queue.messages.shrink_to(KEPT_CAPACITY);
    }
    group
}
