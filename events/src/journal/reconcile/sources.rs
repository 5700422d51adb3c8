//! The store and the copy as sides of a comparison.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::source::{KeptLeaf, LeafReading, LeafSource, SourceError};
use crate::envelope::Envelope;
use crate::ids::{Position, TenantId};
use crate::journal::verify::{AuditSource, RawEvent};
use crate::ports::{CopiedEvent, CopyScan, RecordCopy};

/// How long a copy may be silent in the middle of what it said it has.
const SILENCE: Duration = Duration::from_secs(30);

/// Leaves read at a time when some of one log are wanted.
const PAGE: usize = 1_000;

/// A store, as an auditor reads it: its rows, whatever they hold.
pub struct StoreSource {
    name: String,
    store: Arc<dyn AuditSource>,
}

impl StoreSource {
    /// A store under a name for reports.
    pub fn new(name: &str, store: Arc<dyn AuditSource>) -> Self {
        Self { name: name.to_string(), store }
    }
}

struct StoreReading {
    name: String,
    store: Arc<dyn AuditSource>,
    cursor: Position,
    end: u64,
}

#[async_trait]
impl LeafReading for StoreReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<KeptLeaf>, SourceError> {
        let rows = self.store.raw_events(self.cursor, limit).await;
        let rows = rows.map_err(|error| SourceError::store(&self.name, &error))?;
        if let Some(last) = rows.last() {
            self.cursor = Position(last.position);
        }
        Ok(rows.into_iter().filter(|row| row.position <= self.end).map(kept).collect())
    }
}

fn kept(row: RawEvent) -> KeptLeaf {
    KeptLeaf {
        position: Some(Position(row.position)),
        stated_hash: row.leaf_hash.try_into().ok().map(crate::digest::Sha256Digest),
        bytes: Arc::from(row.leaf),
    }
}

#[async_trait]
impl LeafSource for StoreSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read_all(&self) -> Result<Box<dyn LeafReading>, SourceError> {
        let counters = self.store.raw_counters().await;
        let (head, _) = counters.map_err(|error| SourceError::store(&self.name, &error))?;
        let (name, store) = (self.name.clone(), Arc::clone(&self.store));
        Ok(Box::new(StoreReading { name, store, cursor: Position(0), end: head.position }))
    }

    async fn leaves(
        &self,
        tenant: &TenantId,
        near: Position,
        _from: u64,
        limit: usize,
    ) -> Result<Vec<KeptLeaf>, SourceError> {
        let (name, store) = (self.name.clone(), Arc::clone(&self.store));
        let cursor = Position(near.0.saturating_sub(1));
        let reading = StoreReading { name, store, cursor, end: u64::MAX };
        of_log(Box::new(reading), tenant, limit).await
    }
}

/// The copy of one timeline.
pub struct CopySource {
    name: String,
    copy: Arc<dyn RecordCopy>,
    timeline: u64,
}

impl CopySource {
    /// A copy under a name for reports.
    pub fn new(name: &str, copy: Arc<dyn RecordCopy>, timeline: u64) -> Self {
        Self { name: name.to_string(), copy, timeline }
    }

    async fn reading(
        &self,
        after: Position,
        tenant: Option<&TenantId>,
        end: Position,
    ) -> Result<CopyReading, SourceError> {
        let scan = self.copy.scan(self.timeline, after, tenant).await;
        let scan = scan.map_err(|error| SourceError::copy(&self.name, &error))?;
        Ok(CopyReading { name: self.name.clone(), scan, cursor: after, end })
    }

    async fn end(&self) -> Result<Position, SourceError> {
        let last = self.copy.last(self.timeline).await;
        last.map_err(|error| SourceError::copy(&self.name, &error))
    }
}

struct CopyReading {
    name: String,
    scan: Box<dyn CopyScan>,
    cursor: Position,
    end: Position,
}

#[async_trait]
impl LeafReading for CopyReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<KeptLeaf>, SourceError> {
        if self.cursor >= self.end {
            return Ok(Vec::new());
        }
        let events = self.scan.next(limit, SILENCE).await;
        let events = events.map_err(|error| SourceError::copy(&self.name, &error))?;
        let Some(last) = events.last() else {
            let reason = format!("nothing came behind position {}", self.cursor);
            return Err(SourceError { name: self.name.clone(), reason, is_damage: false });
        };
        self.cursor = last.position;
        Ok(events.into_iter().filter(|event| event.position <= self.end).map(copied).collect())
    }
}

fn copied(event: CopiedEvent) -> KeptLeaf {
    let CopiedEvent { position, leaf, stated_hash } = event;
    KeptLeaf { position: Some(position), stated_hash, bytes: leaf }
}

#[async_trait]
impl LeafSource for CopySource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read_all(&self) -> Result<Box<dyn LeafReading>, SourceError> {
        let end = self.end().await?;
        Ok(Box::new(self.reading(Position(0), None, end).await?))
    }

    async fn leaves(
        &self,
        tenant: &TenantId,
        near: Position,
        _from: u64,
        limit: usize,
    ) -> Result<Vec<KeptLeaf>, SourceError> {
        let (end, after) = (self.end().await?, Position(near.0.saturating_sub(1)));
        // Not by the tenant's subject: a message that was changed may stand under another.
        of_log(Box::new(self.reading(after, None, end).await?), tenant, limit).await
    }
}

/// Picks one log's leaves out of a reading that begins at the first of them. A leaf that cannot be read as an envelope belongs
/// to no log, here as in the summary.
async fn of_log(
    mut reading: Box<dyn LeafReading>,
    tenant: &TenantId,
    limit: usize,
) -> Result<Vec<KeptLeaf>, SourceError> {
    let mut found = Vec::new();
    while found.len() < limit {
        let page = reading.next(PAGE).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().filter(|leaf| belongs(leaf, tenant)));
    }
    found.truncate(limit);
    Ok(found)
}

fn belongs(leaf: &KeptLeaf, tenant: &TenantId) -> bool {
    Envelope::parse(&leaf.bytes).is_ok_and(|envelope| envelope.tenant == *tenant)
}
