//! A server, connections to it, and events to carry there.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::journal::bus::jetstream::{Nats as Connection, NatsOptions};
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{
    Actor, AppendRequest, EventStore, Expected, NewEvent, Recorded, StreamAppend,
};
use dagbook_events::time::Timestamp;
use uuid::Uuid;

pub const LONG: Duration = Duration::from_secs(30);

/// A connection by address, once it is made.
pub async fn connect(url: &str) -> Connection {
    let connection = Connection::start(NatsOptions::parse(url).expect("an address"));
    connection.ready(LONG).await.expect("connected");
    connection
}

/// The client of somebody else, who knows nothing of us.
pub async fn stranger(url: &str) -> async_nats::jetstream::Context {
    let client = async_nats::connect(url).await.expect("connected");
    async_nats::jetstream::new(client)
}

/// A store that holds so many events of two tenants.
pub async fn store_with(count: u64) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    append(&*store, count).await;
    store
}

pub async fn append(store: &dyn EventStore, count: u64) {
    let head = store.head().await.expect("a head").0;
    for position in head + 1..=head + count {
        let name = if position.is_multiple_of(3) { "beta" } else { "acme" };
        let run = format!("r-{}", position / 7);
        let event = NewEvent {
            id: EventId(Uuid::from_u128(u128::from(position))),
            kind: Arc::from("test.happened"),
            at: Timestamp(1_700_000_000_000),
            actor: Arc::new(Actor::new("system", "test")),
            causation: None,
            correlation: Some(Arc::from(run.as_str())),
            traceparent: None,
            data: format!(r#"{{"n":{position},"step":"train"}}"#).into_bytes(),
            blob: None,
        };
        let stream = StreamName::new(&format!("run/{run}")).expect("a stream");
        let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
        let tenant = TenantId::new(name).expect("a tenant");
        let request = AppendRequest { tenant, key: None, streams, fence: None };
        store.append(request).await.expect("appended");
    }
}

pub async fn events(count: u64) -> Vec<Recorded> {
    store_with(count).await.read_after(Position(0), usize::MAX).await.expect("read")
}
