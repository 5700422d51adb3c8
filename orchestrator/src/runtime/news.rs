//! What is new in the record, read once for everyone in this process who follows it. Whoever
//! follows stands at nearly the same place as the others, so what one of them has read is kept for
//! a moment. What this process made durable itself is not read at all.
//!
//! A page may end before the record does; whoever follows asks again behind it. What is asked of
//! the past goes to the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::journal::recent::Recent;
use dagbook_events::ports::{EventStore, ReadError, Recorded};
use tokio::sync::Mutex;

/// Events that are read at one time.
const PAGE: usize = 1_000;

/// Reads what is new. Clones share what they have read.
#[derive(Clone)]
pub struct News {
    store: Arc<dyn EventStore>,
    recent: Arc<Mutex<Recent>>,
}

impl News {
    /// Of a store.
    pub fn of(store: Arc<dyn EventStore>) -> Self {
        Self { store, recent: Arc::default() }
    }

    /// Returns the head once it is beyond the position, or at the latest after the time.
    pub async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.store.wait_beyond(cursor, timeout).await
    }

    /// Events of a stream from a version on, in order, at most `limit`; all that stand at or before
    /// `reached` are among them, up to that limit.
    pub async fn of_stream(
        &self,
        of: (&TenantId, &StreamName),
        (from, limit): (u64, usize),
        reached: Position,
    ) -> Result<Vec<Recorded>, ReadError> {
        let mut own = self.store.recent_of(of.0, of.1, from, reached);
        if own.is_empty() {
            return self.store.read_stream(of.0, of.1, from, limit).await;
        }
        own.truncate(limit);
        Ok(own)
    }

    /// What comes next behind a position, in order; nothing: that was the last.
    pub async fn after(&self, cursor: Position) -> Result<Vec<Recorded>, ReadError> {
        let own = self.store.recent(cursor);
        if !own.is_empty() {
            return Ok(own);
        }
        // Held while the store is asked: those who wait here want the same.
        let mut recent = self.recent.lock().await;
        recent.forget(Instant::now());
        let found = recent.behind(cursor);
        if !found.is_empty() {
            return Ok(found);
        }
        if recent.last().is_some_and(|last| cursor < last) {
            drop(recent);
            return self.store.read_after(cursor, PAGE).await;
        }
        let page = self.store.read_after(cursor, PAGE).await?;
        recent.add(cursor, page.iter().cloned(), Instant::now());
        Ok(page)
    }
}
