//! The raw rows, for `verify`.

use async_trait::async_trait;

use super::MemoryStore;
use crate::ids::Position;
use crate::journal::verify::{AuditSource, RawEvent, RawHead, RawTenant};
use crate::ports::ReadError;

#[async_trait]
impl AuditSource for MemoryStore {
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError> {
        Ok(self.read(|tables| {
            let head = RawHead {
                timeline: tables.head.timeline,
                position: tables.head.position.0,
                recorded_at: tables.head.recorded_at.0,
            };
            let raw = tables.tenants.iter().map(|tenant| RawTenant {
                name: tenant.name.to_string(),
                size: tenant.frontier.size(),
                frontier: tenant.frontier.to_bytes(),
            });
            (head, raw.collect())
        }))
    }

    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        Ok(self.read(|tables| {
            let start = usize::try_from(after.0).unwrap_or(usize::MAX);
            let events = tables.events.iter().enumerate().skip(start).take(limit);
            let raw = events.map(|(at, event)| RawEvent {
                position: at as u64 + 1,
                tenant: tables.tenants[event.tenant].name.to_string(),
                tenant_sequence: event.tenant_sequence,
                stream: tables.streams[event.stream].name.to_string(),
                version: event.version,
                leaf_hash: event.leaf_hash.0.to_vec(),
                leaf: event.leaf.to_vec(),
            });
            raw.collect()
        }))
    }
}
