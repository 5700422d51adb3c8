//! What retention works with, from the configuration.

use std::sync::Arc;

use dagbook_events::journal::archive::{Archiver, ArchiverParts};
use dagbook_events::ports::{Actor, RecordCopy};

use super::{Installation, Jet, OpenError, copy, folder, site_key};
use crate::adapters::KeptFiles;
use crate::app::retention::Keeping;
use crate::config::Config;
use crate::runtime::record::Recorder;

impl Installation {
    /// What lets go of what is not kept any more.
    ///
    /// # Errors
    /// Where the data folder or the place of the tiles cannot be used.
    pub fn keeping(&self, config: &Config) -> Result<Keeping, OpenError> {
        let layout = self.layout();
        let files = KeptFiles::open(layout.logs(), layout.cache(), &layout.blobs())
            .map_err(|error| folder(&layout.blobs())(error.to_string()))?;
        Ok(Keeping {
            store: self.deps.store.clone(),
            recorder: Recorder::new(&self.deps),
            blobs: self.deps.blobs.clone(),
            shelf: self.shelf.clone(),
            upkeep: self.upkeep.clone(),
            files,
            archiver: self.archiver(config)?,
            clock: self.deps.clock.clone(),
            rng: self.deps.rng.clone(),
            actor: Actor::new("system", "retention"),
        })
    }

    /// Brings old events to the tiles: where the store can let them go, tiles are published, and
    /// the site's key is here.
    fn archiver(&self, config: &Config) -> Result<Option<Archiver>, OpenError> {
        let layout = self.layout();
        let Some(archive) = &self.archive else { return Ok(None) };
        let Ok(key) = site_key(&layout) else { return Ok(None) };
        let Some(objects) = copy::objects(config, &layout)? else { return Ok(None) };
        let copy = Jet::of(config).map(|jet| -> Arc<dyn RecordCopy> { jet.record_copy() });
        Ok(Some(Archiver::new(ArchiverParts {
            store: self.deps.store.clone(),
            archive: archive.clone(),
            objects,
            key,
            witnesses: config.witnesses.clone(),
            copy,
        })))
    }
}
