//! Many rows: merged from sorted parts, and the roots over them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{FactClass, RatingError, Row};
use crate::tlog::{Frontier, leaf_hash};

/// Merges parts that are sorted each into one that is sorted.
///
/// Memory is one row for each part. An error of a part is handed on and ends the merge.
pub fn merge<I, E>(parts: Vec<I>) -> Merge<I>
where
    I: Iterator<Item = Result<Row, E>>,
{
    let waiting = (0..parts.len()).collect();
    Merge { parts, heap: BinaryHeap::new(), waiting, is_over: false }
}

/// See [`merge`].
pub struct Merge<I> {
    parts: Vec<I>,
    heap: BinaryHeap<Reverse<(Row, usize)>>,
    /// Parts of which the next row is not in the heap.
    waiting: Vec<usize>,
    is_over: bool,
}

impl<I, E> Iterator for Merge<I>
where
    I: Iterator<Item = Result<Row, E>>,
{
    type Item = Result<Row, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        while let Some(part) = self.waiting.pop() {
            match self.parts[part].next() {
                Some(Ok(row)) => self.heap.push(Reverse((row, part))),
                Some(Err(error)) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
                None => {}
            }
        }
        let Reverse((row, part)) = self.heap.pop()?;
        self.waiting.push(part);
        Some(Ok(row))
    }
}

/// Numbers and roots of the facts that lines are made of, from sorted rows.
#[derive(Debug, Default)]
pub struct Roots {
    rows: u64,
    last: Option<Row>,
    pub(super) groups: BTreeMap<u32, Frontier>,
    pub(super) usage: u64,
    pub(super) corrections: u64,
}

impl Roots {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next row.
    ///
    /// # Errors
    /// Where it belongs before the one before.
    pub fn push(&mut self, row: Row) -> Result<(), RatingError> {
        if self.last.as_ref().is_some_and(|last| *last > row) {
            return Err(RatingError::Rows { row: self.rows });
        }
        self.rows += 1;
        match row.class() {
            FactClass::Usage => self.usage += 1,
            FactClass::Correction => self.corrections += 1,
        }
        if let Some(group) = row.group() {
            self.groups.entry(group).or_default().push(leaf_hash(&row.id().0));
        }
        self.last = Some(row);
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}
