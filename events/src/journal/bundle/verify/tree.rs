//! From the leaves to the signed root, by the tiles that are there.

use super::super::layout::{CONSISTENCY_PROOF, Extent, MAX_PROOF_HASHES, parse_proof};
use super::super::manifest::{LogPart, Manifest};
use super::super::{Failure, Reason};
use super::folder::Folder;
use crate::digest::Sha256Digest;
use crate::tlog::{
    ENTRY_TILE_WIDTH, Frontier, MAX_ENTRY_TILE, Tile, TileLevel, entries, leaf_hash, root,
    verify_consistency,
};

/// Bytes of a hash.
const HASH_BYTES: u64 = 32;
/// Bytes of a line of a proof.
const PROOF_LINE: u64 = 45;

/// The tiles of a bundle, once they lead to the signed root.
pub(super) struct Tree {
    extent: Extent,
    /// Hashes of level 1, 2 and so on, of the whole log.
    upper: Vec<Vec<Sha256Digest>>,
    events: u64,
    entry_tiles: u64,
    hash_tiles: u64,
    root: Sha256Digest,
}

impl Tree {
    /// Hashes every leaf, and goes up to the root. All leaves are seen on the way, each when it has
    /// the hash of its tile.
    pub fn check(
        folder: &Folder<'_>,
        manifest: &Manifest,
        heard: &mut dyn FnMut(Reason, u64, u64),
        mut take: impl FnMut(u64, &[u8]),
    ) -> Result<Self, Failure> {
        let mut this = Self {
            extent: manifest.log.extent(),
            upper: Vec::new(),
            events: 0,
            entry_tiles: 0,
            hash_tiles: 0,
            root: manifest.log.end.root,
        };
        this.read_upper(folder)?;
        let last = this.check_leaves(folder, heard, &mut take)?;
        let there = manifest.files.iter().filter(|file| file.path.starts_with("tile/")).count();
        let wanted = this.entry_tiles + this.hash_tiles;
        if there as u64 != wanted {
            return Err(wrong(format!("there are {there} tiles, not {wanted}")));
        }
        let root = this.frontier(this.extent.size, &last).root();
        match root == this.root {
            true => Ok(this),
            false => Err(wrong(format!("the tiles lead to the root {root}"))),
        }
    }

    /// What was found, as a sentence.
    pub fn found(&self) -> String {
        let Self { events, entry_tiles, hash_tiles, .. } = self;
        format!(
            "{events} leaves in {entry_tiles} tiles, {hash_tiles} tiles of hashes: size {}, root {}",
            self.extent.size, self.root
        )
    }

    /// Leaves that are there.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn read_upper(&mut self, folder: &Folder<'_>) -> Result<(), Failure> {
        for tile in self.extent.upper_tiles() {
            let hashes = read_hashes(folder, &tile)?;
            self.hash_tiles += 1;
            if tile.index == 0 {
                self.upper.push(Vec::new());
            }
            if let Some(level) = self.upper.last_mut() {
                level.extend(hashes);
            }
        }
        for (above, level) in (1..).zip(&self.upper) {
            let (full, _) = level.as_chunks::<{ ENTRY_TILE_WIDTH as usize }>();
            for (index, hashes) in (0..).zip(full) {
                self.check_parent(above, index, hashes)?;
            }
        }
        Ok(())
    }

    /// The root of a full tile stands in the tile above.
    fn check_parent(
        &self,
        above: usize,
        index: usize,
        hashes: &[Sha256Digest],
    ) -> Result<(), Failure> {
        let parent = self.upper.get(above).and_then(|level| level.get(index));
        match parent == Some(&root(hashes)) {
            true => Ok(()),
            false => {
                let what = format!("tile {index} of level {above} has another root above it");
                Err(wrong(what))
            }
        }
    }

    /// Compares all leaves with their hashes; returns those of the last, incomplete tile.
    fn check_leaves(
        &mut self,
        folder: &Folder<'_>,
        heard: &mut dyn FnMut(Reason, u64, u64),
        take: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<Vec<Sha256Digest>, Failure> {
        let (mut bytes, mut last) = (Vec::new(), Vec::new());
        let all = self.extent.events();
        let extent = self.extent.clone();
        for tile in extent.entry_tiles() {
            let hashed = Tile { level: TileLevel::Hashes(0), ..tile };
            let hashes = read_hashes(folder, &hashed)?;
            read_leaves(folder, &tile, &mut bytes)?;
            for (index, (leaf, hash)) in (tile.leaves().0..).zip(entries(&bytes).zip(&hashes)) {
                let leaf = leaf.map_err(|error| wrong(format!("{tile}: {error}")))?;
                if leaf_hash(leaf) != *hash {
                    return Err(wrong(format!("leaf {index} does not have the hash in {hashed}")));
                }
                take(index, leaf);
            }
            self.events += u64::from(tile.width);
            self.entry_tiles += 1;
            self.hash_tiles += 1;
            if u64::from(tile.width) == ENTRY_TILE_WIDTH {
                // The tile was read: it is one of those that there can be.
                self.check_parent(0, tile.index as usize, &hashes)?;
            } else {
                last = hashes;
            }
            heard(Reason::Root, self.events, all);
        }
        Ok(last)
    }

    /// The root of the log at a size that its leaves below `first` do not matter for.
    pub fn root_at(&self, folder: &Folder<'_>, size: u64) -> Result<Sha256Digest, Failure> {
        let rest = size % ENTRY_TILE_WIDTH;
        let mut hashes = Vec::new();
        if rest > 0 {
            let index = size / ENTRY_TILE_WIDTH;
            let width = self.extent.size.saturating_sub(size - rest).min(ENTRY_TILE_WIDTH) as u16;
            if u64::from(width) < rest {
                return Err(wrong(format!("the log does not have {size} leaves")));
            }
            hashes = read_hashes(folder, &Tile { level: TileLevel::Hashes(0), index, width })?;
            hashes.truncate(rest as usize);
        }
        Ok(self.frontier(size, &hashes).root())
    }

    /// The frontier of the first leaves: perfect subtrees of full tiles, and what is behind them.
    fn frontier(&self, size: u64, last: &[Sha256Digest]) -> Frontier {
        let (mut peaks, mut start) = (Vec::new(), 0u64);
        let full = size - size % ENTRY_TILE_WIDTH;
        for bit in (8..u64::BITS).rev().filter(|bit| full >> bit & 1 == 1) {
            let level = bit / 8;
            let from = (start >> (8 * level)) as usize;
            let hashes = self.upper.get(level as usize - 1);
            let hashes = hashes.and_then(|level| level.get(from..from + (1 << (bit % 8))));
            peaks.push(root(hashes.unwrap_or_default()));
            start += 1 << bit;
        }
        let mut frontier = Frontier::from_peaks(full, peaks).unwrap_or_default();
        for hash in last {
            frontier.push(*hash);
        }
        frontier
    }
}

/// The hashes of a tile, as many as it must have.
fn read_hashes(folder: &Folder<'_>, tile: &Tile) -> Result<Vec<Sha256Digest>, Failure> {
    let path = tile.to_string();
    let bytes = folder.read(Reason::Root, &path, HASH_BYTES * ENTRY_TILE_WIDTH)?;
    let (hashes, rest) = bytes.as_chunks::<{ HASH_BYTES as usize }>();
    if !rest.is_empty() || hashes.len() != usize::from(tile.width) {
        return Err(wrong(format!("{path} does not have {} hashes", tile.width)));
    }
    Ok(hashes.iter().map(|hash| Sha256Digest(*hash)).collect())
}

/// The bytes of a tile that has as many leaves as it must have.
fn read_leaves(folder: &Folder<'_>, tile: &Tile, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let path = tile.to_string();
    folder.read_into(Reason::Root, &path, MAX_ENTRY_TILE, bytes)?;
    let mut count = 0;
    for leaf in entries(bytes) {
        leaf.map_err(|error| wrong(format!("{path}: {error}")))?;
        count += 1;
    }
    match count == usize::from(tile.width) {
        true => Ok(()),
        false => Err(wrong(format!("{path} has {count} leaves, not {}", tile.width))),
    }
}

/// Shows the leaves of the stream `billing` before all others, as far as their tiles can be read:
/// what is wrong with a tile is said where its turn is.
pub(super) fn foresee(folder: &Folder<'_>, manifest: &Manifest, mut take: impl FnMut(u64, &[u8])) {
    let mut bytes = Vec::new();
    for tile in manifest.log.extent().entry_tiles() {
        if folder.has_billing(tile.index) && read_leaves(folder, &tile, &mut bytes).is_ok() {
            for (index, leaf) in (tile.leaves().0..).zip(entries(&bytes).flatten()) {
                take(index, leaf);
            }
        }
    }
}

/// Checks that the log extends the head that was signed before.
pub(super) fn consistency(folder: &Folder<'_>, manifest: &Manifest) -> Result<String, Failure> {
    let fail = |what: String| Failure::new(Reason::Consistency, what);
    let LogPart { start, end, .. } = &manifest.log;
    if start.size == 0 {
        return match manifest.has(CONSISTENCY_PROOF) {
            true => Err(fail(format!("there is a {CONSISTENCY_PROOF}, but no head before"))),
            false => Ok(String::from("no head was signed before")),
        };
    }
    let limit = PROOF_LINE * MAX_PROOF_HASHES as u64;
    let text = folder.read(Reason::Consistency, CONSISTENCY_PROOF, limit)?;
    let proof = parse_proof(&text);
    let proof = proof.ok_or_else(|| fail(format!("{CONSISTENCY_PROOF} is no proof")))?;
    verify_consistency((start.size, &start.root), (end.size, &end.root), &proof)
        .map_err(|error| fail(format!("{} to {} leaves: {error}", start.size, end.size)))?;
    Ok(format!("{} leaves lead to {}", start.size, end.size))
}

fn wrong(what: String) -> Failure {
    Failure::new(Reason::Root, what)
}
