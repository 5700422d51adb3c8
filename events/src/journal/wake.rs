//! Waiting for news: at once for what this handle appended, by a slow look for the rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::ids::Position;
use crate::ports::ReadError;

/// How often waiting readers look for what other processes appended.
const POLL: Duration = Duration::from_millis(250);

pub(super) struct Wakeups {
    head: Arc<watch::Sender<Position>>,
    /// When somebody last looked: however many wait, one look serves them all.
    looked: Mutex<Option<Instant>>,
}

impl Wakeups {
    pub(super) fn new(head: Position) -> Self {
        Self { head: Arc::new(watch::Sender::new(head)), looked: Mutex::new(None) }
    }

    /// Where the writer tells each new head.
    pub(super) fn teller(&self) -> Arc<watch::Sender<Position>> {
        Arc::clone(&self.head)
    }

    /// The highest head that was told.
    #[cfg(feature = "postgres")]
    pub(super) fn known(&self) -> Position {
        *self.head.borrow()
    }

    /// Tells a head that was seen.
    pub(super) fn tell(&self, head: Position) {
        self.head.send_if_modified(|known| {
            let newer = head > *known;
            *known = head.max(*known);
            newer
        });
    }

    /// Believes a head that was asked for because nothing stood where `known` had told of
    /// events: the record has gone back. Otherwise whoever waits beyond it would be woken for
    /// ever by events that are gone.
    #[cfg(feature = "postgres")]
    pub(super) fn believe(&self, known: Position, head: Position) {
        self.head.send_if_modified(|told| {
            let same = *told == known;
            *told = if same { head } else { head.max(*told) };
            false
        });
    }

    /// Returns the head once it is beyond `cursor`, or at the latest after `timeout`.
    /// `look` asks the store; without it only what was told counts.
    pub(super) async fn wait<L, F>(
        &self,
        cursor: Position,
        timeout: Duration,
        look: L,
    ) -> Result<Position, ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Position, ReadError>>,
    {
        let deadline = Instant::now() + timeout;
        let mut told = self.head.subscribe();
        loop {
            let head = *told.borrow_and_update();
            if head > cursor {
                return Ok(head);
            }
            let tick = deadline.min(Instant::now() + POLL);
            if let Ok(changed) = tokio::time::timeout_at(tick, told.changed()).await {
                changed.map_err(|_| ReadError::Unavailable("the store is closed".to_string()))?;
                continue;
            }
            let last = tick == deadline;
            self.look_if_due(last, &look).await?;
            if last {
                return Ok(*told.borrow());
            }
        }
    }

    async fn look_if_due<L, F>(&self, now: bool, look: &L) -> Result<(), ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Position, ReadError>>,
    {
        let mut looked = self.looked.lock().await;
        let fresh = looked.is_some_and(|at| at.elapsed() < POLL / 2);
        if now || !fresh {
            self.tell(look().await?);
            *looked = Some(Instant::now());
        }
        Ok(())
    }
}
