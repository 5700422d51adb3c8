//! Content by hash.

use async_trait::async_trait;

use crate::digest::Sha256Digest;

/// Why a blob could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("no blob with hash {0}")]
    Missing(Sha256Digest),
    /// What is there has another hash.
    #[error("the blob {0} is damaged: its content has another hash")]
    Damaged(Sha256Digest),
    /// The store cannot be used now.
    #[error("the blob store is unavailable: {0}")]
    Unavailable(String),
}

/// Keeps bytes under their SHA-256. Keeping the same bytes twice is a no-op.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Keeps the bytes durably and returns their hash.
    async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError>;
    /// Returns the bytes, having checked their hash.
    async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError>;
    /// Whether they are kept.
    async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError>;
}
