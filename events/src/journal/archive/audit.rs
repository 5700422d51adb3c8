//! The raw rows of a store together with what has left it, for `verify` and comparisons.

use std::sync::Arc;

use async_trait::async_trait;

use super::leaves::ArchivedLeaves;
use crate::ids::Position;
use crate::journal::verify::{AuditSource, RawEvent, RawHead, RawTenant};
use crate::ports::{Archive, ReadError, Recorded};
use crate::tlog::leaf_hash;

/// Rows that have gone are shown as the archive has them; their hashes were compared with those
/// that the store let go.
pub struct ArchivedAudit {
    inner: Arc<dyn AuditSource>,
    archive: Arc<dyn Archive>,
    leaves: Arc<ArchivedLeaves>,
}

impl ArchivedAudit {
    /// The rows of a store with its archive.
    pub fn new(
        inner: Arc<dyn AuditSource>,
        archive: Arc<dyn Archive>,
        leaves: Arc<ArchivedLeaves>,
    ) -> Self {
        Self { inner, archive, leaves }
    }
}

fn raw(event: Recorded) -> RawEvent {
    RawEvent {
        position: event.position.0,
        tenant: event.tenant.to_string(),
        tenant_sequence: event.tenant_sequence,
        stream: event.stream.to_string(),
        version: event.version,
        leaf_hash: leaf_hash(&event.leaf).0.to_vec(),
        leaf: event.leaf.to_vec(),
    }
}

#[async_trait]
impl AuditSource for ArchivedAudit {
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError> {
        self.inner.raw_counters().await
    }

    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let mut rows: Vec<RawEvent> = Vec::new();
        while rows.len() < limit {
            let last = rows.last().map_or(after, |row| Position(row.position));
            let (from, want) = (Position(last.0.saturating_add(1)), limit - rows.len());
            let page = self.inner.raw_events(last, want).await?;
            let follows = page.first().is_some_and(|row| row.position == from.0);
            let range = if follows { None } else { self.archive.range_of(from).await? };
            let Some(range) = range else {
                // A gap that the archive does not fill is for the auditor to find.
                rows.extend(page);
                break;
            };
            let events = self.leaves.from_position(&range, from, want).await?;
            rows.extend(events.into_iter().map(raw));
        }
        Ok(rows)
    }
}
