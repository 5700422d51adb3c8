//! The law books.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::bus::{self, handles_wake_each_other};
use dagbook_events::conformance::copy::{CopyFactory, CopyUnderTest, run_all};
use dagbook_events::journal::bus::jetstream::{
    JetStreamBus, JetStreamCopy, JetStreamNotes, Nats as Connection, NatsOptions,
};
use dagbook_events::ports::{EventBus, Notes, RecordCopy};
use dagbook_tests::servers::{Nats, NatsVersion};
use tokio::sync::Mutex;

use super::server::{connect, stranger};

struct Servers(NatsVersion);

struct Subject {
    server: Mutex<Nats>,
    url: String,
}

#[async_trait]
impl CopyFactory for Servers {
    async fn fresh(&self) -> Arc<dyn CopyUnderTest> {
        let server = Nats::start(self.0);
        // Short, so that silence is found out soon.
        let url = format!("{}?timeout_ms=3000", server.url());
        Arc::new(Subject { server: Mutex::new(server), url })
    }
}

#[async_trait]
impl CopyUnderTest for Subject {
    async fn copy(&self) -> Arc<dyn RecordCopy> {
        Arc::new(JetStreamCopy::new(connect(&self.url).await))
    }
    async fn notes(&self) -> Arc<dyn Notes> {
        Arc::new(JetStreamNotes::new(connect(&self.url).await))
    }
    async fn silence(&self) {
        self.server.lock().await.stop();
    }
    async fn revive(&self) {
        self.server.lock().await.restart();
    }
    async fn delete(&self, timeline: u64) {
        let url = self.server.lock().await.url();
        let name = format!("DAGBOOK_EVENTS_t{timeline}");
        stranger(&url).await.delete_stream(name).await.expect("deleted");
    }
    async fn delete_notes(&self) {
        let url = self.server.lock().await.url();
        stranger(&url).await.delete_stream("DAGBOOK_NOTES").await.expect("deleted");
    }
}

async fn keeps_the_law_book_of_copies(version: NatsVersion) {
    let report = run_all(&Servers(version)).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_on_debians_server_keeps_the_law_book() {
    keeps_the_law_book_of_copies(NatsVersion::Debian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_on_a_current_server_keeps_the_law_book() {
    keeps_the_law_book_of_copies(NatsVersion::Current).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_keeps_the_law_book_and_wakes_other_processes() {
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let server = Nats::start(version);
        let connection = Connection::start(NatsOptions::parse(&server.url()).expect("an address"));
        let count = std::sync::atomic::AtomicU32::new(0);
        let report = bus::run_all(&|| {
            // Laws must not hear each other.
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let bus = JetStreamBus::on(connection.clone(), &format!("dagbook.wake.{number}"));
            Arc::new(bus) as Arc<dyn EventBus>
        })
        .await;
        report.assert_kept();
        let one = JetStreamBus::new(connect(&server.url()).await);
        let other = JetStreamBus::new(connect(&server.url()).await);
        handles_wake_each_other(&one, &other).await;
    }
}
