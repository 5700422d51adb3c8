//! Inclusion proofs of single leaves, in the form of C2SP tlog-proof, put together from the hash
//! tiles that were just written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ExportError;
use crate::digest::Sha256Digest;
use crate::tlog::{ENTRY_TILE_WIDTH, Tile, TileLevel, node_hash, root};

/// The first line of a proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Tiles that are remembered.
const REMEMBERED: usize = 256;

/// The hash tiles of a log, as files.
pub(super) struct TileFiles {
    folder: PathBuf,
    size: u64,
    tiles: BTreeMap<(u8, u64), Vec<Sha256Digest>>,
}

impl TileFiles {
    /// Those in a bundle's folder, of a log of this size.
    pub(super) fn new(folder: &Path, size: u64) -> Self {
        Self { folder: folder.to_path_buf(), size, tiles: BTreeMap::new() }
    }

    /// The proof of one leaf, as text.
    pub(super) fn proof(&mut self, index: u64, checkpoint: &str) -> Result<String, ExportError> {
        let mut text = format!("{HEADER}\nindex {index}\n");
        for hash in self.path(index)? {
            text.push_str(&STANDARD.encode(hash.0));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(checkpoint);
        Ok(text)
    }

    /// RFC 6962, 2.1.1: the hashes beside the way from a leaf to the root, lowest first.
    pub(super) fn path(&mut self, index: u64) -> Result<Vec<Sha256Digest>, ExportError> {
        let (mut start, mut end) = (0, self.size);
        let mut path = Vec::new();
        while end - start > 1 {
            // The largest power of two below the number of leaves.
            let middle = start + (1u64 << (63 - (end - start - 1).leading_zeros()));
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The root over leaves that begin where a subtree of their width may begin.
    fn range(&mut self, start: u64, end: u64) -> Result<Sha256Digest, ExportError> {
        let width = end - start;
        if width.is_power_of_two() {
            // Eight levels of the tree are one level of tiles.
            let level = width.ilog2() / 8;
            let span = 1u64 << (8 * level);
            let (first, count) = (start / span, width / span);
            let tile = self.tile(level as u8, first / ENTRY_TILE_WIDTH)?;
            let at = (first % ENTRY_TILE_WIDTH) as usize;
            let hashes = tile.get(at..at + count as usize);
            let hashes = hashes.ok_or_else(|| {
                ExportError::Internal(format!("no tile has the hashes of leaves {start} to {end}"))
            })?;
            return Ok(root(hashes));
        }
        let middle = start + (1u64 << width.ilog2());
        Ok(node_hash(&self.range(start, middle)?, &self.range(middle, end)?))
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Sha256Digest], ExportError> {
        if !self.tiles.contains_key(&(level, index)) {
            if self.tiles.len() >= REMEMBERED {
                self.tiles.pop_first();
            }
            let hashes = self.read(level, index)?;
            self.tiles.insert((level, index), hashes);
        }
        Ok(self.tiles.get(&(level, index)).map_or(&[], Vec::as_slice))
    }

    fn read(&self, level: u8, index: u64) -> Result<Vec<Sha256Digest>, ExportError> {
        let count = self.size >> (8 * u32::from(level));
        let width = count.saturating_sub(index * ENTRY_TILE_WIDTH).min(ENTRY_TILE_WIDTH) as u16;
        let path =
            self.folder.join(Tile { level: TileLevel::Hashes(level), index, width }.to_string());
        let bytes = fs::read(&path).map_err(|error| ExportError::file(&path, &error))?;
        Ok(bytes.as_chunks::<32>().0.iter().map(|hash| Sha256Digest(*hash)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{Edge, leaf_hash, verify_inclusion};

    #[test]
    fn a_path_put_together_from_tiles_leads_to_the_root() {
        for size in [1u64, 2, 7, 255, 256, 257, 600, 65_536, 66_000] {
            let folder = tempfile::tempdir().expect("a folder");
            let hashes: Vec<Sha256Digest> =
                (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let mut edge = Edge::default();
            let mut tiles = Vec::new();
            hashes.iter().for_each(|hash| tiles.extend(edge.push(*hash)));
            tiles.extend(edge.partial_tiles());
            for (tile, bytes) in tiles {
                let path = folder.path().join(tile.to_string());
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, bytes).expect("written");
            }
            let whole = root(&hashes);
            let mut files = TileFiles::new(folder.path(), size);
            for index in [0, size / 3, size / 2, size - 1] {
                let path = files.path(index).expect("a path");
                let leaf = &hashes[index as usize];
                verify_inclusion(leaf, index, size, &path, &whole)
                    .unwrap_or_else(|error| panic!("{index} of {size}: {error}"));
            }
        }
    }
}
