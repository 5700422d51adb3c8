//! Writing tiles: only those that are new since the last published head.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    LeafSource, Published, TileError, checkpoint_path, damaged, entries_tile, published, read_edge,
};
use crate::digest::Sha256Digest;
use crate::ports::{ObjectError, Objects};
use crate::tlog::{
    Checkpoint, ENTRY_TILE_WIDTH, Edge, Note, Tile, TileLevel, VerifierKey, encode_entries,
    leaf_hash,
};

/// Tiles that are on their way at a time. Each holds at most 256 leaves.
const IN_FLIGHT: usize = 8;

/// Writes the tiles of one log.
pub struct TileWriter {
    objects: Arc<dyn Objects>,
    folder: String,
}

impl TileWriter {
    /// A writer for the log below a folder.
    pub fn new(objects: Arc<dyn Objects>, folder: impl Into<String>) -> Self {
        Self { objects, folder: folder.into() }
    }

    /// The head that was published last.
    pub async fn published(&self, key: &VerifierKey) -> Result<Option<Published>, TileError> {
        published(&*self.objects, &self.folder, key).await
    }

    /// The edge of the log at a head that was published, from its own tiles. `None`: some are
    /// missing, and the tiles are to be written from the first one on.
    pub async fn edge(&self, of: Option<&Checkpoint>) -> Result<Option<Edge>, TileError> {
        let Some(of) = of else { return Ok(None) };
        match read_edge(&*self.objects, &self.folder, of).await {
            Ok(edge) => Ok(Some(edge)),
            Err(TileError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes all tiles between an edge and a size, and returns the new edge. Tiles that are
    /// there already are compared, not written.
    pub async fn extend(
        &self,
        mut edge: Edge,
        size: u64,
        source: &dyn LeafSource,
    ) -> Result<Edge, TileError> {
        // The leaves in the last tile are needed again: it grows.
        let mut at = edge.size() - edge.size() % ENTRY_TILE_WIDTH;
        let mut writes = Writes::new(Arc::clone(&self.objects));
        while at < size {
            let width = (size - at).min(ENTRY_TILE_WIDTH) as u16;
            let leaves = self.leaves(source, at, width).await?;
            let filled = self.add(&mut edge, at, &leaves)?;
            let bytes = encode_entries(leaves.iter().map(AsRef::as_ref)).map_err(|error| {
                damaged(&self.folder, format!("the leaves from {at} on: {error}"))
            })?;
            writes.put(self.path(&entries_tile(at / ENTRY_TILE_WIDTH, width)), bytes).await?;
            for (tile, bytes) in filled {
                writes.put(self.path(&tile), bytes).await?;
            }
            at += u64::from(width);
        }
        for (tile, bytes) in edge.partial_tiles() {
            writes.put(self.path(&tile), bytes).await?;
        }
        writes.done().await?;
        Ok(edge)
    }

    async fn leaves(
        &self,
        source: &dyn LeafSource,
        from: u64,
        width: u16,
    ) -> Result<Vec<Arc<[u8]>>, TileError> {
        let mut leaves = Vec::with_capacity(usize::from(width));
        while leaves.len() < usize::from(width) {
            let at = from + leaves.len() as u64;
            let page = source.leaves(at, usize::from(width) - leaves.len()).await?;
            if page.is_empty() {
                return Err(damaged(&self.folder, format!("leaf {at} of the log is missing")));
            }
            leaves.extend(page);
        }
        Ok(leaves)
    }

    /// Adds leaves to the edge, and compares those that it has already.
    fn add(
        &self,
        edge: &mut Edge,
        from: u64,
        leaves: &[Arc<[u8]>],
    ) -> Result<Vec<(Tile, Vec<u8>)>, TileError> {
        let mut filled = Vec::new();
        let known: Vec<Sha256Digest> = edge.level(0).to_vec();
        let already = edge.size();
        for (i, leaf) in leaves.iter().enumerate() {
            let hash = leaf_hash(leaf);
            if from + i as u64 >= already {
                filled.extend(edge.push(hash));
            } else if known.get(i) != Some(&hash) {
                let reason =
                    format!("leaf {} of the log is not the one in the tile", from + i as u64);
                let width = known.len() as u16;
                let tile =
                    Tile { level: TileLevel::Hashes(0), index: from / ENTRY_TILE_WIDTH, width };
                return Err(damaged(&self.path(&tile), reason));
            }
        }
        Ok(filled)
    }

    /// Makes a head the published one; its tiles must be there.
    pub async fn publish(&self, note: &Note) -> Result<(), TileError> {
        let bytes = note.encode().into_bytes();
        Ok(self.objects.put(&checkpoint_path(&self.folder), bytes).await?)
    }

    /// Removes the partial tiles in whose place a full one has come between two published
    /// sizes.
    pub async fn sweep(&self, from: u64, to: u64) -> Result<(), TileError> {
        let mut below = (from, to);
        let mut level = 0;
        while below.1 > 0 {
            let index = below.0 / ENTRY_TILE_WIDTH;
            if below.1 / ENTRY_TILE_WIDTH > index {
                let mut levels = vec![TileLevel::Hashes(level)];
                if level == 0 {
                    levels.push(TileLevel::Entries);
                }
                for level in levels {
                    let tile = Tile { level, index, width: ENTRY_TILE_WIDTH as u16 };
                    self.remove_all(&format!("{}.p", self.path(&tile)), |_| true).await?;
                }
            }
            below = (below.0 / ENTRY_TILE_WIDTH, below.1 / ENTRY_TILE_WIDTH);
            level += 1;
        }
        Ok(())
    }

    /// The same for all tiles of a log of this size: what a crash may have left.
    pub async fn sweep_all(&self, size: u64) -> Result<(), TileError> {
        let behind = |tile: &Tile| {
            let full = Tile { width: ENTRY_TILE_WIDTH as u16, ..*tile };
            full != *tile && full.leaves().1 <= size
        };
        self.remove_all(&format!("{}/tile", self.folder), |tile| behind(&tile)).await
    }

    async fn remove_all(&self, below: &str, which: impl Fn(Tile) -> bool) -> Result<(), TileError> {
        for path in self.objects.list(below).await? {
            let tile = path.strip_prefix(&self.folder).and_then(|path| path.strip_prefix('/'));
            let tile = tile.and_then(|path| path.parse::<Tile>().ok());
            if tile.is_some_and(&which) {
                self.objects.remove(&path).await?;
            }
        }
        Ok(())
    }

    fn path(&self, tile: &Tile) -> String {
        format!("{}/{tile}", self.folder)
    }
}

/// Puts on their way.
struct Writes {
    objects: Arc<dyn Objects>,
    tasks: JoinSet<Result<(), TileError>>,
}

impl Writes {
    fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, tasks: JoinSet::new() }
    }

    async fn put(&mut self, path: String, bytes: Vec<u8>) -> Result<(), TileError> {
        while self.tasks.len() >= IN_FLIGHT {
            self.next().await?;
        }
        self.tasks.spawn(put_once(Arc::clone(&self.objects), path, bytes));
        Ok(())
    }

    async fn next(&mut self) -> Result<(), TileError> {
        match self.tasks.join_next().await {
            None => Ok(()),
            Some(Ok(done)) => done,
            Some(Err(error)) => {
                Err(ObjectError::Unavailable(format!("the work stopped: {error}")).into())
            }
        }
    }

    async fn done(mut self) -> Result<(), TileError> {
        while !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }
}

/// Writes an object that is never to change.
async fn put_once(
    objects: Arc<dyn Objects>,
    path: String,
    bytes: Vec<u8>,
) -> Result<(), TileError> {
    match objects.get(&path).await? {
        None => Ok(objects.put(&path, bytes).await?),
        Some(there) if there == bytes => Ok(()),
        Some(_) => Err(TileError::Differs(path)),
    }
}
