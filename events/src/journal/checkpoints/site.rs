//! The site's own log: its leaves are the heads of the tenants' logs, in the order in which
//! they were signed. Whoever watches this one log watches all of them.
//!
//! A leaf is the text of a tenant's checkpoint (origin, size and root, one a line). No store
//! holds these leaves: the tiles are their only place. So the next leaves are first put whole
//! as one object, `<folder>/pending`; then come their tiles, the signature, and the published
//! head. Whatever was begun is finished with the same leaves, and nothing is ever signed that
//! is not kept already.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Checkpoints;
use crate::digest::Sha256Digest;
use crate::journal::tiles::{LeafSource, TileError, TileLog, TileWriter, site_folder};
use crate::ports::{Objects, ReadError, SignError};
use crate::tlog::{
    Checkpoint, ENTRY_TILE_WIDTH, Edge, Extension, Frontier, ProofError, VerifierKey, leaf_hash,
};

/// Leaves that are added at once at most.
const BATCH: usize = 4_096;

/// Why the site's log could not be added to.
#[derive(Debug, thiserror::Error)]
pub(super) enum SiteError {
    #[error("the site's log: {0}")]
    Tiles(#[from] TileError),
    #[error("the site's log: {0}")]
    Sign(#[from] SignError),
    #[error(
        "the site's log {origin} cannot go on: {signed} entries were signed, {published} are \
         published: bring the objects back from a copy"
    )]
    Lost { origin: String, signed: u64, published: u64 },
    #[error("the site's log: {0} is damaged: {1}")]
    Pending(String, String),
}

impl SiteError {
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Tiles(error) if error.is_transient())
    }
}

/// What is being added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    /// Entries of the published head.
    base: u64,
    leaves: Vec<String>,
}

/// Where the log stands in the objects.
#[derive(Default)]
struct Standing {
    edge: Edge,
    /// The leaves in the last tile, which is written again when it grows.
    tail: Vec<Arc<[u8]>>,
}

pub(super) struct SiteLog {
    objects: Arc<dyn Objects>,
    timeline: u64,
    folder: String,
    writer: TileWriter,
    standing: Option<Standing>,
}

impl SiteLog {
    pub(super) fn new(objects: Arc<dyn Objects>, timeline: u64) -> Self {
        let folder = site_folder(timeline);
        let writer = TileWriter::new(Arc::clone(&objects), folder.clone());
        Self { objects, timeline, folder, writer, standing: None }
    }

    /// Adds leaves, and publishes the new head.
    pub(super) async fn append(
        &mut self,
        checkpoints: &Checkpoints,
        leaves: &[String],
    ) -> Result<(), SiteError> {
        // After an error, or where another process went on, it is found again from the objects.
        let published = self.writer.published(checkpoints.history().key()).await?;
        let size = published.map_or(0, |head| head.checkpoint.size);
        let mut standing = match self.standing.take() {
            Some(standing) if standing.edge.size() == size => standing,
            _ => self.recover(checkpoints).await?,
        };
        for leaves in leaves.chunks(BATCH) {
            let pending = Pending { base: standing.edge.size(), leaves: leaves.to_vec() };
            self.put_pending(&pending).await?;
            standing = self.add(checkpoints, standing, &pending).await?;
        }
        self.standing = Some(standing);
        Ok(())
    }

    /// Finds where the log stands, and finishes what was begun.
    async fn recover(&self, checkpoints: &Checkpoints) -> Result<Standing, SiteError> {
        let mut standing = self.published(checkpoints.history().key()).await?;
        let size = standing.edge.size();
        if let Some(pending) = self.pending().await?.filter(|pending| pending.base == size) {
            standing = self.add(checkpoints, standing, &pending).await?;
        }
        self.writer.sweep_all(standing.edge.size()).await?;
        let origin = checkpoints.site_origin(self.timeline);
        let published = standing.edge.size();
        match checkpoints.signer().last_signed(&origin)? {
            Some(signed) if signed.size > published => {
                Err(SiteError::Lost { origin, signed: signed.size, published })
            }
            _ => Ok(standing),
        }
    }

    async fn published(&self, key: &VerifierKey) -> Result<Standing, SiteError> {
        if self.writer.published(key).await?.is_none() {
            return Ok(Standing::default());
        }
        let log = self.open(key).await?;
        let size = log.checkpoint().size;
        let mut tail = Vec::new();
        let mut leaves = log.leaves(size - size % ENTRY_TILE_WIDTH, size);
        while let Some(page) = leaves.next().await? {
            tail.extend(page.leaves);
        }
        Ok(Standing { edge: log.edge().clone(), tail })
    }

    async fn open(&self, key: &VerifierKey) -> Result<TileLog, TileError> {
        TileLog::open(Arc::clone(&self.objects), &self.folder, key).await
    }

    /// Writes the tiles, signs, and publishes.
    async fn add(
        &self,
        checkpoints: &Checkpoints,
        standing: Standing,
        pending: &Pending,
    ) -> Result<Standing, SiteError> {
        let base = standing.edge.size();
        let size = base + pending.leaves.len() as u64;
        let mut tail = Tail { first: base - base % ENTRY_TILE_WIDTH, leaves: standing.tail };
        tail.leaves.extend(pending.leaves.iter().map(|leaf| Arc::from(leaf.as_bytes())));
        let edge = self.writer.extend(standing.edge.clone(), size, &tail).await?;
        let origin = checkpoints.site_origin(self.timeline);
        let head = Checkpoint { origin, size, root: edge.frontier().root() };
        let proof = self.proof(checkpoints, &standing.edge, &head, &pending.leaves).await?;
        let note = checkpoints.sign(&head, &proof)?;
        self.writer.publish(&note).await?;
        self.writer.sweep(base, size).await?;
        let filled = usize::try_from(size - size % ENTRY_TILE_WIDTH - tail.first).unwrap_or(0);
        Ok(Standing { edge, tail: tail.leaves.split_off(filled) })
    }

    /// The proof that the new head extends what the signer signed last.
    async fn proof(
        &self,
        checkpoints: &Checkpoints,
        edge: &Edge,
        head: &Checkpoint,
        leaves: &[String],
    ) -> Result<Vec<Sha256Digest>, SiteError> {
        let lost = |error: ProofError| {
            SiteError::Sign(SignError::Inconsistent(format!("{}: {error}", head.origin)))
        };
        let base = edge.size();
        let mut extension = match checkpoints.signer().last_signed(&head.origin)? {
            // The first head, or the same again because it was signed and not published.
            None => return Ok(Vec::new()),
            Some(signed) if signed.size == head.size => return Ok(Vec::new()),
            Some(signed) if signed.size > base => {
                let origin = head.origin.clone();
                return Err(SiteError::Lost { origin, signed: signed.size, published: base });
            }
            Some(signed) if signed.size == base => Extension::new(edge.frontier(), head.size),
            // The signer's memory is older than what was published with its signature.
            Some(signed) => self.extension(checkpoints, signed.size, base, head.size).await?,
        }
        .map_err(lost)?;
        leaves.iter().for_each(|leaf| extension.push(leaf_hash(leaf.as_bytes())));
        extension.proof().map_err(lost)
    }

    /// From an older size on, over the published leaves.
    async fn extension(
        &self,
        checkpoints: &Checkpoints,
        older: u64,
        base: u64,
        newer: u64,
    ) -> Result<Result<Extension, ProofError>, SiteError> {
        let log = self.open(checkpoints.history().key()).await?;
        let mut frontier = Frontier::new();
        let mut before = log.leaves(0, older);
        while let Some(page) = before.next().await? {
            page.leaves.iter().for_each(|leaf| frontier.push(leaf_hash(leaf)));
        }
        let mut extension = Extension::new(frontier, newer);
        let mut behind = log.leaves(older, base);
        while let Some(page) = behind.next().await? {
            if let Ok(extension) = &mut extension {
                page.leaves.iter().for_each(|leaf| extension.push(leaf_hash(leaf)));
            }
        }
        Ok(extension)
    }

    async fn pending(&self) -> Result<Option<Pending>, SiteError> {
        let path = self.pending_path();
        let Some(bytes) = self.objects.get(&path).await.map_err(TileError::from)? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error| SiteError::Pending(path, error.to_string()))
    }

    async fn put_pending(&self, pending: &Pending) -> Result<(), SiteError> {
        let path = self.pending_path();
        let bytes = serde_json::to_vec(pending)
            .map_err(|error| SiteError::Pending(path.clone(), error.to_string()))?;
        Ok(self.objects.put(&path, bytes).await.map_err(TileError::from)?)
    }

    fn pending_path(&self) -> String {
        format!("{}/pending", self.folder)
    }
}

/// Leaves from an index on.
struct Tail {
    first: u64,
    leaves: Vec<Arc<[u8]>>,
}

#[async_trait]
impl LeafSource for Tail {
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Arc<[u8]>>, ReadError> {
        let start = from.checked_sub(self.first).and_then(|start| usize::try_from(start).ok());
        let behind = start.and_then(|start| self.leaves.get(start..)).unwrap_or_default();
        Ok(behind.iter().take(limit).cloned().collect())
    }
}
