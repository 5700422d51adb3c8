//! Servers, and a database of its own for each store that is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::conformance::shelf::{ShelfFactory, ShelfUnderTest};
use dagbook_events::conformance::store::{ManualClock, StoreFactory, StoreUnderTest};
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::journal::store::postgres::{
    PostgresOptions, PostgresStore, PostgresUrl, migrate,
};
use dagbook_events::journal::{Faults, Guard};
use dagbook_events::ports::{
    Actor, AppendRequest, Clock, EventStore, Expected, Leases, NewEvent, Shelf, StreamAppend,
};
use dagbook_events::time::Timestamp;
use dagbook_tests::servers::{Postgres, PostgresVersion};
use uuid::Uuid;

/// A server and the databases made in it so far. Functional tests need no disk.
pub struct Server {
    pub server: Postgres,
    made: AtomicU32,
}

/// The name of the database that all others are copied from.
const TEMPLATE: &str = "template_of_records";

impl Server {
    pub fn start(version: PostgresVersion) -> Arc<Self> {
        let server = Postgres::start_with(version, &[("fsync", "off")]);
        let url = url(&server.database(TEMPLATE));
        migrate(&url, Duration::from_secs(30)).expect("migrated");
        Arc::new(Self { server, made: AtomicU32::new(0) })
    }

    pub fn debian() -> Arc<Self> {
        Self::start(PostgresVersion::Debian)
    }

    /// The name of a new database with the schema.
    pub fn database(&self) -> String {
        let name = format!("record_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.server.execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"));
        name
    }

    /// Options for one of its databases.
    pub fn options(&self, database: &str) -> PostgresOptions {
        let clock = Arc::new(ManualClock::new(Timestamp(1_767_225_600_000)));
        PostgresOptions::new(url(&self.server.url_of(database)), clock)
    }

    /// Asks the server one thing.
    pub fn ask(&self, database: &str, sql: &str) -> Vec<String> {
        self.try_ask(database, sql).expect("answered")
    }

    /// The first column of each row as text, or what the server has against it.
    pub fn try_ask(&self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let (url, sql) = (self.server.url_of(database), sql.to_string());
        // The client blocks, which the threads of a runtime must not.
        std::thread::spawn(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("connected");
            let rows = client.simple_query(&sql).map_err(|error| match error.as_db_error() {
                Some(said) => said.message().to_string(),
                None => error.to_string(),
            })?;
            let first = |message: &postgres::SimpleQueryMessage| match message {
                postgres::SimpleQueryMessage::Row(row) => {
                    Some(row.get(0).unwrap_or_default().to_string())
                }
                _ => None,
            };
            Ok(rows.iter().filter_map(first).collect())
        })
        .join()
        .expect("no panic")
    }
}

pub fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).expect("an address")
}

pub async fn open(options: PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(options).await.expect("opened"))
}

pub fn tenant() -> TenantId {
    TenantId::new("acme").expect("a tenant")
}

pub fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a stream")
}

/// So many events for one stream.
pub fn request(name: &str, expected: Expected, events: u128) -> AppendRequest {
    let event = |n: u128| NewEvent {
        id: EventId(Uuid::from_u128(n)),
        kind: Arc::from("thing.happened"),
        at: Timestamp(1),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: format!("{{\"n\":{n}}}").into_bytes(),
        blob: None,
    };
    let events = (0..events).map(event).collect();
    let streams = vec![StreamAppend { stream: stream(name), expected, events }];
    AppendRequest { tenant: tenant(), key: None, streams, fence: None }
}

/// Makes stores, each in a database of its own.
pub struct Records(pub Arc<Server>);

struct Record {
    server: Arc<Server>,
    database: String,
    store: Arc<PostgresStore>,
    faults: Arc<Faults>,
    guard: Arc<Guard>,
    clock: Arc<dyn Clock>,
}

impl Record {
    async fn open(server: Arc<Server>, database: String, clock: Arc<dyn Clock>) -> Self {
        let (faults, guard) = (Arc::new(Faults::default()), Arc::new(Guard::open()));
        let mut options = server.options(&database);
        options.clock = Arc::clone(&clock);
        options.faults = Some(Arc::clone(&faults));
        options.guard = Arc::clone(&guard);
        let store = open(options).await;
        Self { server, database, store, faults, guard, clock }
    }
}

#[async_trait]
impl StoreFactory for Records {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        let database = self.0.database();
        Box::new(Record::open(Arc::clone(&self.0), database, clock).await)
    }
}

#[async_trait]
impl StoreUnderTest for Record {
    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }
    fn faults(&self) -> Option<Arc<Faults>> {
        Some(Arc::clone(&self.faults))
    }
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(self.store.clone())
    }
    fn guard(&self) -> Option<Arc<Guard>> {
        Some(Arc::clone(&self.guard))
    }
    async fn second_handle(&self) -> Option<Arc<dyn EventStore>> {
        let mut options = self.server.options(&self.database);
        options.clock = Arc::clone(&self.clock);
        Some(open(options).await)
    }
    /// All sessions are ended from outside, as if their process had died; the handle is still
    /// there and can do nothing about it.
    async fn reopen(self: Box<Self>) -> Option<Box<dyn StoreUnderTest>> {
        let mine = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'
             AND pid <> pg_backend_pid()",
            self.database
        );
        assert!(!self.server.ask("postgres", &mine).is_empty(), "it was connected");
        let (server, clock) = (Arc::clone(&self.server), Arc::clone(&self.clock));
        let again = Record::open(server, self.database.clone(), clock).await;
        drop(self);
        Some(Box::new(again))
    }
}

#[async_trait]
impl ShelfFactory for Records {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn ShelfUnderTest> {
        let database = self.0.database();
        Box::new(Record::open(Arc::clone(&self.0), database, clock).await)
    }
}

#[async_trait]
impl ShelfUnderTest for Record {
    fn shelf(&self) -> Arc<dyn Shelf> {
        self.store.clone()
    }
    async fn second_handle(&self) -> Option<Arc<dyn Shelf>> {
        Some(open(self.server.options(&self.database)).await)
    }
}
