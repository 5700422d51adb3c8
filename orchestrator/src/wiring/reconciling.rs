//! What reconciliation works with, from the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use dagbook_events::ids::AttemptId;
use dagbook_events::ports::Actor;
use dagbook_executors::local::journal::{self, read_journal};

use super::{CheckpointError, Installation, OpenError};
use crate::app::error::AppError;
use crate::app::reconcile::{Ended, Kept, Reconciling};
use crate::config::Config;

impl Installation {
    /// What compares, and records what it found in this name.
    ///
    /// # Errors
    /// Where the data folder cannot be used, or what was signed cannot be read.
    pub async fn reconciling(
        &self,
        config: &Config,
        actor: Actor,
    ) -> Result<Reconciling, OpenError> {
        let layout = self.layout();
        Ok(Reconciling {
            store: self.deps.store.clone(),
            audit: self.audit.clone(),
            signed: self.signed_heads().await.map_err(|e: CheckpointError| OpenError::from(e))?,
            site: config.site.clone(),
            place: layout.place()?.to_string(),
            scratch: layout.exports(),
            clock: self.deps.clock.clone(),
            rng: self.deps.rng.clone(),
            actor,
        })
    }
}

/// What the local executor of a data folder kept of its attempts.
///
/// # Errors
/// Where its folders or its journal cannot be read.
pub fn kept(data: &Path) -> Result<Kept, AppError> {
    let root = data.join("attempts");
    let read = read_journal(&root).map_err(|error| {
        AppError::unavailable(format!("{}: {error}", journal::journal_path(&root).display()))
    })?;
    let ended = |all: BTreeMap<AttemptId, journal::Ended>| {
        let plain = |it: journal::Ended| Ended { allocated: it.allocated, released: it.released };
        all.into_iter().map(|(attempt, it)| (attempt, plain(it))).collect()
    };
    Ok(Kept {
        since: read.since,
        ended: ended(read.ended),
        waiting: ended(read.waiting),
        running: read.running.into_iter().collect(),
        twice: read.twice,
    })
}
