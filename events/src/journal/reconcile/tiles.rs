//! Published tiles as a side of a comparison: every leaf leads to a head that the site signed.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;

use super::source::{KeptLeaf, LeafReading, LeafSource, SourceError};
use crate::ids::{Position, TenantId};
use crate::journal::tiles::{TileError, TileLog, tenant_folder};
use crate::ports::Objects;
use crate::tlog::VerifierKey;

/// Tiles of one timeline.
pub struct TileSource {
    name: String,
    objects: Arc<dyn Objects>,
    key: VerifierKey,
    timeline: u64,
    only: Option<TenantId>,
}

impl TileSource {
    /// Tiles under a name for reports; `key` is that of the site, which signed their heads.
    pub fn new(name: &str, objects: Arc<dyn Objects>, key: VerifierKey, timeline: u64) -> Self {
        Self { name: name.to_string(), objects, key, timeline, only: None }
    }

    /// The same, of one tenant's log alone.
    pub fn of_tenant(mut self, tenant: TenantId) -> Self {
        self.only = Some(tenant);
        self
    }

    /// The newest timeline of which anything was published; 1 where there is nothing.
    pub async fn newest_timeline(objects: &dyn Objects) -> Result<u64, TileError> {
        let paths = objects.list("t").await?;
        let timelines = paths.iter().filter_map(|path| Some(head_of(path)?.1));
        Ok(timelines.max().unwrap_or(1))
    }

    fn failed(&self, error: &TileError) -> SourceError {
        SourceError {
            name: self.name.clone(),
            reason: error.to_string(),
            is_damage: matches!(error, TileError::Damaged { .. } | TileError::Missing(_)),
        }
    }

    async fn tenants(&self) -> Result<VecDeque<TenantId>, SourceError> {
        if let Some(only) = &self.only {
            return Ok([only.clone()].into());
        }
        let paths = self.objects.list("t").await.map_err(|e| self.failed(&e.into()))?;
        let heads = paths.iter().filter_map(|path| head_of(path));
        let ours = heads.filter(|(_, timeline)| *timeline == self.timeline);
        Ok(ours.map(|(tenant, _)| tenant).collect())
    }

    async fn open(&self, tenant: &TenantId) -> Result<Option<TileLog>, SourceError> {
        let folder = tenant_folder(tenant, self.timeline);
        match TileLog::open(Arc::clone(&self.objects), &folder, &self.key).await {
            Ok(log) => Ok(Some(log)),
            Err(TileError::Unpublished(_)) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            objects: Arc::clone(&self.objects),
            key: self.key.clone(),
            timeline: self.timeline,
            only: self.only.clone(),
        }
    }
}

/// The tenant and the timeline whose published head stands at a path.
fn head_of(path: &str) -> Option<(TenantId, u64)> {
    let folder = path.strip_suffix("/checkpoint")?;
    let (tenant, timeline) = folder.strip_prefix("t/")?.split_once('/')?;
    let (tenant, timeline) = (TenantId::new(tenant).ok()?, timeline.parse().ok()?);
    (tenant_folder(&tenant, timeline) == folder).then_some((tenant, timeline))
}

struct TileReading {
    source: TileSource,
    tenants: VecDeque<TenantId>,
    log: Option<(TileLog, u64)>,
}

#[async_trait]
impl LeafReading for TileReading {
    async fn next(&mut self, limit: usize) -> Result<Vec<KeptLeaf>, SourceError> {
        loop {
            if let Some((log, at)) = &mut self.log {
                let page = page(log, *at, limit).await.map_err(|e| self.source.failed(&e))?;
                if !page.is_empty() {
                    *at += page.len() as u64;
                    return Ok(page);
                }
                self.log = None;
            }
            let Some(tenant) = self.tenants.pop_front() else { return Ok(Vec::new()) };
            self.log = self.source.open(&tenant).await?.map(|log| (log, 0));
        }
    }
}

/// Leaves from an index on: at most `limit`, and at most those of one tile.
async fn page(log: &TileLog, from: u64, limit: usize) -> Result<Vec<KeptLeaf>, TileError> {
    let mut leaves = log.leaves(from, from.saturating_add(limit as u64));
    let page = leaves.next().await?;
    let leaves = page.map(|page| page.leaves).unwrap_or_default();
    // Not kept by position, and without a hash beside them: the tiles above are their hashes.
    Ok(leaves
        .into_iter()
        .map(|bytes| KeptLeaf { position: None, stated_hash: None, bytes })
        .collect())
}

#[async_trait]
impl LeafSource for TileSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read_all(&self) -> Result<Box<dyn LeafReading>, SourceError> {
        let tenants = self.tenants().await?;
        Ok(Box::new(TileReading { source: self.again(), tenants, log: None }))
    }

    async fn leaves(
        &self,
        tenant: &TenantId,
        _near: Position,
        from: u64,
        limit: usize,
    ) -> Result<Vec<KeptLeaf>, SourceError> {
        let Some(log) = self.open(tenant).await? else { return Ok(Vec::new()) };
        let mut found: Vec<KeptLeaf> = Vec::new();
        while found.len() < limit {
            let from = from + found.len() as u64;
            let more = page(&log, from, limit - found.len()).await;
            let more = more.map_err(|error| self.failed(&error))?;
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        Ok(found)
    }
}
