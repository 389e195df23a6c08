//! What the thread does: it writes, and while nothing is to be written it forgets, and looks for room on a full disk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Health;
use super::queue::{Group, Reply, Shared, Told, take_group, take_step};
use crate::engine::{Record, Then};
use crate::store::{Epoch, PlanStep, Retention, Store};

/// This many waiting facts are committed without waiting for more.
pub(super) const FULL_GROUP: usize = 4_096;

/// A record waits at most this long for company.
const GROUP_TIME: Duration = Duration::from_millis(50);

/// The wait after a first failure; doubled after each further one, up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// While the disk is full, and nothing is to be written, whether there is room again is looked at so often.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(2);

/// What the thread does next.
enum Task {
    Write(Group),
    Plan(PlanStep, Reply),
    Forget(Retention),
    LookForRoom,
}

/// What the thread owns.
pub(super) struct WriterSide<N, H> {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Box<dyn Store>,
    pub(super) epoch: Epoch,
    pub(super) notify: N,
    pub(super) on_health: H,
    /// Since when it lives on the reserve.
    pub(super) short: Option<Instant>,
}

impl<N: FnMut(Then), H: FnMut(&Health)> WriterSide<N, H> {
    pub(super) fn write_all(&mut self) {
        self.look_for_room();
        loop {
            let group = match self.next_task() {
                Some(Task::Write(group)) => group,
                Some(Task::Plan(step, reply)) => {
                    // Whoever reads the targets may have given up.
                    let _ = reply.send(self.store.plan(self.epoch, &step));
                    continue;
                }
                Some(Task::Forget(retention)) => {
                    self.forget(&retention);
                    continue;
                }
                Some(Task::LookForRoom) => {
                    self.look_for_room();
                    continue;
                }
                None => return,
            };
            if !group.records.is_empty() && !self.commit(&group.records) {
                return;
            }
            self.shared.backlog.fetch_sub(group.facts, Ordering::Relaxed);
            group.thens.into_iter().for_each(&mut self.notify);
            group.told.into_iter().for_each(|Told(tell)| tell());
        }
    }

    /// One step. What fails is left for the next time: records are written all the same, and they tell of a bad disk.
    fn forget(&mut self, retention: &Retention) {
        let more = self.store.forget(self.epoch, retention).unwrap_or(false);
        let mut queue = self.shared.queue();
        if !more && queue.retention == Some(*retention) {
            queue.forgets = false;
        }
    }

    /// Has more forgotten when more has come than is kept.
    fn look_at_size(&self) {
        let mut queue = self.shared.queue();
        queue.forgets |= queue.retention.is_some_and(|retention| self.store.is_over(&retention));
    }

    /// Whether records are written as ever, or on the last space of the disk.
    fn look_for_room(&mut self) {
        match self.store.room() {
            Ok(()) => {
                self.short = None;
                self.set_health(&Health::Good);
            }
            Err(error) => {
                let since = *self.short.get_or_insert_with(Instant::now);
                self.set_health(&Health::Degraded { reason: error.to_string(), since });
            }
        }
    }

    /// Wait for records, then a little for more. `None`: closed, and all is written.
    fn next_task(&self) -> Option<Task> {
        let look_at = Instant::now() + LOOK_FOR_ROOM;
        let mut queue = self.shared.queue();
        while queue.messages.is_empty() {
            if queue.close_by.is_some() {
                return None;
            }
            if let Some(retention) = queue.retention.filter(|_| queue.forgets) {
                return Some(Task::Forget(retention));
            }
            if self.short.is_none() {
                queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else if Instant::now() < look_at {
                queue = self.shared.wait(queue, look_at);
            } else {
                return Some(Task::LookForRoom);
            }
        }
        let commit_at = Instant::now() + GROUP_TIME;
        loop {
            let hurry = queue.awaited > 0 || queue.facts >= FULL_GROUP || queue.close_by.is_some();
            if hurry || Instant::now() >= commit_at {
                let step = take_step(&mut queue).map(|(step, reply)| Task::Plan(step, reply));
                return Some(step.unwrap_or_else(|| Task::Write(take_group(&mut queue))));
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
                self.look_for_room();
                self.look_at_size();
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

/// Ended is ended, also by a panic of a callback: `close` must not wait for ever.
pub(super) struct Ended(pub(super) Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.ended = true;
        queue.messages = VecDeque::new();
        drop(queue);
        self.0.changed.notify_all();
    }
}
