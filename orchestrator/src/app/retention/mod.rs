//! Retention: what people of a site and of its tenants want to be kept and for how long, and
//! letting go of the rest, a bounded piece at a time.
//!
//! Reading order: `settings`, what is wanted; `sweep`, one turn of everything; `logs`, `content`,
//! its parts; `asked`, what people may ask for. The server's `upkeep` takes turns while it leads.

mod asked;
mod content;
mod logs;
mod settings;
mod sweep;
mod wanted;

use std::sync::Arc;

use dagbook_events::journal::archive::Archiver;
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore, Rng, Shelf, Upkeep};

pub use self::asked::{change_by, logs_went, show};
pub use self::settings::{Policies, change, load};
pub use self::sweep::{Swept, Turn};
pub use self::wanted::{source_is_there, still_there};
use crate::adapters::KeptFiles;
use crate::app::error::AppError;
use crate::runtime::record::Recorder;

/// What retention works with.
pub struct Keeping {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// Reads runs.
    pub recorder: Recorder,
    /// Content.
    pub blobs: Arc<dyn Blobs>,
    /// Small things that change.
    pub shelf: Arc<dyn Shelf>,
    /// What the store keeps for a while.
    pub upkeep: Arc<dyn Upkeep>,
    /// Files of this data folder.
    pub files: KeptFiles,
    /// Brings old events to the tiles, where the store can let them go.
    pub archiver: Option<Archiver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub rng: Arc<dyn Rng>,
    /// In whose name it is recorded.
    pub actor: Actor,
}

fn unavailable(error: &std::io::Error) -> AppError {
    AppError::Internal(format!("the data folder cannot be used: {error}"))
}
