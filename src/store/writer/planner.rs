//! The way of targets into the store.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;

use super::queue::{Message, Shared};
use crate::store::{PlanAnswer, PlanStep, StoreError};

/// Brings the targets of runs into the store, behind all that was recorded before. Not for the loop: it waits for the disk.
#[derive(Clone)]
pub struct Planner {
    shared: Arc<Shared>,
}

impl Planner {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Has the step done, and waits until it is on disk; `None`: the store has ended. What fails is not tried again: records
    /// must not wait behind it.
    pub fn take(&self, step: PlanStep) -> Option<Result<PlanAnswer, StoreError>> {
        self.hand_over(step)?.wait()
    }

    /// The same, and the answer is waited for later. Steps are done in their order.
    pub fn hand_over(&self, step: PlanStep) -> Option<PendingStep> {
        let (reply, answer) = mpsc::sync_channel(1);
        let mut queue = self.shared.queue();
        if queue.ended {
            return None;
        }
        queue.messages.push_back(Message::Plan(step, reply));
        queue.awaited += 1;
        drop(queue);
        self.shared.changed.notify_all();
        Some(PendingStep(answer))
    }
}

/// A step that the store has not answered yet.
#[derive(Debug)]
pub struct PendingStep(mpsc::Receiver<Result<PlanAnswer, StoreError>>);

impl PendingStep {
    /// Until it is on disk; `None`: the store has ended.
    pub fn wait(self) -> Option<Result<PlanAnswer, StoreError>> {
        self.0.recv().ok()
    }
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}
