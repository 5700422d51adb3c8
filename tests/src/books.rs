//! Billing over a record that consists of leaves, without a server: what is read is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dagbook::app::billing::Accounts;
use dagbook::app::error::AppError;
use dagbook::app::ports::{NoCache, WaitFigures};
use dagbook::app::services::{EngineDoor, Services};
use dagbook::runtime::news::News;
use dagbook::runtime::record::Recorder;
use dagbook::runtime::{Deps, NoOwnership, PATIENCE};
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{Position, RunId, StepKey, StreamName, TenantId};
use dagbook_events::journal::blobs::MemoryBlobs;
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, Appended, Clock, EventStore, LogHead, ReadError, Recorded,
};
use dagbook_events::run::Ask;
use dagbook_events::run::event::Submitted;
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::{leaf_hash, root};
use dagbook_executors::Registry;

/// A record of one tenant, as its leaves say it. Nothing can be appended.
pub struct Leaves {
    tenant: TenantId,
    recorded: Vec<Recorded>,
    timeline: u64,
    head: LogHead,
    /// Leaves that were read by their index.
    read: Mutex<BTreeSet<u64>>,
}

impl Leaves {
    /// Of leaves that are whole events, in their order.
    pub fn of(leaves: &[Vec<u8>]) -> Self {
        let parsed: Vec<Envelope> =
            leaves.iter().map(|leaf| Envelope::parse(leaf).expect("an event")).collect();
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let recorded = parsed.iter().zip(leaves).map(|(event, leaf)| Recorded {
            position: event.position,
            tenant: event.tenant.clone(),
            tenant_sequence: event.tenant_sequence,
            stream: event.stream.clone(),
            version: event.version,
            leaf: Arc::from(leaf.as_slice()),
        });
        Self {
            tenant: parsed[0].tenant.clone(),
            recorded: recorded.collect(),
            timeline: parsed.last().map_or(1, |event| event.timeline),
            head: LogHead { size: leaves.len() as u64, root: root(&hashes) },
            read: Mutex::default(),
        }
    }

    /// Indexes of the leaves that were read out of the log since this was asked last.
    pub fn take_read(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_of(&self, tenant: &TenantId) -> bool {
        *tenant == self.tenant
    }
}

fn refused() -> AppendError {
    AppendError::Unavailable("this record is only read".to_string())
}

#[async_trait]
impl EventStore for Leaves {
    async fn append(&self, _: AppendRequest) -> Result<Appended, AppendError> {
        Err(refused())
    }

    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let of_it = self.recorded.iter().filter(|it| it.stream == *stream && it.version >= from);
        Ok(of_it.filter(|_| self.is_of(tenant)).take(limit).cloned().collect())
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let behind = self.recorded.iter().filter(|it| it.position > cursor);
        Ok(behind.take(limit).cloned().collect())
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let page = self.recorded.iter().skip(from).take(limit).filter(|_| self.is_of(tenant));
        let page: Vec<Recorded> = page.cloned().collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.extend(page.iter().map(|it| it.tenant_sequence));
        Ok(page)
    }

    async fn streams(
        &self,
        _: &TenantId,
        _: &str,
        _: Option<&StreamName>,
        _: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        Ok(Vec::new())
    }

    async fn open_streams(
        &self,
        _: &str,
        _: Option<(&TenantId, &StreamName)>,
        _: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        Ok(Vec::new())
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.recorded.last().map_or(Position(0), |last| last.position))
    }

    async fn log_head(&self, _: &TenantId) -> Result<LogHead, ReadError> {
        Ok(self.head.clone())
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        Ok(BTreeMap::from([(self.tenant.clone(), self.head.clone())]))
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        Ok(self.timeline)
    }

    async fn begin_timeline(&self, _: u64) -> Result<u64, AppendError> {
        Err(refused())
    }

    async fn wait_beyond(&self, _: Position, _: Duration) -> Result<Position, ReadError> {
        self.head().await
    }
}

/// There is no engine.
struct Nobody;

#[async_trait]
impl EngineDoor for Nobody {
    async fn submit(
        &self,
        _: Submitted,
        _: &Actor,
        _: Option<&str>,
    ) -> Result<Timestamp, AppError> {
        Err(AppError::unavailable("there is no engine"))
    }

    async fn ask(&self, _: &TenantId, _: RunId, _: Ask, _: &Actor) -> Result<(), AppError> {
        Err(AppError::unavailable("there is no engine"))
    }

    async fn waits(
        &self,
        _: &TenantId,
        _: RunId,
        _: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError> {
        Ok(None)
    }
}

/// The ports over a record on which nothing runs: no executors, and everything but the record in
/// memory.
pub fn ports(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>, tenant: &TenantId) -> Deps {
    Deps {
        news: News::of(store.clone()),
        store,
        blobs: Arc::new(MemoryBlobs::default()),
        shelf: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
        executors: Registry::new(),
        slots: BTreeMap::new(),
        limits: Default::default(),
        clock,
        rng: Arc::new(SystemRng),
        cache: Arc::new(NoCache),
        places: BTreeMap::new(),
        patience: PATIENCE,
        leading: None,
        ownership: Arc::new(NoOwnership),
        tenant: tenant.clone(),
        person: Actor::new("user", "test"),
    }
}

/// Billing over a record, for a site of this name. Must be called on a tokio runtime.
pub fn accounts(
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    tenant: &TenantId,
    site: &str,
) -> Accounts {
    let deps = ports(store.clone(), clock.clone(), tenant);
    let recorder = Recorder::new(&deps);
    let services = Services {
        store,
        news: deps.news.clone(),
        blobs: deps.blobs.clone(),
        shelf: deps.shelf.clone(),
        clock,
        rng: deps.rng.clone(),
        recorder,
        engine: Arc::new(Nobody),
        numbers: Default::default(),
    };
    Accounts::new(services, Arc::from(site))
}
