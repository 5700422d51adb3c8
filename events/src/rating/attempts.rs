//! All attempts of a ledger, each under its run and its own id, in the order in which they came.

use std::sync::Arc;

use super::attempt::{Live, Slot};
use super::index::{Hash, Index};
use super::records::Records;

/// Attempts that are kept together.
const BLOCK: usize = 1_024;
/// Bytes of an id that is written as a UUID is.
const UUID: usize = 16;
/// Places of its bytes in the text.
const PLACES: [usize; UUID] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/// Places of its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// What is known of all attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    index: Index,
    blocks: Vec<Block>,
    count: u32,
    pub records: Records,
    key: Vec<u8>,
}

#[derive(Debug, Default)]
struct Block {
    keys: Vec<u8>,
    /// Where each key ends.
    ends: Vec<u32>,
    slots: Vec<Slot>,
}

impl Block {
    fn key(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.keys[from..self.ends[at] as usize]
    }
}

impl Attempts {
    /// What is known of an attempt, and the records that it is made of.
    pub(super) fn slot(&mut self, run: &str, attempt: &str) -> (&mut Slot, &mut Records) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        write_id(&mut key, run);
        write_id(&mut key, attempt);
        let hash = Hash::of(&key);
        let found = self.index.find(hash, &key, |number| self.key_of(number) == key);
        let number = found.unwrap_or_else(|| self.add(hash, &key));
        self.key = key;
        let (block, at) = place(number);
        (&mut self.blocks[block].slots[at], &mut self.records)
    }

    fn add(&mut self, hash: Hash, key: &[u8]) -> u32 {
        let number = self.count;
        let blocks = &self.blocks;
        let key_of = |number| key_in(blocks, number).to_vec();
        self.index.insert(hash, key, number, key_of);
        if self.blocks.last().is_none_or(|block| block.slots.len() == BLOCK) {
            let ends = Vec::with_capacity(BLOCK);
            let slots = Vec::with_capacity(BLOCK);
            self.blocks.push(Block { keys: Vec::new(), ends, slots });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.keys.extend_from_slice(key);
            // A block has a thousand ids of leaves, which are shorter than 64 KiB each.
            block.ends.push(block.keys.len() as u32);
            block.slots.push(Slot::Live(Live::fresh()));
            if block.slots.len() == BLOCK {
                block.keys.shrink_to_fit();
            }
        }
        self.count += 1;
        number
    }

    fn key_of(&self, number: u32) -> &[u8] {
        key_in(&self.blocks, number)
    }

    /// The run and the attempt of a number.
    pub(super) fn name(&self, number: u32) -> (Arc<str>, Arc<str>) {
        let mut key = self.key_of(number);
        let run = read_id(&mut key);
        (run, read_id(&mut key))
    }

    /// All of them with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0..).zip(self.blocks.iter().flat_map(|block| &block.slots))
    }

    /// Bytes of memory that are held.
    pub(super) fn held(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| {
            let Block { keys, ends, slots } = block;
            let slots = slots.capacity() * size_of::<Slot>();
            keys.capacity() + ends.capacity() * size_of::<u32>() + slots + size_of::<Block>()
        });
        blocks.sum::<usize>() + self.index.held() + self.records.held()
    }

    /// All of them, to be changed.
    pub(super) fn each(&mut self, mut change: impl FnMut(&mut Slot, &mut Records)) {
        for slot in self.blocks.iter_mut().flat_map(|block| &mut block.slots) {
            change(slot, &mut self.records);
        }
    }
}

fn place(number: u32) -> (usize, usize) {
    (number as usize / BLOCK, number as usize % BLOCK)
}

fn key_in(blocks: &[Block], number: u32) -> &[u8] {
    let (block, at) = place(number);
    blocks[block].key(at)
}

/// An id as it is kept: a length of 0 stands before the bytes of a UUID, any other one with 1 on top
/// before the text.
fn write_id(out: &mut Vec<u8>, id: &str) {
    match uuid(id) {
        Some(bytes) => {
            out.push(0);
            out.extend_from_slice(&bytes);
        }
        None => {
            // Seven bits a byte, the lowest first.
            let mut rest = id.len() + 1;
            while rest > 0x7f {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
            out.extend_from_slice(id.as_bytes());
        }
    }
}

fn read_id(from: &mut &[u8]) -> Arc<str> {
    let (mut length, mut shift) = (0usize, 0);
    while let Some((byte, rest)) = from.split_first() {
        *from = rest;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let bytes = if length == 0 { UUID } else { length - 1 };
    let (id, rest) = from.split_at(bytes);
    *from = rest;
    match length {
        0 => uuid_text(id),
        // It was written from a text.
        _ => Arc::from(str::from_utf8(id).unwrap_or_default()),
    }
}

/// The bytes of a UUID in its one spelling: small digits, with hyphens.
fn uuid(text: &str) -> Option<[u8; UUID]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if HYPHENS.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut bytes = [0; UUID];
    for (byte, at) in bytes.iter_mut().zip(PLACES) {
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn uuid_text(bytes: &[u8]) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    for (byte, at) in bytes.iter().zip(PLACES) {
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
    }
    Arc::from(str::from_utf8(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_comes_back_as_it_was() {
        let long = "x".repeat(300);
        let longer = "é".repeat(20_000);
        let ids = [
            "",
            "0",
            "018f3b1e-7c2a-7def-8123-456789abcdef",
            "018F3B1E-7C2A-7DEF-8123-456789ABCDEF",
            "018f3b1e-7c2a-7def-8123-456789abcdeg",
            "018f3b1e7c2a7def8123456789abcdef",
            "018f3b1e-7c2a-7def-8123-456789abcde\u{e9}",
            &long[..126],
            &long[..127],
            &long,
            &longer,
        ];
        let mut attempts = Attempts::default();
        for run in ids {
            for attempt in ids {
                attempts.slot(run, attempt);
            }
        }
        let names: Vec<_> = attempts.iter().map(|(number, _)| attempts.name(number)).collect();
        let wanted = ids.iter().flat_map(|run| ids.iter().map(move |attempt| (*run, *attempt)));
        assert!(names.iter().map(|(run, attempt)| (&**run, &**attempt)).eq(wanted));
        attempts.slot(ids[3], ids[5]);
        assert_eq!(attempts.iter().count(), ids.len() * ids.len());
    }
}
