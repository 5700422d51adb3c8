//! The relay: carries the record into its second copy, and stops everything when the two do
//! not agree. See `record.md`, "The second copy".
//!
//! It keeps no cursor. What the copy ends with is asked, compared with the record, and only
//! then gone on from; every error leads back to that question. A copy that lost its tail, or
//! was deleted, therefore needs no case of its own. Several relays of one record may run at
//! once: each event is taken only at its own place.

pub(in crate::journal) mod backoff;
mod compare;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use compare::Contradiction;
pub use status::{RelayState, RelayStatus};

use self::backoff::jittered;
use super::guard::{Guard, GuardState};
use crate::digest::Sha256Digest;
use crate::ids::Position;
use crate::ports::{CopyError, EventBus, EventStore, ReadError, RecordCopy, Recorded, Wake};
use crate::tlog::leaf_hash;

/// How much is done at once, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLimits {
    /// Events that are read and added at once.
    pub events: usize,
    /// Bytes of leaves that are added at once; a single larger leaf still is.
    pub bytes: usize,
    /// Earlier positions that are compared before the first event is taken.
    pub samples: u64,
    /// An idle relay asks so often what the copy ends with.
    pub look_again: Duration,
    /// The longest pause after an error.
    pub longest_pause: Duration,
    /// So long what comes behind something new is waited for, so that it goes with it: each turn
    /// asks the store and the copy, however little it carries.
    pub gather: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            events: 4_000,
            bytes: 8 << 20,
            samples: 8,
            look_again: Duration::from_secs(10),
            longest_pause: Duration::from_secs(5),
            gather: Duration::from_millis(25),
        }
    }
}

/// Why a turn did not get on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The store or the copy could not be used; the next turn begins at the beginning.
    #[error("{0}")]
    Again(String),
    /// The record is halted; nothing is published any more.
    #[error("{0}")]
    Halted(String),
}

/// What a turn did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Events up to here were added to the copy.
    Published {
        /// Position of the first of them.
        first: Position,
        /// Position of the last of them.
        last: Position,
    },
    /// The copy has everything.
    UpToDate,
}

/// What the copy is known to end with.
#[derive(Debug, Clone, Copy)]
struct End {
    timeline: u64,
    last: Position,
    /// The hash at `last`, where that is not 0.
    hash: Option<Sha256Digest>,
}

/// Carries one record into one copy.
pub struct Relay {
    store: Arc<dyn EventStore>,
    copy: Arc<dyn RecordCopy>,
    guard: Arc<Guard>,
    bus: Option<Arc<dyn EventBus>>,
    limits: RelayLimits,
    status: watch::Sender<RelayStatus>,
    end: Option<End>,
    /// The timeline and the position up to which the copy was compared or added to by us.
    known: Option<(u64, Position)>,
    /// Earlier positions were compared.
    sampled: bool,
    /// How many events the next page asks for.
    page: usize,
}

impl Relay {
    /// A relay that has not asked anything. `guard` is that of `store`.
    pub fn new(
        store: Arc<dyn EventStore>,
        copy: Arc<dyn RecordCopy>,
        guard: Arc<Guard>,
        limits: RelayLimits,
    ) -> Self {
        let page = limits.events.max(1);
        let status = watch::Sender::new(RelayStatus::default());
        Self {
            store,
            copy,
            guard,
            bus: None,
            limits,
            status,
            end: None,
            known: None,
            sampled: false,
            page,
        }
    }

    /// The same relay, which tells every new head on a bus.
    pub fn waking(mut self, bus: Arc<dyn EventBus>) -> Self {
        self.bus = Some(bus);
        self
    }

    /// How it stands, now and later.
    pub fn status(&self) -> watch::Receiver<RelayStatus> {
        self.status.subscribe()
    }

    /// Asks what the copy ends with and compares it with the record. Where they agree the
    /// guard passes, and the next turns go on from there; where they contradict each other it
    /// halts.
    pub async fn check(&mut self) -> Result<Position, RelayError> {
        self.not_halted()?;
        self.end = None;
        let checked = self.compare().await;
        let checked = self.settle(checked)?;
        self.guard.pass();
        self.status.send_modify(|status| {
            status.timeline = checked.timeline;
            status.copied = checked.last;
        });
        self.end = Some(checked);
        self.known = Some((checked.timeline, checked.last));
        Ok(checked.last)
    }

    /// Carries over what comes next, at most one page.
    pub async fn turn(&mut self) -> Result<Turn, RelayError> {
        self.not_halted()?;
        if self.end.is_none() {
            self.check().await?;
        }
        let turned = self.publish().await;
        let turn = self.settle(turned)?;
        self.status.send_modify(|status| {
            status.state = RelayState::Running;
            status.last_error = None;
        });
        Ok(turn)
    }

    /// Turns until it is told to stop (the value becomes true, or its sender is gone).
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::select! {
            () = stopped => {}
            () = self.turn_for_ever() => {}
        }
    }

    async fn turn_for_ever(&mut self) {
        let mut failures = 0;
        let mut looked = Instant::now();
        loop {
            let page = self.page as u64;
            match self.turn().await {
                // A whole page: there is more behind it.
                Ok(Turn::Published { first, last }) if last.0 - first.0 + 1 >= page => failures = 0,
                // What is behind it is told: the store need not be asked in vain.
                Ok(_) => {
                    failures = 0;
                    if looked.elapsed() >= self.limits.look_again {
                        looked = Instant::now();
                        // A tail that was lost is noticed also where nothing is added.
                        self.end = None;
                        continue;
                    }
                    if self.wait_for_news().await.is_err() {
                        self.end = None;
                    }
                }
                Err(RelayError::Again(_)) => {
                    failures += 1;
                    tokio::time::sleep(jittered(failures, self.limits.longest_pause)).await;
                }
                Err(RelayError::Halted(_)) => {
                    tokio::time::sleep(self.limits.look_again.min(Duration::from_secs(1))).await;
                    self.tell_head().await;
                }
            }
        }
    }

    async fn wait_for_news(&mut self) -> Result<(), ReadError> {
        let Some(end) = self.end else { return Ok(()) };
        let limit = self.limits.look_again.min(Duration::from_secs(1));
        let head = self.store.wait_beyond(end.last, limit).await?;
        self.status.send_if_modified(|status| {
            let news = status.head != head;
            status.head = head;
            news
        });
        if head < end.last {
            // The store is not the one that was compared.
            self.end = None;
        }
        if head > end.last {
            tokio::time::sleep(self.limits.gather).await;
        }
        Ok(())
    }

    async fn tell_head(&self) {
        if let Ok(head) = self.store.head().await {
            self.status.send_modify(|status| status.head = head);
        }
    }

    async fn publish(&mut self) -> Result<Turn, Trouble> {
        let Some(end) = self.end else { return Ok(Turn::UpToDate) };
        // The last event that was copied is read again with what follows it: so a store that
        // was exchanged under us is found before anything is added behind a strange past.
        let overlap = usize::from(end.last > Position(0));
        let cursor = Position(end.last.0 - overlap as u64);
        let rows = self.store.read_after(cursor, self.page + overlap).await?;
        compare::dense(cursor, &rows)?;
        if let Some(hash) = end.hash {
            match rows.first() {
                Some(row) => compare::same_as_published(end.timeline, row, hash)?,
                None => {
                    let head = self.store.head().await?;
                    if head < end.last {
                        let (timeline, copy) = (end.timeline, end.last);
                        return Err(Contradiction::Ahead { timeline, copy, record: head }.into());
                    }
                    return Err(Trouble::Again("the store's end came and went".to_string()));
                }
            }
        }
        let fresh = &rows[overlap.min(rows.len())..];
        let (Some(first), Some(newest)) = (fresh.first(), fresh.last()) else {
            self.status.send_modify(|status| status.head = end.last);
            return Ok(Turn::UpToDate);
        };
        // Events of another timeline belong into another copy. It is asked after the reading,
        // because a timeline only grows.
        if self.store.timeline().await? != end.timeline {
            self.end = None;
            return Err(Trouble::Again("the record has gone over to another timeline".to_string()));
        }
        self.wake(newest).await;
        let count = self.fitting(fresh);
        let batch = &fresh[..count];
        let last = batch.last().map_or(first.position, |event| event.position);
        // While it is under way the end is not known, also if this turn is given up.
        self.end = None;
        let added = self.copy.add(end.timeline, end.last, batch).await?;
        if added != last {
            let text = format!("the copy ends at {added} where {last} was added");
            return Err(Trouble::Again(text));
        }
        let hash = batch.last().map(|event| leaf_hash(&event.leaf));
        self.end = Some(End { timeline: end.timeline, last, hash });
        self.known = Some((end.timeline, last));
        self.status.send_modify(|status| {
            status.copied = last;
            status.head = status.head.max(newest.position);
            status.published += count as u64;
        });
        Ok(Turn::Published { first: first.position, last })
    }

    async fn wake(&self, newest: &Recorded) {
        if let Some(bus) = &self.bus {
            let wake = Wake { tenant: newest.tenant.clone(), head: newest.position };
            // A hint; whoever misses it looks by itself after a while.
            let _ = bus.publish(wake).await;
        }
    }

    /// How many of the events are added now; the next page is asked for accordingly.
    fn fitting(&mut self, events: &[Recorded]) -> usize {
        let mut bytes = 0;
        let count = events
            .iter()
            .take_while(|event| {
                let first = bytes == 0;
                bytes += event.leaf.len();
                first || bytes <= self.limits.bytes
            })
            .count();
        let mean = (bytes / (count + 1)).max(1);
        self.page = (self.limits.bytes / mean).clamp(16, self.limits.events.max(16));
        count
    }

    fn not_halted(&mut self) -> Result<(), RelayError> {
        match self.guard.state() {
            GuardState::Halted(reason) => Err(self.halted(reason)),
            GuardState::Open | GuardState::Waiting(_) => Ok(()),
        }
    }

    fn halted(&mut self, reason: String) -> RelayError {
        self.end = None;
        self.status.send_modify(|status| {
            status.state = RelayState::Halted;
            status.last_error = Some(reason.clone());
        });
        RelayError::Halted(reason)
    }

    /// Makes of trouble what the outside hears: a halted guard, or another attempt.
    fn settle<T>(&mut self, outcome: Result<T, Trouble>) -> Result<T, RelayError> {
        match outcome {
            Ok(value) => Ok(value),
            Err(Trouble::Contradiction(found)) => {
                let reason = found.to_string();
                self.guard.halt(&reason);
                Err(self.halted(reason))
            }
            Err(Trouble::Again(text)) => {
                self.end = None;
                self.status.send_modify(|status| {
                    status.state = RelayState::Retrying;
                    status.last_error = Some(text.clone());
                });
                Err(RelayError::Again(text))
            }
        }
    }
}

/// What goes wrong inside.
enum Trouble {
    Again(String),
    Contradiction(Contradiction),
}

impl From<Contradiction> for Trouble {
    fn from(found: Contradiction) -> Self {
        Self::Contradiction(found)
    }
}

impl From<CopyError> for Trouble {
    fn from(error: CopyError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::Again(error.to_string()),
            ReadError::Corrupt { position, detail } => {
                Contradiction::Damaged { position, detail }.into()
            }
        }
    }
}
