//! Which keys a first reading has seen, in eight bytes each: a fingerprint that comes twice is a suspicion, no more.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The fingerprints of so many keys are held, in 19 MiB: each of the tables holds seven eighths of 2^17, and some hundreds more than its
/// share are as unlikely as a broken disk.
pub(super) const MOST_FINGERPRINTS: usize = 1_800_000;

/// Tables of a power of two grow at about the same time, but one after the other: only one of them is there twice.
const TABLES: usize = 16;

/// Which of its bits tell the table: neither the lowest nor the highest, by which a table finds its place for it.
const TABLE_SHIFT: u32 = 40;

/// The fingerprints of some keys. The hasher has a secret of its own in each process, so that nobody can make lists that collide.
pub(super) struct Fingerprints<S> {
    hasher: S,
    tables: [HashTable<u64>; TABLES],
    count: usize,
    most: usize,
}

impl<S> fmt::Debug for Fingerprints<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<S: BuildHasher> Fingerprints<S> {
    pub(super) fn new(hasher: S, most: usize) -> Self {
        Self { hasher, tables: Default::default(), count: 0, most }
    }

    /// Whether the fingerprints of so many more may be held.
    pub(super) fn have_room(&self, more: usize) -> bool {
        self.count.saturating_add(more) <= self.most
    }

    /// Inserts those of the keys; the positions of those that were there, of which the others have certainly not been inserted before.
    pub(super) fn insert<'k>(&mut self, keys: impl Iterator<Item = &'k str>) -> Vec<usize> {
        // Apart from each other, so that the processor waits for the memory of many tables at once.
        let fingerprints: Vec<u64> = keys.map(|key| self.hasher.hash_one(key)).collect();
        let mut suspects = Vec::new();
        for (position, fingerprint) in fingerprints.into_iter().enumerate() {
            let table = &mut self.tables[(fingerprint >> TABLE_SHIFT) as usize % TABLES];
            match table.entry(fingerprint, |found| *found == fingerprint, |found| *found) {
                Entry::Occupied(_) => suspects.push(position),
                Entry::Vacant(entry) => {
                    entry.insert(fingerprint);
                    self.count += 1;
                }
            }
        }
        suspects
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn as_many_as_are_held_take_no_more_than_is_said() {
        let mut fingerprints = Fingerprints::new(RandomState::new(), MOST_FINGERPRINTS);
        let mut number = 0;
        while fingerprints.have_room(1_000) {
            let keys: Vec<String> = (number..number + 1_000).map(|number| number.to_string()).collect();
            assert!(fingerprints.insert(keys.iter().map(String::as_str)).is_empty());
            number += 1_000;
        }
        let bytes: usize = fingerprints.tables.iter().map(HashTable::allocation_size).sum();
        assert_eq!((number, bytes >> 20), (MOST_FINGERPRINTS, 18));
    }
}
