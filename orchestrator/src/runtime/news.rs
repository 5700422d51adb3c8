//! What is new in the record, read once for everyone in this process who follows it. Whoever
//! follows stands at nearly the same place as the others, so what one of them has read is kept for
//! a moment.
//!
//! A page may end before the record does; whoever follows asks again behind it. What is asked of
//! the past goes to the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::Position;
use dagbook_events::ports::{EventStore, ReadError, Recorded};
use tokio::sync::Mutex;

/// Events that are read at one time.
const PAGE: usize = 1_000;
/// Events that are kept.
const KEPT: usize = 4_096;
/// Bytes of leaves that are kept.
const KEPT_BYTES: usize = 4 << 20;
/// How long they are kept: the slowest of those who follow is hardly further behind, and a store
/// that was put back is not told of for longer.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Reads what is new. Clones share what they have read.
#[derive(Clone)]
pub struct News {
    store: Arc<dyn EventStore>,
    recent: Arc<Mutex<Recent>>,
}

/// Events without a gap, with when they were read.
#[derive(Default)]
struct Recent {
    events: VecDeque<(Instant, Recorded)>,
    bytes: usize,
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

    /// What comes next behind a position, in order; nothing: that was the last.
    pub async fn after(&self, cursor: Position) -> Result<Vec<Recorded>, ReadError> {
        // Held while the store is asked: those who wait here want the same.
        let mut recent = self.recent.lock().await;
        recent.forget(Instant::now());
        let found = recent.behind(cursor);
        if !found.is_empty() {
            return Ok(found);
        }
        if recent.is_past(cursor) {
            drop(recent);
            return self.store.read_after(cursor, PAGE).await;
        }
        let page = self.store.read_after(cursor, PAGE).await?;
        recent.add(cursor, &page, Instant::now());
        Ok(page)
    }
}

impl Recent {
    fn last(&self) -> Option<Position> {
        self.events.back().map(|(_, event)| event.position)
    }

    /// Whether others are further.
    fn is_past(&self, cursor: Position) -> bool {
        self.last().is_some_and(|last| cursor < last)
    }

    fn behind(&self, cursor: Position) -> Vec<Recorded> {
        let first = self.events.front().map_or(u64::MAX, |(_, event)| event.position.0);
        let skipped =
            cursor.0.saturating_add(1).checked_sub(first).and_then(|n| usize::try_from(n).ok());
        let Some(skipped) = skipped else { return Vec::new() };
        let events = self.events.iter().skip(skipped).take(PAGE);
        events.map(|(_, event)| event.clone()).collect()
    }

    /// Keeps what was read behind a position.
    fn add(&mut self, cursor: Position, page: &[Recorded], now: Instant) {
        if self.last() != Some(cursor) {
            *self = Self::default();
        }
        for event in page {
            let expected = self.last().unwrap_or(cursor).0.saturating_add(1);
            if event.position.0 != expected {
                // A record without gaps has none here; what is one is nothing to be kept.
                return *self = Self::default();
            }
            self.bytes += event.leaf.len();
            self.events.push_back((now, event.clone()));
        }
        while self.events.len() > KEPT || self.bytes > KEPT_BYTES {
            self.drop_first();
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.events.front().is_some_and(|(read, _)| now - *read > KEPT_FOR) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, event)) = self.events.pop_front() {
            self.bytes -= event.leaf.len();
        }
    }
}
