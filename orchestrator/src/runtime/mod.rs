//! The shell around the engine: one loop, everything that can wake it, and a file for each kind
//! of effect that it performs.

mod driver;
mod handle;
mod interpret;
mod life;
pub mod news;
mod ownership;
pub mod record;
mod tail;
mod timers;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore, Rng, Shelf};
use dagbook_executors::Registry;

pub use driver::start;
pub use handle::{AskError, Runtime, Watch};
pub use life::{Leading, Life, LifeEnd, Moment};
pub use ownership::{NoOwnership, Owned, Ownership};

use crate::app::ports::CacheIndex;
use crate::config::Limits;

use self::news::News;

/// What the runtime is made of. Plain ports: wiring decides what stands behind them.
#[derive(Clone)]
pub struct Deps {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// What is new in it, for all who follow it.
    pub news: News,
    /// Sources, artifacts, long outputs.
    pub blobs: Arc<dyn Blobs>,
    /// Small things that change.
    pub shelf: Arc<dyn Shelf>,
    /// Executors by name.
    pub executors: Registry,
    /// Places of each executor.
    pub slots: std::collections::BTreeMap<String, u32>,
    /// Bounds of the site, and what pools have besides places.
    pub limits: Limits,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub rng: Arc<dyn Rng>,
    /// Earlier results.
    pub cache: Arc<dyn CacheIndex>,
    /// The place of each executor that is bound to one: only there can what it started be found.
    pub places: std::collections::BTreeMap<String, Arc<str>>,
    /// How long an attempt that is bound to another place is waited for before it is called lost.
    pub patience: Duration,
    /// Set for the one process that acts for a whole site: it takes over the runs that others
    /// submit, and its appends are fenced.
    pub leading: Option<Leading>,
    /// Which runs are whose, among the processes that share the store.
    pub ownership: Arc<dyn Ownership>,
    /// Whose runs these are, for commands that name no tenant.
    pub tenant: TenantId,
    /// Who asks, when a person does.
    pub person: Actor,
}

/// How long an attempt of another place is waited for, unless it is set.
pub const PATIENCE: Duration = Duration::from_secs(30);
