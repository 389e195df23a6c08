//! Partials of handlers of the embedding program that may take less than a microsecond: a task of its own for each would cost
//! more than the work.
//!
//! They wait in one queue, from which a few workers take one after the other and poll it once, in their own task. Most have ended
//! then. One that has not gets a task, and from then on is as any other attempt; one that blocks its thread keeps only itself
//! and its worker from going on.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Shared, Slot, perform, report};
use crate::engine::Stop;
use crate::handler::{Attempt, StopLine};

/// A worker takes so many before it lets others have its thread.
const TURN: u32 = 64;

/// Behind so many that wait, one more worker helps.
const CROWD: usize = 64;

/// More workers than this help nobody: they would wait for threads.
const MAX_WORKERS: usize = 8;

#[derive(Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    workers: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Slot, Attempt)>,
    /// Stops that came before the attempt was seen to go on.
    stops: HashMap<Slot, Stop>,
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a stop for an attempt that may wait here.
    pub(super) fn stop(&self, slot: Slot, stop: Stop) {
        if self.workers.load(Ordering::Acquire) > 0 {
            self.queue().stops.insert(slot, stop);
        }
    }
}

/// Has the attempt carried out by the next worker that is free.
pub(super) fn enter(shared: &Arc<Shared>, slot: Slot, attempt: Attempt) {
    let lane = &shared.lane;
    let mut queue = lane.queue();
    queue.waiting.push_back((slot, attempt));
    let crowded = queue.waiting.len() > CROWD;
    let workers = lane.workers.load(Ordering::Acquire);
    let wanted = workers == 0 || (crowded && workers < MAX_WORKERS);
    if wanted {
        // Under the lock, so that the last worker does not leave in between.
        lane.workers.fetch_add(1, Ordering::AcqRel);
    }
    drop(queue);
    if wanted {
        tokio::spawn(work(Arc::clone(shared)));
    }
}

async fn work(shared: Arc<Shared>) {
    loop {
        for _ in 0..TURN {
            let mut queue = shared.lane.queue();
            let Some((slot, attempt)) = queue.waiting.pop_front() else {
                if shared.lane.workers.fetch_sub(1, Ordering::AcqRel) == 1 {
                    queue.stops.clear();
                }
                return;
            };
            let stop = if queue.stops.is_empty() { None } else { queue.stops.remove(&slot) };
            drop(queue);
            try_at_once(&shared, slot, attempt, stop);
        }
        tokio::task::yield_now().await;
    }
}

/// Polls the attempt once, and gives it a task when it has not ended then.
fn try_at_once(shared: &Arc<Shared>, slot: Slot, attempt: Attempt, stop: Option<Stop>) {
    let stops = StopLine::default();
    if let Some(stop) = stop {
        stops.pull(stop);
    }
    let started = (shared.clock)();
    let (own, asked) = (Arc::clone(shared), stops.clone());
    let mut attempt = Box::pin(async move { perform(&own, &attempt, None, &asked).await });
    // Nothing wakes this: the task that may follow polls it again.
    match attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ended) => report(shared, slot, started, ended),
        Poll::Pending => {
            let late = {
                let mut live = shared.live();
                live.insert(slot, stops.clone());
                shared.lane.queue().stops.remove(&slot)
            };
            if let Some(stop) = late {
                stops.pull(stop);
            }
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                let ended = attempt.await;
                shared.live().remove(&slot);
                report(&shared, slot, started, ended);
            });
        }
    }
}
