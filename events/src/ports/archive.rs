//! What has left the store for tiles, and how it is found again.

use async_trait::async_trait;

use super::ReadError;
use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::time::Timestamp;

/// Positions that follow each other, whose leaves are kept in tiles, with what finds them there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedRange {
    /// The first position.
    pub first: Position,
    /// The position behind the last.
    pub end: Position,
    /// Path of the index object.
    pub index: String,
    /// SHA-256 of the index object.
    pub index_hash: Sha256Digest,
    /// SHA-256 over the hashes of all leaves, one behind the other.
    pub leaves_hash: Sha256Digest,
}

/// The part of a stream that stands in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedStream {
    /// Its tenant.
    pub tenant: TenantId,
    /// The stream.
    pub stream: StreamName,
    /// Version of its first event there.
    pub first_version: u64,
    /// How many of its events stand there.
    pub events: u64,
}

/// The part of a tenant's log that stands in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedLog {
    /// The tenant.
    pub tenant: TenantId,
    /// Its first leaf there.
    pub first_leaf: u64,
    /// How many of its leaves stand there.
    pub leaves: u64,
}

/// A range that is to be kept, with everything by which it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRange {
    /// The range.
    pub range: ArchivedRange,
    /// Streams.
    pub streams: Vec<ArchivedStream>,
    /// Logs.
    pub logs: Vec<ArchivedLog>,
}

/// Positions that the store can only let go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The first position.
    pub first: Position,
    /// The position behind the last.
    pub end: Position,
}

/// A store whose oldest events can go elsewhere. They go in whole segments, oldest first, and
/// only after the store itself has found what is kept of them to be what it has.
#[async_trait]
pub trait Archive: Send + Sync {
    /// The range that has gone and holds a position.
    async fn range_of(&self, position: Position) -> Result<Option<ArchivedRange>, ReadError>;
    /// The range that has gone and holds this version of a stream.
    async fn range_of_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        version: u64,
    ) -> Result<Option<ArchivedRange>, ReadError>;
    /// The range that has gone and holds this leaf of a tenant's log.
    async fn range_of_leaf(
        &self,
        tenant: &TenantId,
        leaf: u64,
    ) -> Result<Option<ArchivedRange>, ReadError>;
    /// Ranges that are kept, gone or not, from a position on, in order.
    async fn ranges(&self, from: Position, limit: usize) -> Result<Vec<ArchivedRange>, ReadError>;
    /// The position below which everything has gone; 1 where nothing has.
    async fn gone_until(&self) -> Result<Position, ReadError>;
    /// The oldest segment that is still here, if the head is behind it.
    async fn oldest_segment(&self) -> Result<Option<Segment>, ReadError>;
    /// A stream with events in the segment that ends some day and that nothing has closed.
    async fn open_stream(
        &self,
        segment: Segment,
    ) -> Result<Option<(TenantId, StreamName)>, ReadError>;
    /// Keeps a range, if the store has exactly the leaves that it names. What is kept of these
    /// positions already stays as it is.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where the leaves have other hashes; then nothing is kept.
    async fn keep(&self, range: &NewRange) -> Result<(), ReadError>;
    /// Lets the oldest segment go, in one step: it must be covered by ranges that are kept, the
    /// head must be behind it, and no stream in it may be open.
    ///
    /// # Errors
    /// Where it does not; then everything stays.
    async fn let_go(&self, segment: Segment) -> Result<(), ReadError>;
}

/// What a store keeps beside events and can do without after a while.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Forgets idempotency keys of appends that were recorded before an instant, at most so
    /// many; says how many. A request that comes again later is then a new one.
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, ReadError>;
}
