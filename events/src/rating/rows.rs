//! Rows of `usage.csv`: one, many that are sorted, merged from sorted parts, and the roots over
//! them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{FactClass, RatingError, ToldFact};
use crate::digest::Sha256Digest;
use crate::tlog::{Frontier, leaf_hash};

/// A row with what it is sorted by in front, as bytes that sort as rows do. Rows can be kept in
/// files, sorted in parts and merged ([`merge`]) without being understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(Vec<u8>);

/// The same, lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowRef<'a>(&'a [u8]);

const CLASS_AT: usize = 32;
const CSV_AT: usize = 41;
const NO_GROUP: u32 = u32::MAX;

fn write(fact: ToldFact<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&fact.id.0);
    out.push(fact.class as u8);
    out.extend_from_slice(&fact.start.cast_unsigned().wrapping_add(1 << 63).to_be_bytes());
    fact.row(out);
    out.extend_from_slice(&fact.group.unwrap_or(NO_GROUP).to_be_bytes());
}

impl Row {
    /// The row of a fact.
    pub fn of(fact: ToldFact<'_>) -> Self {
        let mut bytes = Vec::with_capacity(384);
        write(fact, &mut bytes);
        Self(bytes)
    }

    /// A row from the bytes of [`Row::as_bytes`]. None if they are too few to be one.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() > CSV_AT + 4).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, lent.
    pub fn lent(&self) -> RowRef<'_> {
        RowRef(&self.0)
    }

    /// The line of `usage.csv`, with its end.
    pub fn csv(&self) -> &[u8] {
        self.lent().csv()
    }
}

impl<'a> RowRef<'a> {
    /// A row from the bytes of [`RowRef::as_bytes`]. None if they are too few to be one.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() > CSV_AT + 4).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The same, to be kept.
    pub fn to_row(self) -> Row {
        Row(self.0.to_vec())
    }

    /// The line of `usage.csv`, with its end.
    pub fn csv(self) -> &'a [u8] {
        &self.0[CSV_AT..self.0.len() - 4]
    }

    /// The fact's id.
    pub fn id(self) -> Sha256Digest {
        let mut id = [0; 32];
        id.copy_from_slice(&self.0[..CLASS_AT]);
        Sha256Digest(id)
    }

    /// Usage or correction.
    pub fn class(self) -> FactClass {
        match self.0[CLASS_AT] {
            0 => FactClass::Usage,
            _ => FactClass::Correction,
        }
    }

    /// Its number among the groups of facts that lines are made of; none: it is not billed.
    pub fn group(self) -> Option<u32> {
        let group = self.0.last_chunk().map_or(NO_GROUP, |group| u32::from_be_bytes(*group));
        Some(group).filter(|group| *group != NO_GROUP)
    }
}

/// Bytes of a piece of memory for rows, where none is longer.
const PIECE: usize = 1 << 20;

/// Many rows, one behind the other in large pieces of memory, which never move.
#[derive(Debug, Default)]
pub struct Rows {
    pieces: Vec<Vec<u8>>,
    places: Vec<Place>,
    scratch: Vec<u8>,
}

/// Where a row is, with the first bytes of its id: few rows have the same.
#[derive(Debug, Clone, Copy)]
struct Place {
    first: u64,
    piece: u32,
    start: u32,
}

/// Bytes of the length that stands before a row.
const LENGTH: usize = size_of::<u32>();

impl Place {
    fn row(self, pieces: &[Vec<u8>]) -> RowRef<'_> {
        let bytes = &pieces[self.piece as usize][self.start as usize..];
        let length = bytes.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length));
        RowRef(&bytes[LENGTH..LENGTH + length as usize])
    }
}

impl Rows {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn push(&mut self, fact: ToldFact<'_>) {
        self.scratch.clear();
        write(fact, &mut self.scratch);
        let bytes = LENGTH + self.scratch.len();
        if self.pieces.last().is_none_or(|piece| piece.capacity() - piece.len() < bytes) {
            self.pieces.push(Vec::with_capacity(PIECE.max(bytes)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let start = piece.len();
        // Names are of leaves, which are short.
        piece.extend_from_slice(&(self.scratch.len() as u32).to_ne_bytes());
        piece.extend_from_slice(&self.scratch);
        let first = fact.id.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        self.places.push(Place { first, piece: number as u32, start: start as u32 });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        let last = self.pieces.last().map_or(0, Vec::len);
        full + last + self.places.len() * size_of::<Place>()
    }

    /// Puts them in their order.
    pub fn sort(&mut self) {
        let Self { pieces, places, .. } = self;
        places.sort_unstable_by(|a, b| {
            a.first.cmp(&b.first).then_with(|| a.row(pieces).cmp(&b.row(pieces)))
        });
    }

    /// The row at a place.
    pub fn get(&self, at: usize) -> Option<RowRef<'_>> {
        self.places.get(at).map(|place| place.row(&self.pieces))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        self.places.iter().map(|place| place.row(&self.pieces))
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.places.clear();
    }
}

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
    last: Vec<u8>,
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
    pub fn push(&mut self, row: RowRef<'_>) -> Result<(), RatingError> {
        if self.last.as_slice() > row.as_bytes() {
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
        self.last.clear();
        self.last.extend_from_slice(row.as_bytes());
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}
