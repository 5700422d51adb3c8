//! The cache index as files: one for each key, replaced whole.

use std::path::PathBuf;

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::scratch::unique;
use dagbook_events::run::event::ReusedResult;
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::ports::CacheIndex;

/// Entries in one folder.
#[derive(Debug, Clone)]
pub struct CacheFiles {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    at: Timestamp,
    result: ReusedResult,
}

impl CacheFiles {
    /// Entries in the folder, which is made when something is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, key: &Sha256Digest) -> PathBuf {
        self.folder.join(format!("{}.json", key.to_hex()))
    }
}

#[async_trait]
impl CacheIndex for CacheFiles {
    async fn get(&self, key: &Sha256Digest) -> Option<(Timestamp, ReusedResult)> {
        let bytes = tokio::fs::read(self.path(key)).await.ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        Some((entry.at, entry.result))
    }

    async fn put(&self, key: &Sha256Digest, at: Timestamp, result: &ReusedResult) {
        let entry = Entry { at, result: result.clone() };
        let written = async {
            tokio::fs::create_dir_all(&self.folder).await?;
            let path = self.path(key);
            let scratch = path.with_extension(format!("{}.tmp", unique()));
            tokio::fs::write(&scratch, serde_json::to_vec(&entry)?).await?;
            tokio::fs::rename(&scratch, &path).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, "a result could not be kept in the cache index");
        }
    }
}
