//! What can be compared: anything that has the leaves.

use std::sync::Arc;

use async_trait::async_trait;

use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};
use crate::ports::{CopyError, ReadError};

/// Why a side could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be read: {reason}")]
pub struct SourceError {
    /// Which side.
    pub name: String,
    /// Why.
    pub reason: String,
    /// What is kept there is not what it must be; otherwise it cannot be reached now.
    pub is_damage: bool,
}

impl SourceError {
    pub(super) fn store(name: &str, error: &ReadError) -> Self {
        let is_damage = matches!(error, ReadError::Corrupt { .. });
        Self { name: name.to_string(), reason: error.to_string(), is_damage }
    }

    pub(super) fn copy(name: &str, error: &CopyError) -> Self {
        let is_damage = matches!(error, CopyError::Unusable(_));
        Self { name: name.to_string(), reason: error.to_string(), is_damage }
    }
}

/// A leaf with the number under which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLeaf {
    /// The position under which it is kept, where it is kept by position.
    pub position: Option<Position>,
    /// The hash that is kept beside it, where there is one.
    pub stated_hash: Option<Sha256Digest>,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// A reading of all leaves: each log in its order, the logs among each other in any.
#[async_trait]
pub trait LeafReading: Send {
    /// The next leaves, at most `limit`; empty at the end.
    async fn next(&mut self, limit: usize) -> Result<Vec<KeptLeaf>, SourceError>;
}

/// A keeping of the record.
#[async_trait]
pub trait LeafSource: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &str;
    /// Begins to read everything that is there now.
    async fn read_all(&self) -> Result<Box<dyn LeafReading>, SourceError>;
    /// Leaves of one log, at most `limit`, from the one that was seen at the position `near`
    /// and is the leaf `from` of its log: a source finds it by the one or the other.
    async fn leaves(
        &self,
        tenant: &TenantId,
        near: Position,
        from: u64,
        limit: usize,
    ) -> Result<Vec<KeptLeaf>, SourceError>;
}
