//! What the laws act on, and short words for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use uuid::Uuid;

use crate::ids::{EventId, Position, StreamName, TenantId};
use crate::journal::{Faults, Guard};
use crate::ports::{
    Actor, AppendError, AppendRequest, Appended, Clock, EventStore, Expected, Leases, NewEvent,
    Recorded, StreamAppend,
};
use crate::time::Timestamp;

/// When the laws' clock starts: 2026-01-01T00:00:00Z.
pub(super) const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

/// A clock that stands until it is set.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows this instant.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Makes stores to be tried.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// A fresh, empty store that takes `rt` from this clock.
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest>;
}

/// A store with what the laws want to do to it.
#[async_trait]
pub trait StoreUnderTest: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn EventStore>;
    /// Where faults are ordered, if the store can fail on demand.
    fn faults(&self) -> Option<Arc<Faults>> {
        None
    }
    /// Its leases, if it keeps any.
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        None
    }
    /// What opens and halts it, if it asks.
    fn guard(&self) -> Option<Arc<Guard>> {
        None
    }
    /// A further handle on the same record, if there can be one.
    async fn second_handle(&self) -> Option<Arc<dyn EventStore>> {
        None
    }
    /// Drops all handles as a kill would, and opens the record anew, if it outlives them.
    async fn reopen(self: Box<Self>) -> Option<Box<dyn StoreUnderTest>> {
        None
    }
}

/// One fresh store and its clock.
pub(super) struct Subject {
    pub(super) under_test: Box<dyn StoreUnderTest>,
    pub(super) store: Arc<dyn EventStore>,
    pub(super) clock: Arc<ManualClock>,
}

impl Subject {
    pub(super) fn new(under_test: Box<dyn StoreUnderTest>, clock: Arc<ManualClock>) -> Self {
        let store = under_test.store();
        Self { under_test, store, clock }
    }

    /// Appends to one stream of the usual tenant.
    pub(super) async fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: usize,
    ) -> Result<Appended, AppendError> {
        self.store.append(request(&[(stream, expected, events)])).await
    }

    /// Everything in the store, page by page.
    pub(super) async fn all(&self) -> Vec<Recorded> {
        read_all(&*self.store).await
    }

    pub(super) async fn head(&self) -> u64 {
        self.store.head().await.expect("the head").0
    }
}

pub(super) async fn read_all(store: &dyn EventStore) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let cursor = all.last().map_or(Position(0), |event| event.position);
        let page = store.read_after(cursor, 100).await.expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

pub(super) fn acme() -> TenantId {
    tenant("acme")
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a stream")
}

/// A request of the usual tenant: per stream its expected version and a number of events.
pub(super) fn request(streams: &[(&str, Expected, usize)]) -> AppendRequest {
    let streams = streams.iter().map(|(name, expected, count)| StreamAppend {
        stream: stream(name),
        expected: *expected,
        events: (0..*count).map(|n| event("thing.happened", &format!("{{\"n\":{n}}}"))).collect(),
    });
    AppendRequest { tenant: acme(), key: None, streams: streams.collect(), fence: None }
}

pub(super) fn keyed(key: &str, mut request: AppendRequest) -> AppendRequest {
    request.key = Some(key.to_string());
    request
}

/// An event with the next id: ids count, so that two stores can be given the same ones.
pub(super) fn event(kind: &str, data: &str) -> NewEvent {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    event_with_id(NEXT.fetch_add(1, Ordering::Relaxed), kind, data)
}

pub(super) fn event_with_id(id: u64, kind: &str, data: &str) -> NewEvent {
    NewEvent {
        id: EventId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(id))),
        kind: Arc::from(kind),
        at: EPOCH,
        actor: Arc::new(Actor::new("system", "laws")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: data.as_bytes().to_vec(),
        blob: None,
    }
}

/// The numbers of events: position, index in the log, version.
pub(super) fn numbers(events: &[Recorded]) -> Vec<(u64, u64, u64)> {
    events.iter().map(|e| (e.position.0, e.tenant_sequence, e.version)).collect()
}
