//! Leaves of archived ranges: read by index and tile, checked, and remembered within bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::RangeIndex;
use crate::digest::Sha256Digest;
use crate::envelope::Envelope;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::tiles::{entries_tile, get_tile};
use crate::ports::{ArchivedRange, Objects, ReadError, Recorded};
use crate::tlog::{ENTRY_TILE_WIDTH, leaf_hash, parse_entries};

/// Indexes that are remembered.
const INDEXES: usize = 16;

/// Bytes of tiles that are remembered.
const TILE_BYTES: usize = 32 << 20;

/// What an operator does about damage.
const ADVICE: &str = "see ops/runbooks/archive-damaged.md";

type Tile = Arc<Vec<Arc<[u8]>>>;

/// Something that is remembered until there is no room for it.
struct Remembered<T> {
    things: BTreeMap<String, (u64, usize, T)>,
    used: u64,
    size: usize,
    most: usize,
}

impl<T: Clone> Remembered<T> {
    fn new(most: usize) -> Self {
        Self { things: BTreeMap::new(), used: 0, size: 0, most }
    }

    fn get(&mut self, key: &str) -> Option<T> {
        self.used += 1;
        let (used, _, thing) = self.things.get_mut(key)?;
        *used = self.used;
        Some(thing.clone())
    }

    fn put(&mut self, key: &str, size: usize, thing: T) {
        self.used += 1;
        if let Some((_, old, _)) = self.things.insert(key.to_string(), (self.used, size, thing)) {
            self.size -= old;
        }
        self.size += size;
        while self.size > self.most && self.things.len() > 1 {
            let oldest = self.things.iter().min_by_key(|(_, (used, ..))| *used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some((_, size, _)) = self.things.remove(&key) {
                self.size -= size;
            }
        }
    }
}

/// Reads leaves of archived ranges.
pub struct ArchivedLeaves {
    objects: Arc<dyn Objects>,
    indexes: Mutex<Remembered<Arc<RangeIndex>>>,
    tiles: Mutex<Remembered<Tile>>,
}

impl ArchivedLeaves {
    /// Reads from where the tiles are published.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        let indexes = Mutex::new(Remembered::new(INDEXES));
        Self { objects, indexes, tiles: Mutex::new(Remembered::new(TILE_BYTES)) }
    }

    /// Events from a position on, to the end of the range, at most `limit`.
    pub async fn from_position(
        &self,
        range: &ArchivedRange,
        position: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let index = self.index(range).await?;
        let from = index.offset(position).unwrap_or(index.len());
        let offsets = (from..index.len()).take(limit);
        self.read(&index, offsets).await
    }

    /// Events of a stream from a version on, to the end of the range, at most `limit`.
    pub async fn of_stream(
        &self,
        range: &ArchivedRange,
        tenant: &TenantId,
        stream: &StreamName,
        version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let index = self.index(range).await?;
        let offsets = index.of_stream(tenant, stream, version).iter();
        self.read(&index, offsets.take(limit).map(|at| *at as usize)).await
    }

    /// Leaves of a log from an index on, to the end of the range, at most `limit`.
    pub async fn of_log(
        &self,
        range: &ArchivedRange,
        tenant: &TenantId,
        leaf: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let index = self.index(range).await?;
        let offsets = index.of_log(tenant, leaf).iter();
        self.read(&index, offsets.take(limit).map(|at| *at as usize)).await
    }

    /// Reads a whole range, leaf by leaf, and says how many there are.
    ///
    /// # Errors
    /// At the first that is not what the store remembers of it.
    pub async fn check(&self, range: &ArchivedRange) -> Result<u64, ReadError> {
        let index = self.index(range).await?;
        let mut hashes = Vec::with_capacity(index.len() * 32);
        let mut at = 0;
        while at < index.len() {
            let page = self.read(&index, (at..index.len()).take(256)).await?;
            at += page.len();
            page.iter().for_each(|event| hashes.extend_from_slice(&leaf_hash(&event.leaf).0));
        }
        match Sha256Digest::of(&hashes) == range.leaves_hash {
            true => Ok(index.len() as u64),
            false => Err(damaged(
                range.first,
                format!("the index {} names other leaves than the store let go", range.index),
            )),
        }
    }

    async fn index(&self, range: &ArchivedRange) -> Result<Arc<RangeIndex>, ReadError> {
        let known = self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&range.index);
        if let Some(index) = known {
            return Ok(index);
        }
        let wrong = |what: String| damaged(range.first, what);
        let bytes = self.objects.get(&range.index).await.map_err(unavailable)?;
        let bytes = bytes.ok_or_else(|| {
            wrong(format!("the index {} of archived events is missing", range.index))
        })?;
        if Sha256Digest::of(&bytes) != range.index_hash {
            let what = format!("the index {} has another hash than the store kept", range.index);
            return Err(wrong(what));
        }
        let index = RangeIndex::parse(&bytes)
            .map_err(|reason| wrong(format!("the index {}: {reason}", range.index)))?;
        let fits =
            index.first() == range.first && index.first().0 + index.len() as u64 == range.end.0;
        if !fits {
            return Err(wrong(format!("the index {} is of other positions", range.index)));
        }
        let index = Arc::new(index);
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.put(&range.index, 1, Arc::clone(&index));
        Ok(index)
    }

    async fn read(
        &self,
        index: &RangeIndex,
        offsets: impl Iterator<Item = usize>,
    ) -> Result<Vec<Recorded>, ReadError> {
        let mut events = Vec::new();
        // The tile of each tenant that was used last: neighbours mostly stand in the same.
        let mut open: BTreeMap<&TenantId, (u64, String, Tile)> = BTreeMap::new();
        for offset in offsets {
            let position = Position(index.first().0 + offset as u64);
            let place = index.place(offset).ok_or_else(|| {
                damaged(position, "the index of archived events ends before it".to_string())
            })?;
            let (tenant, number) = (place.tenant, place.leaf / ENTRY_TILE_WIDTH);
            if open.get(&tenant.name).is_none_or(|(at, ..)| *at != number) {
                let width = (tenant.published.saturating_sub(number * ENTRY_TILE_WIDTH))
                    .min(ENTRY_TILE_WIDTH) as u16;
                let (path, tile) = self.tile(&tenant.folder, number, width, position).await?;
                open.insert(&tenant.name, (number, path, tile));
            }
            let Some((_, path, tile)) = open.get(&tenant.name) else { continue };
            let leaf = tile.get((place.leaf % ENTRY_TILE_WIDTH) as usize);
            let leaf = leaf.filter(|leaf| leaf_hash(leaf) == place.hash).ok_or_else(|| {
                let what = format!("the tile {path} has not the leaf {}", place.leaf);
                damaged(position, what)
            })?;
            events.push(recorded(position, leaf)?);
        }
        Ok(events)
    }

    async fn tile(
        &self,
        folder: &str,
        number: u64,
        width: u16,
        position: Position,
    ) -> Result<(String, Tile), ReadError> {
        let tile = entries_tile(number, width);
        let path = format!("{folder}/{tile}");
        let known = self.tiles.lock().unwrap_or_else(PoisonError::into_inner).get(&path);
        if let Some(leaves) = known {
            return Ok((path, leaves));
        }
        let bytes = get_tile(&*self.objects, folder, &tile).await.map_err(|error| match error {
            error if error.is_transient() => ReadError::Unavailable(error.to_string()),
            error => damaged(position, error.to_string()),
        })?;
        let bytes =
            bytes.ok_or_else(|| damaged(position, format!("the tile {path} is missing")))?;
        let entries = parse_entries(&bytes)
            .map_err(|error| damaged(position, format!("the tile {path}: {error}")))?;
        let leaves: Tile = Arc::new(entries.into_iter().map(Arc::from).collect());
        let mut tiles = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        tiles.put(&path, bytes.len(), Arc::clone(&leaves));
        Ok((path, leaves))
    }
}

/// An event from its leaf, whose hash was checked.
fn recorded(position: Position, leaf: &Arc<[u8]>) -> Result<Recorded, ReadError> {
    let envelope = Envelope::parse(leaf).map_err(|error| damaged(position, error.to_string()))?;
    if envelope.position != position {
        let what = format!("its archived leaf says that it stands at {}", envelope.position);
        return Err(damaged(position, what));
    }
    Ok(Recorded {
        position,
        tenant: envelope.tenant,
        tenant_sequence: envelope.tenant_sequence,
        stream: envelope.stream,
        version: envelope.version,
        leaf: Arc::clone(leaf),
    })
}

pub(super) fn unavailable(error: crate::ports::ObjectError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

pub(super) fn damaged(position: Position, detail: String) -> ReadError {
    ReadError::Corrupt { position, detail: format!("{detail}; {ADVICE}") }
}
