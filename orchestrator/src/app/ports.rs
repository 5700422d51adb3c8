//! What use cases ask of the world beside the ports of the record.

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::run::event::ReusedResult;
use dagbook_events::time::Timestamp;

/// Finds earlier results by key. Disposable: all that it holds can be made again from the
/// record, and an entry that is missing only costs time.
#[async_trait]
pub trait CacheIndex: Send + Sync {
    /// The latest result under the key.
    async fn get(&self, key: &Sha256Digest) -> Option<(Timestamp, ReusedResult)>;
    /// Keeps a result.
    async fn put(&self, key: &Sha256Digest, at: Timestamp, result: &ReusedResult);
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

#[async_trait]
impl CacheIndex for NoCache {
    async fn get(&self, _key: &Sha256Digest) -> Option<(Timestamp, ReusedResult)> {
        None
    }

    async fn put(&self, _key: &Sha256Digest, _at: Timestamp, _result: &ReusedResult) {}
}

/// The numbers behind a wait for a place, as admission saw them when it last decided.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WaitFigures {
    /// A word for programs: `pool_full`, `tenant_attempts`, `tenant_runs`, `tenant_cpu`,
    /// `tenant_memory`, `tenant_gpu`, `fair_share`, `priority`, `held_for_larger`.
    pub code: String,
    /// A sentence for people, with the numbers in it.
    pub text: String,
    /// The numbers, by name.
    pub figures: std::collections::BTreeMap<String, u64>,
    /// When it was decided, unix milliseconds.
    pub decided_at: Timestamp,
}
