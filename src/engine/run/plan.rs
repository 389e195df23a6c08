//! A run whose targets come from elsewhere: read when it begins, and loaded before they start.

use std::cmp::Reverse;
use std::ops::Range;

use super::Run;
use crate::config::{Interrupted, Targets};
use crate::engine::{Indexes, Part};

impl Run {
    /// Whether its targets are to be read before it starts: for the first time, or again because it goes on.
    pub(in crate::engine) fn wants_plan(&self) -> bool {
        self.info.targets.are_stored()
    }

    /// Whether its targets have been read before.
    pub(in crate::engine) fn is_planned(&self) -> bool {
        matches!(self.info.targets, Targets::Planned { .. })
    }

    /// The targets have been read for the first time: it has `count` partials.
    pub(in crate::engine) fn planned(&mut self, count: u32) {
        self.todo = (count > 0).then_some(0..count).into_iter().collect();
        self.canaries = self.count_canaries();
    }

    /// The targets have been read again: behind those `before`, new ones may have joined. Those of `unlisted` that have not
    /// succeeded end as cancelled, and are returned.
    pub(in crate::engine) fn replan(&mut self, before: u32, unlisted: &Indexes) -> Indexes {
        let (succeeded, dropped): (Vec<u32>, Vec<u32>) = unlisted.iter().partition(|index| self.recorded.contains(*index));
        let dropped = Indexes::from_iter(dropped);
        self.recorded = Indexes::default();
        self.todo = self.todo.iter().flat_map(|range| unlisted.gaps(range.clone())).collect();
        let partials = self.info.targets.partials();
        if before < partials {
            self.todo.push_back(before..partials);
        }
        self.retries.retain(|Reverse((_, index))| !unlisted.contains(*index));
        self.attempts.retain(|index, _| !unlisted.contains(*index));
        self.gate_is_at(self.count_canaries());
        self.dropped += dropped.count();
        self.counts.cancelled += dropped.count();
        if self.info.job.policies.on_interrupted == Interrupted::Rerun {
            // What is not listed any more does not run again, also where everything else does.
            self.counts.succeeded += u32::try_from(succeeded.len()).unwrap_or(u32::MAX);
        }
        dropped
    }

    /// What is to be loaded of the targets claimed from `from` up to `upto`.
    pub(in crate::engine) fn to_load(&self, from: u32, upto: u32) -> Vec<Range<u32>> {
        let clipped = |range: &Range<u32>| range.start.max(from)..range.end.min(upto);
        self.todo.iter().map(clipped).filter(|range| !range.is_empty()).collect()
    }

    /// A partial with its target, which it takes along.
    pub(super) fn part(&mut self, index: u32, attempt: u32) -> Part {
        let target = self.loaded.take(index).or_else(|| self.info.targets.get(index));
        Part { index, attempt, target }
    }

    /// Whether the target of the partial is at hand.
    pub(super) fn has_target(&self, index: u32) -> bool {
        !self.is_planned() || self.loaded.has(index)
    }
}
