//! Both stores keep the whole law book, and hold the same bytes.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::store::{
    StoreFactory, StoreUnderTest, identical_bytes, laws, run_all,
};
use dagbook_events::journal::store::{MemoryStore, SqliteOptions, SqliteStore};
use dagbook_events::journal::{Faults, Guard};
use dagbook_events::ports::{Clock, EventStore, Leases};
use tempfile::TempDir;

struct Memory;

struct MemorySubject(Arc<MemoryStore>, Arc<Faults>, Arc<Guard>);

#[async_trait]
impl StoreFactory for Memory {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        let faults = Arc::new(Faults::default());
        let guard = Arc::new(Guard::open());
        let store = MemoryStore::with_faults(clock, Some(Arc::clone(&faults)));
        let store = store.guarded(Arc::clone(&guard));
        Box::new(MemorySubject(Arc::new(store), faults, guard))
    }
}

#[async_trait]
impl StoreUnderTest for MemorySubject {
    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }
    fn faults(&self) -> Option<Arc<Faults>> {
        Some(Arc::clone(&self.1))
    }
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(self.0.clone())
    }
    fn guard(&self) -> Option<Arc<Guard>> {
        Some(Arc::clone(&self.2))
    }
}

struct Sqlite;

struct SqliteSubject {
    folder: TempDir,
    store: Arc<SqliteStore>,
    faults: Arc<Faults>,
    guard: Arc<Guard>,
    clock: Arc<dyn Clock>,
}

fn options(
    path: PathBuf,
    clock: &Arc<dyn Clock>,
    faults: &Arc<Faults>,
    guard: &Arc<Guard>,
) -> SqliteOptions {
    let mut options = SqliteOptions::new(path, Arc::clone(clock));
    options.guard = Arc::clone(guard);
    options.faults = Some(Arc::clone(faults));
    options
}

impl SqliteSubject {
    fn open(folder: TempDir, clock: Arc<dyn Clock>) -> Self {
        let (faults, guard) = (Arc::new(Faults::default()), Arc::new(Guard::open()));
        let path = folder.path().join("record.db");
        let store = SqliteStore::open(options(path, &clock, &faults, &guard)).expect("opened");
        Self { folder, store: Arc::new(store), faults, guard, clock }
    }
}

#[async_trait]
impl StoreFactory for Sqlite {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        Box::new(SqliteSubject::open(TempDir::new().expect("a folder"), clock))
    }
}

#[async_trait]
impl StoreUnderTest for SqliteSubject {
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
        let path = self.folder.path().join("record.db");
        let options = SqliteOptions::new(path, Arc::clone(&self.clock));
        Some(Arc::new(SqliteStore::open(options).expect("opened")))
    }
    /// Copies the files as they lie, as a kill would leave them, while the old handle is open.
    async fn reopen(self: Box<Self>) -> Option<Box<dyn StoreUnderTest>> {
        let copy = TempDir::new().expect("a folder");
        for name in ["record.db", "record.db-wal"] {
            let (from, to) = (self.folder.path().join(name), copy.path().join(name));
            std::fs::copy(from, to).expect("copied");
        }
        let clock = Arc::clone(&self.clock);
        Some(Box::new(Self::open(copy, clock)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_keeps_the_law_book() {
    let report = run_all(&Memory).await;
    report.assert_kept();
    assert_eq!(
        report.not_applicable(),
        [
            "what_is_recent_is_what_would_be_read",
            "what_is_open_outlives_a_kill",
            "waiting_notices_other_handles",
            "two_handles_append_to_one_record",
            "what_was_acknowledged_survives_a_kill"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqlite_store_keeps_the_law_book() {
    let report = run_all(&Sqlite).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty(), "{report}");
    assert_eq!(report.0.len(), laws().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_hold_the_same_bytes() {
    for seed in 1..=5 {
        identical_bytes(&Memory, &Sqlite, seed).await;
    }
}
