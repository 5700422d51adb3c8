//! The right edge of a tiled log: the hashes in the partial tile of each level. It is all that
//! is needed to add leaves to the tiles, and it gives the frontier.

use super::frontier::Frontier;
use super::hash::root;
use super::tile::{ENTRY_TILE_WIDTH, Tile, TileLevel};
use crate::digest::Sha256Digest;

/// Hashes at the end of each level that do not fill a tile yet, leaves first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Sha256Digest>>,
}

impl Edge {
    /// The edge of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The partial hash tiles of a log of this size, leaves first. Levels whose last tile is
    /// full have none.
    pub fn tiles_of(size: u64) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let (mut level, mut count) = (0, size);
        while count > 0 {
            let (index, width) = (count / ENTRY_TILE_WIDTH, (count % ENTRY_TILE_WIDTH) as u16);
            if width > 0 {
                tiles.push(Tile { level: TileLevel::Hashes(level), index, width });
            }
            count /= ENTRY_TILE_WIDTH;
            level += 1;
        }
        tiles
    }

    /// Puts the edge together from the contents of [`Edge::tiles_of`]. `None` where they are
    /// not as many and as wide as the size wants.
    pub fn from_tiles(size: u64, contents: Vec<(Tile, Vec<Sha256Digest>)>) -> Option<Self> {
        let tiles = Self::tiles_of(size);
        let mut levels: Vec<Vec<Sha256Digest>> = Vec::new();
        let fits = tiles.len() == contents.len()
            && tiles.iter().zip(&contents).all(|(tile, (given, hashes))| {
                tile == given && usize::from(tile.width) == hashes.len()
            });
        for (tile, hashes) in contents {
            let TileLevel::Hashes(level) = tile.level else { return None };
            levels.resize(usize::from(level), Vec::new());
            levels.push(hashes);
        }
        fits.then_some(Self { size, levels })
    }

    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Hashes at the end of a level, leaves being level 0.
    pub fn level(&self, level: usize) -> &[Sha256Digest] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }

    /// Adds a leaf by its hash, and returns the hash tiles that it filled, lowest first.
    pub fn push(&mut self, leaf: Sha256Digest) -> Vec<(Tile, Vec<u8>)> {
        let mut filled = Vec::new();
        let mut next = Some(leaf);
        let mut level = 0;
        while let Some(hash) = next.take() {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() as u64 == ENTRY_TILE_WIDTH {
                let span = ENTRY_TILE_WIDTH.pow(level as u32 + 1);
                let tile = Tile {
                    level: TileLevel::Hashes(level as u8),
                    index: self.size / span,
                    width: ENTRY_TILE_WIDTH as u16,
                };
                filled.push((tile, joined(hashes)));
                next = Some(root(hashes));
                hashes.clear();
                level += 1;
            }
        }
        self.size += 1;
        filled
    }

    /// The partial hash tiles with their contents, leaves first.
    pub fn partial_tiles(&self) -> Vec<(Tile, Vec<u8>)> {
        let tiles = Self::tiles_of(self.size).into_iter();
        let hashes = self.levels.iter().filter(|hashes| !hashes.is_empty());
        tiles.zip(hashes).map(|(tile, hashes)| (tile, joined(hashes))).collect()
    }

    /// The frontier of the log.
    pub fn frontier(&self) -> Frontier {
        let mut peaks = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (perfect, behind) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(root(perfect));
                rest = behind;
            }
        }
        // Widths below 256 have the bits of the size, eight a level.
        Frontier::from_peaks(self.size, peaks).unwrap_or_default()
    }
}

fn joined(hashes: &[Sha256Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
