//! Walks a whole store and says what is not as it must be. Writes nothing, reads no clock.

mod finding;
mod walk;

use async_trait::async_trait;

pub use finding::{Damage, Finding, VerifyReport};

use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};
use crate::ports::ReadError;

/// Events read at a time.
const PAGE: usize = 1_000;

/// A row as the store holds it: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Position.
    pub position: u64,
    /// Name of the tenant; empty if it is not known.
    pub tenant: String,
    /// Index in the tenant's log.
    pub tenant_sequence: u64,
    /// Name of the stream; empty if it is not known.
    pub stream: String,
    /// Version in the stream.
    pub version: u64,
    /// The hash beside the leaf.
    pub leaf_hash: Vec<u8>,
    /// The leaf.
    pub leaf: Vec<u8>,
}

/// The counters as the store holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawHead {
    /// Timeline.
    pub timeline: u64,
    /// Highest position.
    pub position: u64,
    /// `rt` of the last append, unix milliseconds.
    pub recorded_at: i64,
}

/// A tenant's log as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTenant {
    /// Name.
    pub name: String,
    /// Leaves.
    pub size: u64,
    /// The peaks, 32 bytes each.
    pub frontier: Vec<u8>,
}

/// A store that lets its rows be looked at.
#[async_trait]
pub trait AuditSource: Send + Sync {
    /// The counters and all tenants, as of one instant.
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError>;
    /// Rows after a position, in order, at most `limit`.
    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError>;
}

/// A root that was signed, against which the tree is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The tenant.
    pub tenant: TenantId,
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Sha256Digest,
}

/// Checks everything: leaves against hashes, canonical form, envelopes against columns, dense
/// numbers, and each tenant's tree against its frontier and against what was signed.
///
/// Events that are appended meanwhile are not looked at. Fails only if the store cannot be
/// read at all; damage is a finding.
pub async fn verify(
    source: &dyn AuditSource,
    signed: &[SignedHead],
) -> Result<VerifyReport, ReadError> {
    // The counters are read before the events: what they promise must then be there.
    let (head, tenants) = source.raw_counters().await?;
    let mut walk = walk::Walk::new(signed);
    let mut cursor = Position(0);
    loop {
        let page = match source.raw_events(cursor, PAGE).await {
            Ok(page) => page,
            Err(ReadError::Corrupt { position, detail }) => {
                walk.unreadable(cursor.max(position), detail);
                break;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = page.last() else { break };
        cursor = Position(last.position);
        for event in page.iter().filter(|event| event.position <= head.position) {
            walk.event(event);
        }
    }
    Ok(walk.finish(&head, &tenants))
}
