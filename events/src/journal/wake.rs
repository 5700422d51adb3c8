//! Waiting for news: at once for what this handle appended and for what it is told of, by a slow
//! look for the rest. While it is told of what others append the look is slower still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::ids::Position;
use crate::ports::ReadError;

/// How often waiting readers look for what other processes appended.
const POLL: Duration = Duration::from_millis(250);
/// The same while others tell of what they append: only what was told and got lost is left.
const POLL_TOLD: Duration = Duration::from_secs(1);

pub(super) struct Wakeups {
    head: Arc<watch::Sender<Position>>,
    /// When somebody last looked: however many wait, one look serves them all.
    looked: Mutex<Option<Instant>>,
    /// Whether others are heard.
    hears: AtomicBool,
}

impl Wakeups {
    pub(super) fn new(head: Position) -> Self {
        Self {
            head: Arc::new(watch::Sender::new(head)),
            looked: Mutex::new(None),
            hears: AtomicBool::new(false),
        }
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

    /// Says whether others are heard from now on.
    #[cfg(feature = "postgres")]
    pub(super) fn hear(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }

    /// Tells a head that the store was just asked for: those who wait need not ask again.
    #[cfg(feature = "postgres")]
    pub(super) async fn saw(&self, head: Position) {
        self.tell(head);
        *self.looked.lock().await = Some(Instant::now());
    }

    fn poll(&self) -> Duration {
        if self.hears.load(Ordering::Relaxed) { POLL_TOLD } else { POLL }
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
            let tick = deadline.min(Instant::now() + self.poll());
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

    /// `last`: whoever waits goes away with what is known then. Where others are not heard, that
    /// is asked for.
    async fn look_if_due<L, F>(&self, last: bool, look: &L) -> Result<(), ReadError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Position, ReadError>>,
    {
        let mut looked = self.looked.lock().await;
        let asks = last && !self.hears.load(Ordering::Relaxed);
        if asks || looked.is_none_or(|at| at.elapsed() >= self.poll() / 2) {
            self.tell(look().await?);
            *looked = Some(Instant::now());
        }
        Ok(())
    }
}
