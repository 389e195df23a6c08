//! Targets on their way into the store while a run's targets are read: step by step, each on disk before the next.

use std::sync::Arc;

use crate::config::Target;
use crate::engine::RunKey;
use crate::store::PackedTargets;

/// A step of reading the targets of a run.
#[derive(Debug)]
pub enum PlanStep {
    /// A reading begins. What an earlier one left unfinished goes, and what one has listed side by side is unpacked, a part at a time:
    /// asked again until it has begun.
    Begin { run: RunKey },
    /// These targets are listed, by a reading before which none are on record. They get the places from `next` on, side by side. Whoever
    /// asks has seen to it that no key comes twice.
    List { run: RunKey, next: u32, targets: PackedTargets },
    /// What this first reading has listed side by side gets a row each, which are asked for by key; a part at a time, as in `Begin`.
    Unpack { run: RunKey, listing: i64 },
    /// These targets are listed. Those that an earlier reading listed keep their place and get their present value; the others
    /// get the places from `next` on, or none unless the plan `grows`.
    Keep { run: RunKey, listing: i64, next: u32, grows: bool, targets: Vec<Target> },
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanAnswer {
    /// There is more to do before it: ask again.
    More,
    /// Every target has a row.
    Unpacked,
    /// The number of the reading, and how many targets earlier ones have put on record.
    Begun { listing: i64, recorded: u32 },
    /// The next free place.
    Kept { next: u32 },
    /// The target at `position` of the step was listed before, as that with the place `first`. Nothing of the step was kept.
    Duplicate { position: usize, key: Arc<str>, first: u32 },
}
