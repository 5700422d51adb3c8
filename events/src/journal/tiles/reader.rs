//! Reading a published log: nothing is believed but the key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    TileError, checkpoint_path, damaged, entries_tile, get_tile, parse_hashes, published, read_edge,
};
use crate::digest::Sha256Digest;
use crate::ports::Objects;
use crate::tlog::{
    Checkpoint, ENTRY_TILE_WIDTH, Edge, Note, Tile, TileLevel, VerifierKey, leaf_hash,
    parse_entries, root,
};

type Hashes = Arc<Vec<Sha256Digest>>;

/// A published log at its signed head.
///
/// Every hash that it gives leads to the root of the head, and every leaf has its hash. Memory:
/// one tile of each level, and the leaves of one tile.
pub struct TileLog {
    objects: Arc<dyn Objects>,
    folder: String,
    note: Note,
    checkpoint: Checkpoint,
    edge: Edge,
    /// The full tile that was read last, of each level.
    cache: Mutex<BTreeMap<u8, (u64, Hashes)>>,
}

/// Leaves that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafPage {
    /// Index of the first.
    pub first: u64,
    /// The leaves; never empty.
    pub leaves: Vec<Arc<[u8]>>,
}

/// A reading of leaves that goes on.
pub struct Leaves<'a> {
    log: &'a TileLog,
    at: u64,
    end: u64,
}

impl TileLog {
    /// Opens the log below a folder: checks the signature of its head by the key, and that its
    /// last tiles have the signed root.
    pub async fn open(
        objects: Arc<dyn Objects>,
        folder: &str,
        key: &VerifierKey,
    ) -> Result<Self, TileError> {
        let head = published(&*objects, folder, key).await?;
        let head = head.ok_or_else(|| TileError::Unpublished(checkpoint_path(folder)))?;
        let edge = read_edge(&*objects, folder, &head.checkpoint).await?;
        Ok(Self {
            objects,
            folder: folder.to_string(),
            note: head.note,
            checkpoint: head.checkpoint,
            edge,
            cache: Mutex::default(),
        })
    }

    /// The head.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The hashes at the end of each level.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The head with its signatures; only the log's own was checked.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Leaves from an index to before another, or to the end of the log.
    pub fn leaves(&self, from: u64, to: u64) -> Leaves<'_> {
        Leaves { log: self, at: from, end: to.min(self.checkpoint.size) }
    }

    /// The hashes of a tile, whole or as far as the head goes. Level 0 are the hashes of the
    /// leaves; a hash of level L stands for 256^L of them. `None` beyond the log.
    pub async fn hashes(&self, level: u8, index: u64) -> Result<Option<Hashes>, TileError> {
        let full = self.full_tiles(level);
        if index < full {
            return self.full_tile(level, index).await.map(Some);
        }
        let edge = self.edge.level(usize::from(level));
        Ok((index == full && !edge.is_empty()).then(|| Arc::new(edge.to_vec())))
    }

    /// Full tiles of a level.
    fn full_tiles(&self, level: u8) -> u64 {
        let bits = 8 * (u32::from(level) + 1);
        self.checkpoint.size.checked_shr(bits).unwrap_or(0)
    }

    /// A full tile whose root is a hash of the level above, which is checked first.
    async fn full_tile(&self, level: u8, index: u64) -> Result<Hashes, TileError> {
        let mut path = vec![(level, index)];
        let mut above: Option<Hashes> = None;
        while let Some((level, index)) = path.last().copied() {
            above = self.cached(level, index);
            if above.is_some() {
                path.pop();
                break;
            }
            // The hash of this tile stands in the tile `index / 256` of the level above.
            if index / ENTRY_TILE_WIDTH == self.full_tiles(level + 1) {
                break;
            }
            path.push((level + 1, index / ENTRY_TILE_WIDTH));
        }
        while let Some((level, index)) = path.pop() {
            let at = (index % ENTRY_TILE_WIDTH) as usize;
            let expected = match &above {
                Some(hashes) => hashes.get(at),
                None => self.edge.level(usize::from(level) + 1).get(at),
            };
            above = Some(self.fetch(level, index, expected.copied()).await?);
        }
        above.ok_or_else(|| damaged(&self.folder, "the tiles have no way to the root"))
    }

    async fn fetch(
        &self,
        level: u8,
        index: u64,
        expected: Option<Sha256Digest>,
    ) -> Result<Hashes, TileError> {
        let level_of = TileLevel::Hashes(level);
        let tile = Tile { level: level_of, index, width: ENTRY_TILE_WIDTH as u16 };
        let path = format!("{}/{tile}", self.folder);
        let bytes = get_tile(&*self.objects, &self.folder, &tile).await?;
        let bytes = bytes.ok_or_else(|| TileError::Missing(path.clone()))?;
        let hashes = parse_hashes(&self.folder, &tile, &bytes)?;
        if Some(root(&hashes)) != expected {
            return Err(damaged(&path, "its root is not the hash in the tile above"));
        }
        let hashes = Arc::new(hashes);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(level, (index, Arc::clone(&hashes)));
        Ok(hashes)
    }

    fn cached(&self, level: u8, index: u64) -> Option<Hashes> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (there, hashes) = cache.get(&level)?;
        (*there == index).then(|| Arc::clone(hashes))
    }

    /// All leaves of one tile, each with its hash checked.
    async fn entries(&self, index: u64) -> Result<Vec<Arc<[u8]>>, TileError> {
        let hashes = self.hashes(0, index).await?;
        let hashes = hashes.ok_or_else(|| damaged(&self.folder, "there is no such tile"))?;
        let tile = entries_tile(index, hashes.len() as u16);
        let path = format!("{}/{tile}", self.folder);
        let bytes = get_tile(&*self.objects, &self.folder, &tile).await?;
        let bytes = bytes.ok_or_else(|| TileError::Missing(path.clone()))?;
        let entries = parse_entries(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
        if entries.len() != hashes.len() && entries.len() as u64 != ENTRY_TILE_WIDTH {
            let reason = format!("it has {} entries, not {}", entries.len(), hashes.len());
            return Err(damaged(&path, reason));
        }
        let checked = entries.iter().zip(hashes.iter()).enumerate().map(|(i, (leaf, hash))| {
            let leaf_index = index * ENTRY_TILE_WIDTH + i as u64;
            match leaf_hash(leaf) == *hash {
                true => Ok(Arc::from(*leaf)),
                false => Err(damaged(&path, format!("leaf {leaf_index} has another hash"))),
            }
        });
        checked.collect()
    }
}

impl Leaves<'_> {
    /// The next leaves, at most 256; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<LeafPage>, TileError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let index = self.at / ENTRY_TILE_WIDTH;
        let start = index * ENTRY_TILE_WIDTH;
        let mut leaves = self.log.entries(index).await?;
        leaves.truncate(usize::try_from(self.end - start).unwrap_or(usize::MAX));
        leaves.drain(..(self.at - start) as usize);
        let page = LeafPage { first: self.at, leaves };
        self.at += page.leaves.len() as u64;
        Ok(Some(page))
    }
}
