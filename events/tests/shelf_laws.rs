//! The shelves in memory and in SQLite keep their law book.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::shelf::{ShelfFactory, ShelfUnderTest, run_all};
use dagbook_events::journal::store::{MemoryStore, SqliteOptions, SqliteStore};
use dagbook_events::ports::{Clock, Shelf};
use tempfile::TempDir;

struct Memory;

struct InMemory(Arc<MemoryStore>);

#[async_trait]
impl ShelfFactory for Memory {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn ShelfUnderTest> {
        Box::new(InMemory(Arc::new(MemoryStore::new(clock))))
    }
}

impl ShelfUnderTest for InMemory {
    fn shelf(&self) -> Arc<dyn Shelf> {
        self.0.clone()
    }
}

struct Sqlite;

struct InFile {
    folder: TempDir,
    clock: Arc<dyn Clock>,
    store: Arc<SqliteStore>,
}

fn open(folder: &TempDir, clock: &Arc<dyn Clock>) -> Arc<SqliteStore> {
    let options = SqliteOptions::new(folder.path().join("record.db"), Arc::clone(clock));
    Arc::new(SqliteStore::open(options).expect("opened"))
}

#[async_trait]
impl ShelfFactory for Sqlite {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn ShelfUnderTest> {
        let folder = TempDir::new().expect("a folder");
        let store = open(&folder, &clock);
        Box::new(InFile { folder, clock, store })
    }
}

#[async_trait]
impl ShelfUnderTest for InFile {
    fn shelf(&self) -> Arc<dyn Shelf> {
        self.store.clone()
    }
    async fn second_handle(&self) -> Option<Arc<dyn Shelf>> {
        Some(open(&self.folder, &self.clock))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shelf_in_memory_keeps_the_law_book() {
    let report = run_all(&Memory).await;
    report.assert_kept();
    assert_eq!(report.not_applicable(), ["other_handles_see_it_at_once"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shelf_in_sqlite_keeps_the_law_book() {
    let report = run_all(&Sqlite).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty(), "{report}");
}
