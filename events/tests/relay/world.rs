//! A record that grows, and can be exchanged for an older one under its users.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, Appended, Clock, EventStore, Expected, LogHead, NewEvent,
    ReadError, Recorded, StreamAppend,
};
use dagbook_events::time::Timestamp;
use uuid::Uuid;

/// The same events get the same bytes.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// A store behind which another one can be put.
pub struct World(RwLock<Arc<MemoryStore>>);

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(RwLock::new(fresh())))
    }

    fn store(&self) -> Arc<MemoryStore> {
        self.0.read().expect("not poisoned").clone()
    }

    /// Appends so many events; `flavour` tells one course of events from another.
    pub async fn append(&self, count: u64, flavour: &str) {
        let head = self.store().head().await.expect("a head").0;
        for position in head + 1..=head + count {
            self.append_data(&format!(r#"{{"f":"{flavour}","n":{position}}}"#)).await;
        }
    }

    pub async fn append_data(&self, data: &str) {
        let store = self.store();
        let position = store.head().await.expect("a head").0 + 1;
        let name = if position.is_multiple_of(3) { "beta" } else { "acme" };
        let event = NewEvent {
            id: EventId(Uuid::from_u128(u128::from(position))),
            kind: Arc::from("test.happened"),
            at: Timestamp(1_700_000_000_000),
            actor: Arc::new(Actor::new("system", "test")),
            causation: None,
            correlation: None,
            traceparent: None,
            data: data.as_bytes().to_vec(),
            blob: None,
        };
        let stream = StreamName::new(&format!("run/{}", position / 4)).expect("a stream");
        let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
        let tenant = TenantId::new(name).expect("a tenant");
        let request = AppendRequest { tenant, key: None, streams, fence: None };
        store.append(request).await.expect("appended");
    }

    /// Puts an older state in its place: a store that knows only the first so many events.
    pub async fn restore(&self, keep: u64) {
        let old = self.all().await;
        let store = fresh();
        *self.0.write().expect("not poisoned") = store;
        for event in old.iter().take(usize::try_from(keep).expect("small")) {
            let leaf = dagbook_events::envelope::Envelope::parse(&event.leaf).expect("a leaf");
            self.append_data(&leaf.data).await;
        }
    }

    pub async fn all(&self) -> Vec<Recorded> {
        self.store().read_after(Position(0), usize::MAX).await.expect("read")
    }
}

fn fresh() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(Standing)))
}

#[async_trait]
impl EventStore for World {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.store().append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.store().read_stream(tenant, stream, from_version, limit).await
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.store().read_after(cursor, limit).await
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.store().read_log(tenant, from, limit).await
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.store().streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.store().open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.store().head().await
    }
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.store().log_head(tenant).await
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.store().log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.store().timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.store().begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.store().wait_beyond(cursor, timeout).await
    }
}
