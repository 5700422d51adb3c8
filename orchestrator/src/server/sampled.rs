//! Where the numbers of a server come from that nobody counts as they change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ports::Clock;
use dagbook_events::time::Timestamp;
use tokio::sync::watch;

use crate::app::directory::Directory;
use crate::engine::EngineFigures;
use crate::runtime::Runtime;
use crate::telemetry::metrics::Sample;
use crate::wiring::{Keeper, KeeperStatus};

/// So many that wait are looked at, at most.
const MOST_WAITS: usize = 10_000;

pub(super) struct Sampled {
    pub(super) runtime: watch::Receiver<Option<Runtime>>,
    pub(super) keeper: Arc<Mutex<Option<Keeper>>>,
    pub(super) directory: Directory,
    pub(super) clock: Arc<dyn Clock>,
}

impl Sampled {
    fn runtime(&self) -> Option<Runtime> {
        self.runtime.borrow().clone()
    }
}

#[async_trait]
impl Sample for Sampled {
    async fn engine(&self) -> Option<EngineFigures> {
        self.runtime()?.figures().await
    }

    fn keeper(&self) -> Option<KeeperStatus> {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.as_ref().map(Keeper::status)
    }

    async fn waiting(&self) -> Vec<(String, u64)> {
        let Some(runtime) = self.runtime() else { return Vec::new() };
        let notes = runtime.all_waits(MOST_WAITS).await.unwrap_or_default();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for note in notes {
            *reasons.entry(note.figures.code).or_default() += 1;
        }
        reasons.into_iter().collect()
    }

    fn directory_age(&self) -> Option<Duration> {
        Some(self.directory.age())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
