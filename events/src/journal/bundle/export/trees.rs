//! One pass over the log: its tiles are written, its root is computed, its proof is collected.

use super::folder::Folder;
use super::{ExportError, Progress};
use crate::digest::Sha256Digest;
use crate::journal::tiles::{LeafSource, entries_tile};
use crate::tlog::{
    ENTRY_TILE_WIDTH, Edge, Extension, Frontier, TileLevel, encode_entries, leaf_hash,
};

/// Leaves read at a time: sixteen tiles.
const PAGE: usize = 16 * ENTRY_TILE_WIDTH as usize;

/// Which leaves a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// From this leaf on all of them; a multiple of 256.
    pub(super) first: u64,
    /// Earlier entry tiles that are there as well, ascending.
    pub(super) tiles: Vec<u64>,
    /// Leaves of the log.
    pub(super) size: u64,
    /// Leaves below the earlier checkpoint.
    pub(super) start: u64,
    /// Leaves that the closing counts.
    pub(super) closed: u64,
}

/// Sees a leaf with its index.
pub(super) type Look<'a> = dyn FnMut(u64, &[u8]) -> Result<(), ExportError> + Send + 'a;

/// What the pass found.
pub(super) struct Walked {
    pub(super) root: Sha256Digest,
    /// The root over the first `start` leaves.
    pub(super) start_root: Sha256Digest,
    /// The root over the first `closed` leaves.
    pub(super) closed_root: Sha256Digest,
    /// The proof that leads from `start` to the end.
    pub(super) proof: Vec<Sha256Digest>,
    /// Leaves in the bundle.
    pub(super) events: u64,
}

impl Extent {
    fn has(&self, tile: u64) -> bool {
        tile >= self.first / ENTRY_TILE_WIDTH || self.tiles.binary_search(&tile).is_ok()
    }
}

/// Walks through the log. `look` sees each leaf that is in the bundle.
pub(super) async fn walk(
    source: &dyn LeafSource,
    extent: &Extent,
    folder: &mut Folder,
    look: &mut Look<'_>,
) -> Result<Walked, ExportError> {
    let mut edge = Edge::default();
    let mut frontier = Frontier::new();
    let mut begun: Option<(Sha256Digest, Extension)> = None;
    let mut closed_root = frontier.root();
    let mut events = 0;
    let mut pending = Vec::new();
    let proof_error = |error: crate::tlog::ProofError| ExportError::Internal(error.to_string());
    while edge.size() < extent.size {
        while pending.len() < PAGE && edge.size() + (pending.len() as u64) < extent.size {
            let at = edge.size() + pending.len() as u64;
            let want = usize::try_from(extent.size - at).unwrap_or(PAGE).min(PAGE - pending.len());
            let page = source.leaves(at, want).await?;
            if page.is_empty() {
                return Err(ExportError::Damaged(format!("leaf {at} of the log is missing")));
            }
            pending.extend(page);
        }
        let mut files = Vec::new();
        for leaves in pending.chunks(ENTRY_TILE_WIDTH as usize) {
            let first = edge.size();
            let tile = first / ENTRY_TILE_WIDTH;
            let is_there = extent.has(tile);
            for (n, leaf) in leaves.iter().enumerate() {
                if edge.size() == extent.start {
                    let extension = Extension::new(frontier.clone(), extent.size);
                    begun = Some((frontier.root(), extension.map_err(proof_error)?));
                }
                let hash = leaf_hash(leaf);
                frontier.push(hash);
                if frontier.size() == extent.closed {
                    closed_root = frontier.root();
                }
                if let Some((_, extension)) = &mut begun {
                    extension.push(hash);
                }
                let filled = edge.push(hash).into_iter();
                files.extend(
                    filled
                        .filter(|(tile, _)| tile.level != TileLevel::Hashes(0) || is_there)
                        .map(|(tile, bytes)| (tile.to_string(), bytes)),
                );
                if is_there {
                    events += 1;
                    look(first + n as u64, leaf)?;
                }
            }
            if is_there {
                let entries = encode_entries(leaves.iter().map(AsRef::as_ref));
                let entries = entries.map_err(|error| ExportError::Damaged(error.to_string()))?;
                files.push((entries_tile(tile, leaves.len() as u16).to_string(), entries));
            }
        }
        pending.clear();
        folder.put_all(files).await?;
        folder.tell(Progress::Leaves { done: edge.size(), of: extent.size }).await?;
    }
    let partial = edge.partial_tiles().into_iter().map(|(tile, bytes)| (tile.to_string(), bytes));
    folder.put_all(partial.collect()).await?;
    if begun.is_none() && edge.size() == extent.start {
        let extension = Extension::new(frontier.clone(), extent.size).map_err(proof_error)?;
        begun = Some((frontier.root(), extension));
    }
    let (start_root, extension) = begun.ok_or_else(|| {
        ExportError::Internal("the earlier checkpoint lies behind the later one".to_string())
    })?;
    let proof = extension.proof().map_err(proof_error)?;
    Ok(Walked { root: frontier.root(), start_root, closed_root, proof, events })
}
