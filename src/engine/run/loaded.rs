//! Targets that have come from the store and have not started: most in the order in which they start.

use std::collections::VecDeque;

use crate::config::{Target, TargetValue};

/// A longer key, or a table, may take so much memory that few are claimed at once.
const SHORT_KEY: usize = 64;

/// Ascending by index.
#[derive(Debug, Default)]
pub(in crate::engine) struct Loaded {
    targets: VecDeque<(u32, Target)>,
    has_large: bool,
}

impl Loaded {
    pub(in crate::engine) fn add(&mut self, targets: Vec<(u32, Target)>) {
        let is_large = |target: &Target| target.key.len() > SHORT_KEY || matches!(target.value, TargetValue::Table(_));
        self.has_large |= targets.iter().any(|(_, target)| is_large(target));
        let was_behind = match (self.targets.back(), targets.first()) {
            (Some((last, _)), Some((first, _))) => first < last,
            _ => false,
        };
        self.targets.extend(targets);
        if was_behind {
            self.targets.make_contiguous().sort_by_key(|(index, _)| *index);
        }
    }

    pub(in crate::engine) fn has(&self, index: u32) -> bool {
        self.place(index).is_some()
    }

    pub(in crate::engine) fn take(&mut self, index: u32) -> Option<Target> {
        let place = self.place(index)?;
        self.targets.remove(place).map(|(_, target)| target)
    }

    /// Whether all that have come so far are short texts.
    pub(in crate::engine) fn are_small(&self) -> bool {
        !self.has_large
    }

    pub(in crate::engine) fn clear(&mut self) {
        self.targets.clear();
    }

    fn place(&self, index: u32) -> Option<usize> {
        match self.targets.front() {
            Some((first, _)) if *first == index => Some(0),
            _ => self.targets.binary_search_by_key(&index, |(index, _)| *index).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(indexes: impl IntoIterator<Item = u32>) -> Vec<(u32, Target)> {
        indexes.into_iter().map(|index| (index, Target::text(&index.to_string()))).collect()
    }

    #[test]
    fn each_is_found_and_taken_once() {
        let mut loaded = Loaded::default();
        loaded.add(targets(10..20));
        loaded.add(targets(20..25));
        // Further attempts come between the first ones.
        loaded.add(targets([3, 7, 30]));
        for index in [10, 3, 24, 11, 30, 7] {
            assert!(loaded.has(index), "{index}");
            assert_eq!(loaded.take(index), Some(Target::text(&index.to_string())));
            assert!(!loaded.has(index) && loaded.take(index).is_none(), "{index}");
        }
        assert!(!loaded.has(9) && loaded.has(12) && loaded.has(23));
        loaded.clear();
        assert!(!loaded.has(12));
    }

    #[test]
    fn a_table_or_a_long_key_is_large() {
        let table = Target { key: "a".into(), value: TargetValue::Table(std::sync::Arc::default()) };
        for (target, small) in [(Target::text("a"), true), (Target::text(&"a".repeat(65)), false), (table, false)] {
            let mut loaded = Loaded::default();
            loaded.add(vec![(0, target)]);
            assert_eq!(loaded.are_small(), small);
        }
    }
}
