//! Sets of partials, as ranges: what has succeeded of a million is a handful of them.

use std::ops::Range;

/// Ascending, disjoint ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<Range<u32>>);

impl Indexes {
    pub fn insert(&mut self, index: u32) {
        let at = self.0.partition_point(|range| range.end < index);
        match self.0.get_mut(at) {
            Some(range) if range.contains(&index) => {}
            Some(range) if range.end == index => {
                range.end += 1;
                self.join_next(at);
            }
            Some(range) if range.start == index + 1 => range.start = index,
            _ => self.0.insert(at, index..index + 1),
        }
    }

    fn join_next(&mut self, at: usize) {
        if let Some(next) = self.0.get(at + 1).cloned()
            && next.start == self.0[at].end
        {
            self.0[at].end = next.end;
            self.0.remove(at + 1);
        }
    }

    pub fn contains(&self, index: u32) -> bool {
        let at = self.0.partition_point(|range| range.end <= index);
        self.0.get(at).is_some_and(|range| range.contains(&index))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Ascending, disjoint.
    pub fn into_ranges(self) -> Vec<Range<u32>> {
        self.0
    }

    /// What is missing of `within`, ascending.
    pub fn gaps(&self, within: Range<u32>) -> Vec<Range<u32>> {
        let mut gaps = Vec::new();
        let mut from = within.start;
        for range in self.0.iter().filter(|range| range.end > within.start) {
            if range.start >= within.end {
                break;
            }
            if from < range.start {
                gaps.push(from..range.start);
            }
            from = from.max(range.end);
        }
        if from < within.end {
            gaps.push(from..within.end);
        }
        gaps
    }
}

impl Extend<u32> for Indexes {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, indexes: I) {
        indexes.into_iter().for_each(|index| self.insert(index));
    }
}

impl FromIterator<u32> for Indexes {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        let mut set = Self::default();
        set.extend(indexes);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts in this order; shows the ranges, and what is missing of 0..10.
    fn check(indexes: &[u32], ranges: &str, missing: &str) {
        let set: Indexes = indexes.iter().copied().collect();
        let text = |ranges: &[Range<u32>]| ranges.iter().map(|range| format!("{range:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!((text(&set.0).as_str(), text(&set.gaps(0..10)).as_str()), (ranges, missing), "{indexes:?}");
        let expected: std::collections::BTreeSet<u32> = indexes.iter().copied().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
        assert_eq!(set.count() as usize, expected.len());
        assert!((0..20).all(|index| set.contains(index) == expected.contains(&index)), "{indexes:?}");
    }

    #[test]
    fn ranges_are_joined() {
        check(&[], "", "0..10");
        check(&[3], "3..4", "0..3 4..10");
        check(&[0, 1, 2], "0..3", "3..10");
        check(&[2, 0, 1], "0..3", "3..10");
        check(&[5, 7, 6, 5], "5..8", "0..5 8..10");
        check(&[9, 0, 4], "0..1 4..5 9..10", "1..4 5..9");
        check(&[12, 11], "11..13", "0..10");
        check(&[8, 9, 10], "8..11", "0..8");
    }

    #[test]
    fn gaps_of_a_part() {
        let set: Indexes = [2, 3, 7].into_iter().collect();
        assert_eq!(set.gaps(3..9), [4..7, 8..9]);
        assert_eq!(set.gaps(0..2), std::iter::once(0..2).collect::<Vec<_>>());
        assert_eq!(set.gaps(2..4), []);
    }
}
