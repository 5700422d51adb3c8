//! What the committer needs of a database: one transaction at a time, on one thread.

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::AppendError;
use crate::time::Timestamp;
use crate::tlog::Frontier;

/// The database's own short name for a tenant or a stream.
pub(super) type Ref = i64;

/// Whether what the committer remembers of the last transaction still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Nobody else has written since.
    Unchanged,
    /// Someone may have written.
    Unknown,
}

/// The store's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) timeline: u64,
    pub(super) position: Position,
    pub(super) recorded_at: Timestamp,
}

/// One event as a row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) position: Position,
    pub(super) tenant: Ref,
    pub(super) tenant_sequence: u64,
    pub(super) stream: Ref,
    pub(super) version: u64,
    pub(super) leaf_hash: Sha256Digest,
    pub(super) leaf: Vec<u8>,
}

/// What is kept of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptKey {
    pub(super) content: Sha256Digest,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) recorded_at: Timestamp,
}

/// Why a database did not do what it was asked.
#[derive(Debug, Clone)]
pub(super) enum BackendFault {
    /// It cannot now.
    Unavailable(String),
    /// What it holds contradicts itself.
    Corrupt(String),
}

impl From<BackendFault> for AppendError {
    fn from(fault: BackendFault) -> Self {
        match fault {
            BackendFault::Unavailable(message) => Self::Unavailable(message),
            BackendFault::Corrupt(message) => Self::Corrupt(message),
        }
    }
}

/// How a commit failed.
#[derive(Debug)]
pub(super) enum CommitFault {
    /// Nothing was kept.
    NotCommitted(BackendFault),
    /// Nobody knows.
    AnswerLost(String),
}

type Answer<T> = Result<T, BackendFault>;

/// A database, as the committer sees it. All but `begin` and `reopen` are called within a
/// transaction that holds the write lock; reads see the writes before them.
pub(super) trait Backend: Send {
    /// Opens a transaction and takes the write lock.
    fn begin(&mut self) -> Answer<Freshness>;
    fn head(&mut self) -> Answer<Head>;
    fn tenant(&mut self, name: &TenantId) -> Answer<Option<(Ref, Frontier)>>;
    fn create_tenant(&mut self, name: &TenantId) -> Answer<Ref>;
    /// The stream and the number of its events.
    fn stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Option<(Ref, u64)>>;
    fn create_stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Ref>;
    fn key(&mut self, tenant: Ref, key: &str) -> Answer<Option<KeptKey>>;
    fn keep_key(&mut self, tenant: Ref, key: &str, kept: &KeptKey) -> Answer<()>;
    fn insert(&mut self, row: Row) -> Answer<()>;
    fn set_tenant(&mut self, tenant: Ref, frontier: &Frontier) -> Answer<()>;
    fn set_head(&mut self, head: &Head) -> Answer<()>;
    fn commit(&mut self) -> Result<(), CommitFault>;
    /// Gives the transaction up. Cannot fail: a database that cannot roll back is reopened
    /// by the next `begin`.
    fn rollback(&mut self);
    /// Connects anew after an answer was lost.
    fn reopen(&mut self) -> Answer<()>;
    /// The hash of the leaf that stands at a position. Called outside transactions.
    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>>;
}
