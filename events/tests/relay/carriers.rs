//! The relay, and others that are wrong in one way each: what finds no fault with those finds
//! none with anything.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::Position;
use dagbook_events::journal::copy::MemoryCopy;
use dagbook_events::journal::relay::{Relay, RelayError, RelayLimits, Turn};
use dagbook_events::journal::{Guard, GuardState};
use dagbook_events::ports::{EventStore, RecordCopy};

use super::world::World;

/// Whatever carries a record into its copy.
#[async_trait]
pub trait Carrier: Send {
    /// Begins at the beginning.
    async fn check(&mut self);
    /// Gets on by one page; true where something was copied.
    async fn turn(&mut self) -> bool;
    /// Why nothing is copied any more.
    fn halted(&self) -> Option<String>;
}

/// Makes carriers; the number is how many earlier positions they compare at first.
pub type Make = fn(&Arc<World>, &MemoryCopy, u64) -> Box<dyn Carrier>;

struct Real(Relay, Arc<Guard>);

/// The relay itself, with pages so small that many are needed.
pub fn real(world: &Arc<World>, copy: &MemoryCopy, samples: u64) -> Box<dyn Carrier> {
    let guard = Arc::new(Guard::waiting("not compared yet"));
    let limits = RelayLimits { events: 16, samples, ..RelayLimits::default() };
    let copy = Arc::new(copy.clone());
    Box::new(Real(Relay::new(world.clone(), copy, guard.clone(), limits), guard))
}

#[async_trait]
impl Carrier for Real {
    async fn check(&mut self) {
        let checked = self.0.check().await;
        let open = self.1.state() == GuardState::Open;
        assert!(checked.is_err() || open, "a record that was compared is open");
    }
    async fn turn(&mut self) -> bool {
        match self.0.turn().await {
            Ok(Turn::Published { first, last }) => {
                assert!(first <= last);
                true
            }
            Ok(Turn::UpToDate) | Err(RelayError::Again(_)) => false,
            Err(RelayError::Halted(reason)) => {
                assert_eq!(self.1.state(), GuardState::Halted(reason));
                false
            }
        }
    }
    fn halted(&self) -> Option<String> {
        match self.1.state() {
            GuardState::Halted(reason) => Some(reason),
            _ => None,
        }
    }
}

/// What a wrong carrier leaves out.
#[derive(Clone, Copy, PartialEq)]
enum Omits {
    /// Comparing what the copy ends with.
    Comparison,
    /// Asking for the end again after an error.
    AskingAgain,
    /// Refusing a copy that goes further than the record.
    Ahead,
    /// Asking which timeline is written.
    Timeline,
}

struct Wrong {
    world: Arc<World>,
    copy: MemoryCopy,
    omits: Omits,
    end: Option<(u64, Position)>,
    halted: Option<String>,
}

fn wrong(world: &Arc<World>, copy: &MemoryCopy, omits: Omits) -> Box<dyn Carrier> {
    let (world, copy) = (world.clone(), copy.clone());
    Box::new(Wrong { world, copy, omits, end: None, halted: None })
}

pub fn without_comparison(w: &Arc<World>, c: &MemoryCopy, _: u64) -> Box<dyn Carrier> {
    wrong(w, c, Omits::Comparison)
}

pub fn without_asking_again(w: &Arc<World>, c: &MemoryCopy, _: u64) -> Box<dyn Carrier> {
    wrong(w, c, Omits::AskingAgain)
}

pub fn without_refusing_ahead(w: &Arc<World>, c: &MemoryCopy, _: u64) -> Box<dyn Carrier> {
    wrong(w, c, Omits::Ahead)
}

pub fn without_timeline(w: &Arc<World>, c: &MemoryCopy, _: u64) -> Box<dyn Carrier> {
    wrong(w, c, Omits::Timeline)
}

impl Wrong {
    async fn begin(&mut self) -> Option<()> {
        let timeline = match self.omits {
            Omits::Timeline => 1,
            _ => self.world.timeline().await.ok()?,
        };
        let last = self.copy.last(timeline).await.ok()?;
        let head = self.world.head().await.ok()?;
        if last > head && self.omits != Omits::Ahead {
            self.halted = Some(format!("it ends at position {last}, not {head}"));
            return None;
        }
        if last > Position(0) && last <= head && self.omits != Omits::Comparison {
            let row = self.world.read_after(Position(last.0 - 1), 1).await.ok()?;
            let copied = self.copy.at(timeline, last).await.ok()??;
            if row.first().is_some_and(|row| row.leaf != copied.leaf) {
                self.halted = Some(format!("they differ at position {last}"));
                return None;
            }
        }
        self.end = Some((timeline, last));
        Some(())
    }
}

#[async_trait]
impl Carrier for Wrong {
    async fn check(&mut self) {
        if self.omits != Omits::AskingAgain || self.end.is_none() {
            self.begin().await;
        }
    }
    async fn turn(&mut self) -> bool {
        if self.halted.is_some() || self.end.is_none() && self.begin().await.is_none() {
            return false;
        }
        let Some((timeline, last)) = self.end else { return false };
        let Ok(rows) = self.world.read_after(last, 16).await else { return false };
        if rows.is_empty() {
            return false;
        }
        match self.copy.add(timeline, last, &rows).await {
            Ok(end) => {
                self.end = Some((timeline, end));
                true
            }
            Err(_) => {
                if self.omits != Omits::AskingAgain {
                    self.end = None;
                }
                false
            }
        }
    }
    fn halted(&self) -> Option<String> {
        self.halted.clone()
    }
}
