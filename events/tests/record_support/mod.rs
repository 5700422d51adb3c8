//! A record in memory with a key, shared by the tests of what is signed and published.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use dagbook_events::conformance::store::ManualClock;
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::journal::checkpoints::{Checkpoints, History};
use dagbook_events::journal::clock::{IdMint, SystemRng};
use dagbook_events::journal::copy::MemoryCopy;
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{
    Actor, AppendRequest, EventStore, Expected, NewEvent, RecordCopy, StreamAppend,
};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::VerifierKey;
use tempfile::TempDir;

pub const SITE: &str = "dagbook.example";

pub struct Record {
    pub folder: TempDir,
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub mint: IdMint,
}

impl Record {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_767_225_600_000)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let mint = IdMint::new(Arc::clone(&clock) as _, Arc::new(SystemRng));
        Self { folder: TempDir::new().expect("a folder"), clock, store, mint }
    }

    /// The same folder with keys and checkpoints, and another record.
    pub fn with_another_store(self) -> Self {
        let other = Self::new();
        Self { folder: self.folder, ..other }
    }

    pub async fn append(&self, name: &str, events: usize) {
        for chunk in (0..events).collect::<Vec<_>>().chunks(500) {
            let event = |n: &usize| NewEvent {
                id: self.mint.event_id(),
                kind: Arc::from("thing.happened"),
                at: Timestamp(1),
                actor: Arc::new(Actor::new("user", "ada")),
                causation: None,
                correlation: None,
                traceparent: None,
                data: format!(r#"{{"n":{n}}}"#).into_bytes(),
                blob: None,
            };
            let stream = StreamAppend {
                stream: StreamName::new(&format!("run/{}", chunk.len() % 3)).expect("a stream"),
                expected: Expected::Any,
                events: chunk.iter().map(event).collect(),
            };
            let streams = vec![stream];
            let request = AppendRequest { tenant: tenant(name), key: None, streams, fence: None };
            self.store.append(request).await.expect("appended");
        }
    }

    pub fn signer(&self) -> FileSigner {
        FileSigner::open(self.folder.path().join("keys/log"), SITE).expect("a key")
    }

    pub fn log_key(&self) -> VerifierKey {
        self.signer().verifier().clone()
    }

    pub fn history(&self) -> History {
        History::new(self.folder.path().join("checkpoints"), self.log_key())
    }

    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.history(), Arc::new(self.signer()), SITE)
    }

    /// Brings a copy up to the record, as the relay does.
    pub async fn relay(&self, copy: &MemoryCopy, timeline: u64) {
        loop {
            let last = copy.last(timeline).await.expect("readable");
            let page = self.store.read_after(last, 1_000).await.expect("readable");
            if page.is_empty() {
                return;
            }
            copy.add(timeline, last, &page).await.expect("added");
        }
    }

    pub async fn leaves(&self, name: &str) -> Vec<Arc<[u8]>> {
        let all = self.store.read_log(&tenant(name), 0, usize::MAX).await.expect("readable");
        all.into_iter().map(|event| event.leaf).collect()
    }

    pub async fn head(&self) -> Position {
        self.store.head().await.expect("readable")
    }
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}
