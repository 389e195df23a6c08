//! Which keys a first reading has seen, in five bytes each: a fingerprint that comes twice is a suspicion, no more.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The fingerprints of so many keys are held, in 14 MiB; those of a million take half of that.
pub(super) const MOST_FINGERPRINTS: usize = 2_000_000;

/// So many tables that a million keys, and two, fill them to a little less than the seven eighths at which they double. They do so one
/// after the other: only one of them is there twice.
const TABLES: usize = 18;

/// What a table keeps of a fingerprint. Which table it is tells some bits more: of a million keys, one in forty lists has a pair that is
/// suspected and differs, which costs a look at the list.
type Kept = [u8; 5];

/// The fingerprints of some keys. The hasher has a secret of its own in each process, so that nobody can make lists that collide.
pub(super) struct Fingerprints<S> {
    hasher: S,
    tables: [HashTable<Kept>; TABLES],
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
            let (table, kept) = split(fingerprint);
            match self.tables[table].entry(place(kept), |found| *found == kept, |found| place(*found)) {
                Entry::Occupied(_) => suspects.push(position),
                Entry::Vacant(entry) => {
                    entry.insert(kept);
                    self.count += 1;
                }
            }
        }
        suspects
    }
}

/// The table of a fingerprint, and what it keeps of it.
#[inline]
fn split(fingerprint: u64) -> (usize, Kept) {
    let bytes = fingerprint.to_le_bytes();
    ((fingerprint >> 40) as usize % TABLES, [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
}

/// Where a table keeps it: the lowest bits, and the highest, differ from one to the other.
#[inline]
fn place(kept: Kept) -> u64 {
    /// Odd, with its ones well spread: 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    u64::from_le_bytes([kept[0], kept[1], kept[2], kept[3], kept[4], 0, 0, 0]).wrapping_mul(SPREAD)
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn as_many_as_are_held_take_no_more_than_is_said() {
        let mut fingerprints = Fingerprints::new(RandomState::new(), MOST_FINGERPRINTS);
        let mut number = 0;
        let (mut suspects, mut at_a_million) = (0, 0);
        let bytes = |fingerprints: &Fingerprints<_>| fingerprints.tables.iter().map(HashTable::allocation_size).sum::<usize>();
        while number < MOST_FINGERPRINTS {
            assert!(fingerprints.have_room(1_000), "{number}");
            let keys: Vec<String> = (number..number + 1_000).map(|number| number.to_string()).collect();
            suspects += fingerprints.insert(keys.iter().map(String::as_str)).len();
            number += 1_000;
            if number == 1_000_000 {
                at_a_million = bytes(&fingerprints);
            }
        }
        assert_eq!((number, at_a_million >> 20, bytes(&fingerprints) >> 20), (MOST_FINGERPRINTS, 6, 13));
        assert!(suspects < 5, "{suspects} of two million");
    }
}
