//! The tiles of a log (C2SP tlog-tiles) as published objects: what anybody needs to check the
//! log, as files that a plain web server can hand out.
//!
//! A log lies below a folder that is the end of its origin: the log `<site>/t/acme/1` below
//! `t/acme/1`, the site's own log `<site>/site/1` below `site/1`. There are
//! `<folder>/checkpoint` and `<folder>/tile/…`. Tiles are written before the checkpoint that
//! needs them, and never with other bytes than before.

mod reader;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

pub use reader::{LeafPage, Leaves, TileLog};
pub use writer::TileWriter;

use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::journal::keys::verify_note;
use crate::ports::{EventStore, ObjectError, Objects, ReadError};
use crate::tlog::{Checkpoint, ENTRY_TILE_WIDTH, Edge, Note, Tile, TileLevel, VerifierKey};

/// Bytes of a hash in a tile.
const HASH_BYTES: usize = 32;

/// The folder of a tenant's log.
pub fn tenant_folder(tenant: &TenantId, timeline: u64) -> String {
    format!("t/{tenant}/{timeline}")
}

/// The folder of the site's own log.
pub fn site_folder(timeline: u64) -> String {
    format!("site/{timeline}")
}

/// Why tiles could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The objects cannot be used.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The leaves cannot be read.
    #[error("the leaves of the log cannot be read: {0}")]
    Leaves(#[from] ReadError),
    /// Nothing was published there.
    #[error("there is no published log: {0} is missing")]
    Unpublished(String),
    /// A tile that the checkpoint needs is not there.
    #[error("the tile {0} is missing")]
    Missing(String),
    /// What is there is not what the signed head says.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Path of the object.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A tile holds other bytes than the log. Tiles are never written over.
    #[error(
        "the tile {0} holds other bytes than the log has: it was changed, or it belongs to \
         another history; keep a copy of it for the audit, and remove it to have it written again"
    )]
    Differs(String),
}

impl TileError {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Objects(ObjectError::Unavailable(_)) | Self::Leaves(ReadError::Unavailable(_))
        )
    }
}

fn damaged(path: &str, reason: impl Into<String>) -> TileError {
    TileError::Damaged { path: path.to_string(), reason: reason.into() }
}

/// Where the leaves of a log come from.
#[async_trait]
pub trait LeafSource: Send + Sync {
    /// Leaves from an index on, at most `limit`; none only where the log ends.
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Arc<[u8]>>, ReadError>;
}

/// The leaves of a tenant's log as a store keeps them.
pub struct StoreLeaves<'a> {
    /// The store.
    pub store: &'a dyn EventStore,
    /// The tenant.
    pub tenant: &'a TenantId,
}

#[async_trait]
impl LeafSource for StoreLeaves<'_> {
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Arc<[u8]>>, ReadError> {
        let page = self.store.read_log(self.tenant, from, limit).await?;
        Ok(page.into_iter().map(|event| event.leaf).collect())
    }
}

/// A published head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The note.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// The published head of the log below a folder, with a valid signature by the key; `None`
/// where nothing was published. The origin must end in the folder: one key signs many logs.
pub async fn published(
    objects: &dyn Objects,
    folder: &str,
    key: &VerifierKey,
) -> Result<Option<Published>, TileError> {
    let path = checkpoint_path(folder);
    let Some(bytes) = objects.get(&path).await? else { return Ok(None) };
    let note = Note::parse(&bytes).map_err(|error| damaged(&path, error.to_string()))?;
    verify_note(&note, key).map_err(|error| damaged(&path, error.to_string()))?;
    let checkpoint =
        Checkpoint::parse(&note.text).map_err(|error| damaged(&path, error.to_string()))?;
    let of_folder = checkpoint.origin.strip_suffix(folder).is_some_and(|site| site.ends_with('/'));
    if !of_folder {
        return Err(damaged(&path, format!("it is the head of the log {}", checkpoint.origin)));
    }
    Ok(Some(Published { note, checkpoint }))
}

fn checkpoint_path(folder: &str) -> String {
    format!("{folder}/checkpoint")
}

/// The edge of a log at a signed size, read from its tiles and compared with its root.
async fn read_edge(
    objects: &dyn Objects,
    folder: &str,
    of: &Checkpoint,
) -> Result<Edge, TileError> {
    let mut contents = Vec::new();
    for tile in Edge::tiles_of(of.size) {
        let path = format!("{folder}/{tile}");
        let bytes = get_tile(objects, folder, &tile).await?.ok_or(TileError::Missing(path))?;
        contents.push((tile, parse_hashes(folder, &tile, &bytes)?));
    }
    let edge = Edge::from_tiles(of.size, contents).unwrap_or_default();
    match edge.size() == of.size && edge.frontier().root() == of.root {
        true => Ok(edge),
        false => {
            let reason = format!("the tiles do not have the root that was signed over {}", of.size);
            Err(damaged(&format!("{folder}/tile"), reason))
        }
    }
}

/// The content of a tile; of a partial one that is gone the beginning of the full one.
pub(super) async fn get_tile(
    objects: &dyn Objects,
    folder: &str,
    tile: &Tile,
) -> Result<Option<Vec<u8>>, TileError> {
    if let Some(bytes) = objects.get(&format!("{folder}/{tile}")).await? {
        return Ok(Some(bytes));
    }
    let full = Tile { width: ENTRY_TILE_WIDTH as u16, ..*tile };
    if full == *tile {
        return Ok(None);
    }
    Ok(objects.get(&format!("{folder}/{full}")).await?)
}

/// Hashes in a tile; of a full tile in the place of a partial one only as many as were asked.
fn parse_hashes(folder: &str, tile: &Tile, bytes: &[u8]) -> Result<Vec<Sha256Digest>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let width = usize::from(tile.width);
    let fits = hashes.len() == width || hashes.len() as u64 == ENTRY_TILE_WIDTH;
    if !rest.is_empty() || !fits {
        let reason = format!("{} bytes are not {width} hashes", bytes.len());
        return Err(damaged(&format!("{folder}/{tile}"), reason));
    }
    Ok(hashes.iter().take(width).map(|hash| Sha256Digest(*hash)).collect())
}

/// The tile of entries over these leaves.
pub(super) fn entries_tile(index: u64, width: u16) -> Tile {
    Tile { level: TileLevel::Entries, index, width }
}
