//! The shell around the engine: one loop, everything that can wake it, and a file for each kind
//! of effect that it performs.

mod driver;
mod handle;
mod interpret;
mod ownership;
pub mod record;
mod tail;
mod timers;
mod wake;

use std::sync::Arc;

use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore, Rng};
use dagbook_executors::Registry;

pub use driver::start;
pub use handle::{AskError, Runtime, Watch};
pub use ownership::{NoOwnership, Owned, Ownership};

use crate::app::ports::CacheIndex;

/// What the runtime is made of. Plain ports: wiring decides what stands behind them.
#[derive(Clone)]
pub struct Deps {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// Sources, artifacts, long outputs.
    pub blobs: Arc<dyn Blobs>,
    /// Executors by name.
    pub executors: Registry,
    /// Places of each executor.
    pub slots: std::collections::BTreeMap<String, u32>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub rng: Arc<dyn Rng>,
    /// Earlier results.
    pub cache: Arc<dyn CacheIndex>,
    /// Which runs are whose, among the processes that share the store.
    pub ownership: Arc<dyn Ownership>,
    /// Whose runs these are.
    pub tenant: TenantId,
    /// Who asks, when a person does.
    pub person: Actor,
}
