//! What the committer needs of a database: one batch at a time, on one thread.
//!
//! A batch costs two conversations: [`Backend::begin`] takes the write lock and answers
//! everything that the batch touches, [`Backend::write`] writes what was decided and ends the
//! transaction. Between them the database is not asked. A backend that can write under a
//! condition does with one ([`Backend::write_guarded`]).

use std::sync::Arc;

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::AppendError;
use crate::time::Timestamp;
use crate::tlog::Frontier;

/// The short name of a tenant or a stream, dense from 1. The committer gives them.
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
    /// The newest tenant's short name; 0 if there is none.
    pub(super) tenants: Ref,
    /// The newest stream's short name; 0 if there is none.
    pub(super) streams: Ref,
    /// Changes when what was decided before must not be written any more. Only where writes
    /// are guarded.
    pub(super) generation: i64,
}

/// What a batch touches. `known`: the committer remembers it, so that it need not be read
/// where nobody else has written.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The head that the committer remembers.
    pub(super) head: Option<Head>,
    pub(super) tenants: Vec<WantedTenant<'a>>,
    pub(super) streams: Vec<WantedStream<'a>>,
    pub(super) keys: Vec<WantedKey<'a>>,
    pub(super) leases: Vec<WantedLease<'a>>,
}

#[derive(Debug)]
pub(super) struct WantedTenant<'a> {
    pub(super) name: &'a TenantId,
    pub(super) known: bool,
}

#[derive(Debug)]
pub(super) struct WantedStream<'a> {
    /// Index among the tenants that are wanted.
    pub(super) tenant: usize,
    pub(super) name: &'a StreamName,
    /// Its short name and size, if the committer remembers it.
    pub(super) known: bool,
}

#[derive(Debug)]
pub(super) struct WantedKey<'a> {
    /// Index among the tenants that are wanted.
    pub(super) tenant: usize,
    pub(super) text: &'a str,
}

#[derive(Debug)]
pub(super) struct WantedLease<'a> {
    pub(super) name: &'a str,
    pub(super) known: bool,
}

/// What became of something that was wanted.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// What the committer remembers holds; it was not read.
    AsRemembered,
    Absent,
    Stored(T),
}

impl<T> From<Option<T>> for Found<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Absent, Self::Stored)
    }
}

/// What was wanted, in the same order, as of one instant under the write lock.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Where it is unknown, nothing is `AsRemembered`.
    pub(super) freshness: Freshness,
    pub(super) head: Head,
    pub(super) tenants: Vec<Found<StoredTenant>>,
    pub(super) streams: Vec<Found<StoredStream>>,
    pub(super) keys: Vec<Option<KeptKey>>,
    /// Epochs; 0 where nobody ever held the lease.
    pub(super) leases: Vec<Found<u64>>,
}

#[derive(Debug)]
pub(super) struct StoredTenant {
    pub(super) reference: Ref,
    pub(super) log: Frontier,
}

#[derive(Debug)]
pub(super) struct StoredStream {
    pub(super) reference: Ref,
    /// The number of its events.
    pub(super) size: u64,
}

/// What is kept of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptKey {
    pub(super) content: Sha256Digest,
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) recorded_at: Timestamp,
}

/// What a batch has decided.
#[derive(Debug)]
pub(super) struct Write<'a> {
    /// The head that it was decided against.
    pub(super) before: Head,
    pub(super) head: Head,
    /// Events in the order of their positions.
    pub(super) rows: &'a [Row],
    /// Their leaves, in the same order.
    pub(super) leaves: Vec<&'a [u8]>,
    /// Tenants that are new or whose log grew.
    pub(super) tenants: Vec<TenantWrite<'a>>,
    /// Streams that are new or grew.
    pub(super) streams: Vec<StreamWrite<'a>>,
    pub(super) keys: Vec<KeyWrite<'a>>,
}

/// One event but for its leaf.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) position: Position,
    pub(super) tenant: Ref,
    pub(super) tenant_sequence: u64,
    pub(super) stream: Ref,
    pub(super) version: u64,
    pub(super) leaf_hash: Sha256Digest,
}

#[derive(Debug)]
pub(super) struct TenantWrite<'a> {
    pub(super) reference: Ref,
    pub(super) name: &'a TenantId,
    pub(super) created: bool,
    pub(super) log: &'a Frontier,
}

#[derive(Debug)]
pub(super) struct StreamWrite<'a> {
    pub(super) reference: Ref,
    pub(super) tenant: Ref,
    pub(super) name: &'a StreamName,
    pub(super) created: bool,
    /// An event of this batch closes it. What was closed stays so.
    pub(super) closes: bool,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only Postgres keeps it"))]
    pub(super) size: u64,
    /// Where its first event of this batch stands.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only Postgres keeps it"))]
    pub(super) first: Position,
    /// Where its last event stands.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only Postgres keeps it"))]
    pub(super) last: Position,
}

#[derive(Debug)]
pub(super) struct KeyWrite<'a> {
    pub(super) tenant: Ref,
    pub(super) text: &'a Arc<str>,
    pub(super) kept: KeptKey,
}

/// Why a database did not do what it was asked.
#[derive(Debug, Clone)]
pub(super) enum BackendFault {
    /// It cannot now.
    Unavailable(String),
    /// It cannot be asked: there is no connection to it, and what was to be written was not
    /// sent. Whoever comes next would wait as long to hear the same.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "others are files"))]
    Unreachable(String),
    /// What it holds contradicts itself.
    Corrupt(String),
}

impl From<BackendFault> for AppendError {
    fn from(fault: BackendFault) -> Self {
        match fault {
            BackendFault::Unavailable(message) | BackendFault::Unreachable(message) => {
                Self::Unavailable(message)
            }
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

impl From<BackendFault> for CommitFault {
    fn from(fault: BackendFault) -> Self {
        Self::NotCommitted(fault)
    }
}

/// How a transaction shall end after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Commit,
    /// A test wants to see that nothing of it stays.
    TakeBack,
}

type Answer<T> = Result<T, BackendFault>;

/// A database, as the committer sees it.
pub(super) trait Backend: Send {
    /// Whether [`Backend::write_guarded`] does anything.
    const GUARDED: bool = false;

    /// Opens a transaction, takes the write lock and reads.
    fn begin(&mut self, wanted: &Wanted<'_>) -> Answer<Snapshot>;
    /// Writes in the open transaction, and ends it.
    fn write(&mut self, write: &Write<'_>, ending: Ending) -> Result<(), CommitFault>;
    /// Writes without a transaction that was begun, if the head still is what the write was
    /// decided against and nothing that it makes is there already. `false`: nothing was
    /// written, because what was remembered or guessed does not hold.
    fn write_guarded(&mut self, _write: &Write<'_>) -> Result<bool, CommitFault> {
        Ok(false)
    }
    /// Gives the transaction up. Cannot fail: a database that cannot roll back is reopened
    /// by the next `begin`.
    fn rollback(&mut self);
    /// Connects anew after an answer was lost. When it returns, what the old connection was
    /// asked to write is either written or never will be.
    fn reopen(&mut self) -> Answer<()>;
    /// The hash of the leaf that stands at a position. Called outside transactions.
    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>>;
}
