//! Where records are kept: one behind the other, and places that became free are taken again.

use std::num::NonZeroU32;

use super::attempt::Record;

/// Records that are kept together.
const BLOCK: usize = 1_024;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(NonZeroU32);

impl At {
    fn of(place: usize) -> Self {
        // So many would not fit into any memory.
        Self(u32::try_from(place + 1).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Records, each in its place.
#[derive(Debug, Default)]
pub(super) struct Records {
    blocks: Vec<Vec<Record>>,
    free: Vec<At>,
}

impl Records {
    pub(super) fn get(&self, at: At) -> &Record {
        &self.blocks[at.place() / BLOCK][at.place() % BLOCK]
    }

    pub(super) fn add(&mut self, record: Record) -> At {
        if let Some(at) = self.free.pop() {
            self.blocks[at.place() / BLOCK][at.place() % BLOCK] = record;
            return at;
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let before = (self.blocks.len() - 1) * BLOCK;
        let block = self.blocks.last_mut();
        block.map_or(At::of(0), |block| {
            block.push(record);
            At::of(before + block.len() - 1)
        })
    }

    /// Bytes of memory that are held.
    pub(super) fn held(&self) -> usize {
        let records = self.blocks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Record>();
        records + self.free.capacity() * size_of::<At>()
    }

    /// What is there is not asked for again.
    pub(super) fn remove(&mut self, at: At) {
        self.free.push(at);
    }
}
