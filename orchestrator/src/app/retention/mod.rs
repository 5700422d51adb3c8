//! Retention: what people of a site and of its tenants want to be kept and for how long, and
//! letting go of the rest, a bounded piece at a time.
//!
//! Reading order: `settings`, what is wanted; `sweep`, one turn of everything; `logs`, `content`,
//! its parts; `run` takes turns for as long as a process leads.

mod content;
mod logs;
mod settings;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::journal::archive::Archiver;
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore, Rng, Shelf, Upkeep};
use tokio::sync::watch;

pub use self::settings::{Policies, change, load};
pub use self::sweep::{Swept, Turn};
use crate::adapters::KeptFiles;
use crate::app::error::AppError;
use crate::runtime::record::Recorder;

/// How long after its start a leader takes its first turn.
const FIRST: Duration = Duration::from_secs(60);
/// How long after a turn the next one is taken.
const NEXT: Duration = Duration::from_secs(600);

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

/// Takes turns until `stop` is true or its sender is gone. Whoever leads runs this; that two do
/// it at once for a moment harms nothing.
pub async fn run(keeping: Keeping, mut stop: watch::Receiver<bool>) {
    let mut turn = Turn::default();
    let mut wait = FIRST;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = NEXT;
        let taken = tokio::select! {
            // What is under way can be cut off at any point.
            _ = stop.wait_for(|stop| *stop) => return,
            taken = turn.take(&keeping, false) => taken,
        };
        match taken {
            Ok(swept) => {
                for problem in &swept.problems {
                    tracing::warn!(%problem, "retention");
                }
                tracing::debug!(logs = swept.logs, blobs = swept.blobs, "retention");
            }
            Err(error) => tracing::warn!(%error, "retention could not take its turn"),
        }
    }
}

fn unavailable(error: &std::io::Error) -> AppError {
    AppError::Internal(format!("the data folder cannot be used: {error}"))
}
