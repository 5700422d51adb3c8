//! The record's store. See `record.md`: dense positions in commit order, group commit,
//! idempotency keys, expected versions, and an honest answer when a commit's fate is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Fence;
use crate::digest::Sha256Digest;
use crate::ids::{EventId, Position, StreamName, TenantId};
use crate::time::Timestamp;

/// Who did it. `kind` is `user`, `token`, `system`, `executor`, `schedule` or `hook`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The kind of principal.
    pub kind: String,
    /// Who.
    pub id: String,
    /// For whom, where a program acts in a person's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on_behalf_of: Option<String>,
    /// Id of the token that was shown; never the token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

impl Actor {
    /// A principal that showed no token.
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_string(), id: id.to_string(), on_behalf_of: None, token: None }
    }
}

/// An event that is not recorded yet. The store gives it its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUIDv7, minted by the shell.
    pub id: EventId,
    /// Type, such as `attempt.exited`.
    pub kind: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Arc<Actor>,
    /// What caused it: an event of the same append or an earlier one.
    pub causation: Option<EventId>,
    /// The run it belongs to, as text.
    pub correlation: Option<Arc<str>>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// Public data: the canonical JSON object, already rendered (see `canonical`).
    pub data: Vec<u8>,
    /// A larger public part kept as a blob, which must be kept before the append.
    pub blob: Option<BlobRef>,
}

/// `b` of the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// SHA-256.
    pub h: Sha256Digest,
    /// Media type.
    pub mt: String,
    /// Bytes.
    pub n: u64,
}

/// What a stream's version must be for an append to be accepted. Versions are dense from 0;
/// an empty stream has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The stream has exactly this many events.
    Exact(u64),
    /// The stream has no event.
    New,
    /// Whatever it has.
    Any,
}

/// Events for one stream.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamName,
    /// Its expected version.
    pub expected: Expected,
    /// What to add, in order. May be empty: then only the version is checked.
    pub events: Vec<NewEvent>,
}

/// One atomic append across streams of one tenant.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// Idempotency key: the same key with the same content (types and data, in order) gives
    /// the same positions again; with other content it is [`AppendError::KeyReused`].
    pub key: Option<String>,
    /// The streams, each at most once.
    pub streams: Vec<StreamAppend>,
    /// The lease under which the caller acts; checked in the transaction of the append.
    pub fence: Option<Fence>,
}

/// Where the events of an append stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event.
    pub first: Position,
    /// Position of the last event.
    pub last: Position,
    /// Recording time of the events.
    pub recorded_at: Timestamp,
    /// The same key had been appended before; nothing was added now.
    pub duplicate: bool,
}

/// Why nothing was appended, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A stream has another version than expected.
    #[error("stream {stream} has {actual} events, {expected:?} was expected")]
    Conflict {
        /// The stream.
        stream: StreamName,
        /// What was expected.
        expected: Expected,
        /// Events that it has.
        actual: u64,
    },
    /// The key was used for another request.
    #[error("the idempotency key `{0}` was used for another request")]
    KeyReused(String),
    /// The request itself is wrong (a leaf over 60 KiB, a stream twice, no events).
    #[error("the append is not acceptable: {0}")]
    Invalid(String),
    /// Nothing was appended; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The queue is full; nothing was appended.
    #[error("the store's queue is full; try again in {retry_after_ms} ms")]
    Busy {
        /// A hint.
        retry_after_ms: u64,
    },
    /// The commit was sent and no answer came. Ask again with the same key.
    #[error("the outcome of the append is unknown: {0}")]
    Unknown(String),
    /// The lease under which the caller acts has gone to someone else; it must stop acting.
    #[error("the lease `{lease}` is at epoch {current}, the append came from epoch {held}")]
    Fenced {
        /// The lease.
        lease: Arc<str>,
        /// The epoch of the append.
        held: u64,
        /// The epoch of the lease now; 0 if nobody ever held it.
        current: u64,
    },
    /// The record and its copy or its signed heads do not agree, so nothing may be added until
    /// a person has looked.
    #[error("the record is halted: {0}")]
    Halted(String),
    /// The record is not what it must be.
    #[error("the record is damaged: {0}")]
    Corrupt(String),
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The record is not what it must be.
    #[error("the record is damaged at position {position}: {detail}")]
    Corrupt {
        /// Where.
        position: Position,
        /// What.
        detail: String,
    },
}

/// A recorded event: its leaf bytes and, beside them, what finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Position.
    pub position: Position,
    /// The tenant.
    pub tenant: TenantId,
    /// Index in the tenant's log, from 0.
    pub tenant_sequence: u64,
    /// The stream.
    pub stream: StreamName,
    /// Version within the stream, from 0.
    pub version: u64,
    /// The canonical bytes.
    pub leaf: Arc<[u8]>,
}

/// Size and frontier of a tenant's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Sha256Digest,
}

/// Keeps events. See the conformance suite for the law in full.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends atomically and durably.
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError>;
    /// Events of a stream from a version on, in order, at most `limit`.
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError>;
    /// Events after a position in the order of their positions, at most `limit`.
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError>;
    /// What this handle itself made durable a moment ago, directly behind a position and without a
    /// gap, as far as it is still in memory; never waits and never asks. Nothing says nothing:
    /// what there is must then be read.
    fn recent(&self, _cursor: Position) -> Vec<Recorded> {
        Vec::new()
    }
    /// What a stream has from a version on, all of it at least up to the position `reached`, as far
    /// as this handle itself made it durable a moment ago and still has it in memory; never waits
    /// and never asks. Nothing says nothing: what there is must then be read.
    fn recent_of(
        &self,
        _tenant: &TenantId,
        _stream: &StreamName,
        _from_version: u64,
        _reached: Position,
    ) -> Vec<Recorded> {
        Vec::new()
    }
    /// Events of a tenant's log from an index on, at most `limit`.
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError>;
    /// Names of a tenant's streams that start with the prefix, newest first: from the newest on,
    /// or those that are older than `before`. Behind a stream that the tenant does not have there
    /// is nothing.
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError>;
    /// Streams of all tenants that start with the prefix and that no event has closed
    /// ([`closes_stream`](crate::envelope::closes_stream)): by their kind (what stands before the
    /// first slash), and within it oldest first, behind `after`, which may be closed meanwhile.
    /// Behind a stream that is not there, there is nothing. Found by an index, however many are
    /// closed. While a program that does not keep this yet also writes, a stream that it closed
    /// may be listed.
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError>;
    /// The highest position.
    async fn head(&self) -> Result<Position, ReadError>;
    /// Size and root of a tenant's log, from the frontier kept with the appends.
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError>;
    /// Heads of all tenants' logs, in the order of their names.
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError>;
    /// The timeline that is written now, from 1.
    async fn timeline(&self) -> Result<u64, ReadError>;
    /// Goes over to the timeline behind `current`, because the store was restored from an older
    /// copy or forked: positions and logs go on from what is there, under the new number, and
    /// nothing of the old timeline is taken for their continuation. Refused
    /// with [`AppendError::Invalid`] where `current` is not the timeline that is written.
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError>;
    /// Returns when the head is beyond the position or after the timeout, and says the head.
    /// Also notices what other processes appended.
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: std::time::Duration,
    ) -> Result<Position, ReadError>;
}
