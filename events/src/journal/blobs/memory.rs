//! Blobs in memory, for tests and simulations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::digest::Sha256Digest;
use crate::ports::{BlobError, Blobs};

/// Keeps blobs in memory.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Sha256Digest, Arc<[u8]>>>);

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError> {
        let hash = Sha256Digest::of(bytes);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(hash).or_insert_with(|| Arc::from(bytes));
        Ok(hash)
    }

    async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(hash).map(|bytes| bytes.to_vec()).ok_or(BlobError::Missing(*hash))
    }

    async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(hash))
    }
}
