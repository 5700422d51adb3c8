//! The copy and the notes in memory keep the law book; so do those in JetStream, elsewhere.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::copy::{CopyFactory, CopyUnderTest, run_all};
use dagbook_events::ids::Position;
use dagbook_events::journal::copy::{MemoryCopy, MemoryNotes};
use dagbook_events::ports::{Notes, RecordCopy};

struct Memory;

#[derive(Default)]
struct Subject(MemoryCopy, MemoryNotes);

#[async_trait]
impl CopyFactory for Memory {
    async fn fresh(&self) -> Arc<dyn CopyUnderTest> {
        Arc::new(Subject::default())
    }
}

#[async_trait]
impl CopyUnderTest for Subject {
    async fn copy(&self) -> Arc<dyn RecordCopy> {
        Arc::new(self.0.clone())
    }
    async fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(self.1.clone())
    }
    async fn silence(&self) {
        self.0.set_available(false);
        self.1.set_available(false);
    }
    async fn revive(&self) {
        self.0.set_available(true);
        self.1.set_available(true);
    }
    async fn delete(&self, timeline: u64) {
        self.0.lose_tail(timeline, Position(0));
    }
    async fn delete_notes(&self) {
        self.1.lose_tail(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_copy_keeps_the_law_book() {
    let report = run_all(&Memory).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty());
}
