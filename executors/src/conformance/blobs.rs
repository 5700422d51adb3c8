//! Blobs in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::{BlobError, Blobs};

/// Keeps blobs in memory.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Sha256Digest, Vec<u8>>>);

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError> {
        let hash = Sha256Digest::of(bytes);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, bytes.to_vec());
        Ok(hash)
    }

    async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
        let blobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.get(hash).cloned().ok_or(BlobError::Missing(*hash))
    }

    async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(hash))
    }
}
