//! Finds what is kept under a key: eight bytes for each, whatever the keys are.
//!
//! A table with a bounded search, and beside it a sorted map for what did not fit: keys that
//! were chosen to fall on one place make it slower by a logarithm, and nothing is left to chance.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};

/// Cells that are looked at before the map is.
const MOST_STEPS: usize = 24;
/// Cells at the beginning.
const FEWEST: usize = 64;

/// From keys to numbers. The keys themselves are kept elsewhere, under these numbers.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The number above 0 in the lower half, in the upper one the hash: its first bits say where
    /// the search begins. 0 is empty.
    cells: Vec<u64>,
    filled: usize,
    rest: BTreeMap<Vec<u8>, u32>,
}

/// The hash of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hash(u32);

impl Hash {
    pub(super) fn of(key: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        Self((hasher.finish() >> 32) as u32)
    }
}

impl Index {
    /// The number of a key; `is_key` says whether a number is that of the key.
    pub(super) fn find(
        &self,
        hash: Hash,
        key: &[u8],
        mut is_key: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        for cell in self.steps(hash) {
            match self.cells[cell] {
                0 => break,
                cell if (cell >> 32) as u32 == hash.0 && is_key(cell as u32 - 1) => {
                    return Some(cell as u32 - 1);
                }
                _ => {}
            }
        }
        if self.rest.is_empty() { None } else { self.rest.get(key).copied() }
    }

    /// Bytes of memory that are held.
    pub(super) fn held(&self) -> usize {
        let beside = |key: &Vec<u8>| key.capacity() + size_of::<(Vec<u8>, u32)>();
        self.cells.capacity() * size_of::<u64>() + self.rest.keys().map(beside).sum::<usize>()
    }

    /// Adds a key that is not there. `key_of` tells the keys of those that are.
    pub(super) fn insert(
        &mut self,
        hash: Hash,
        key: &[u8],
        number: u32,
        key_of: impl Fn(u32) -> Vec<u8>,
    ) {
        if (self.filled + 1) * 4 > self.cells.len() * 3 {
            self.grow(key_of);
        }
        if !self.put((u64::from(hash.0) << 32) | (u64::from(number) + 1)) {
            self.rest.insert(key.to_vec(), number);
        }
    }

    fn put(&mut self, cell: u64) -> bool {
        let free = self.steps(Hash((cell >> 32) as u32)).find(|at| self.cells[*at] == 0);
        let Some(at) = free else { return false };
        self.cells[at] = cell;
        self.filled += 1;
        true
    }

    /// The cells that a hash may be in.
    fn steps(&self, hash: Hash) -> impl Iterator<Item = usize> + use<> {
        let length = self.cells.len();
        let first = ((u64::from(hash.0) * length as u64) >> 32) as usize;
        (0..MOST_STEPS.min(length)).map(move |step| (first + step) & (length - 1))
    }

    /// Twice the cells.
    fn grow(&mut self, key_of: impl Fn(u32) -> Vec<u8>) {
        let length = (self.cells.len() * 2).max(FEWEST);
        let old = std::mem::replace(&mut self.cells, vec![0; length]);
        self.filled = 0;
        for cell in old.into_iter().filter(|cell| *cell != 0) {
            if !self.put(cell) {
                let number = cell as u32 - 1;
                self.rest.insert(key_of(number), number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All keys are found under their numbers and no others are, whatever the hashes.
    fn holds(count: u32, hash_of: impl Fn(&[u8]) -> Hash) -> usize {
        let key_of = |number: u32| number.wrapping_mul(0x9e37_79b1).to_be_bytes().to_vec();
        let mut index = Index::default();
        for number in 0..count {
            let key = key_of(number);
            assert_eq!(index.find(hash_of(&key), &key, |found| key_of(found) == key), None);
            index.insert(hash_of(&key), &key, number, key_of);
        }
        for number in 0..count {
            let key = key_of(number);
            let found = index.find(hash_of(&key), &key, |found| key_of(found) == key);
            assert_eq!(found, Some(number));
        }
        index.rest.len()
    }

    #[test]
    fn keys_are_found_while_it_grows() {
        let beside = holds(20_000, Hash::of);
        assert!(beside < 200, "{beside} of 20,000 keys did not fit");
    }

    #[test]
    fn keys_with_one_hash_are_found_as_well() {
        let beside = holds(2_000, |_| Hash(7));
        assert_eq!(beside, 2_000 - MOST_STEPS);
    }

    #[test]
    fn keys_at_the_end_go_on_at_the_beginning() {
        holds(3_000, |key| Hash(u32::MAX - u32::from(key[0] & 1)));
    }
}
