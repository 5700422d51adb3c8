//! What an auditor is given, from the configuration.

use std::time::{Duration, SystemTime};

use super::{Installation, OpenError, checkpoints, copy};
use crate::app::audit::{Evidence, EvidenceParts};
use crate::config::Config;

/// What is left in the folder of unfinished bundles is removed after this.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3_600);

impl Installation {
    /// Gives auditors what they check. Cosignatures are waited for so long.
    ///
    /// # Errors
    /// Where the site's key or the place of the tiles cannot be used.
    pub fn evidence(&self, config: &Config, patience: Duration) -> Result<Evidence, OpenError> {
        let layout = self.layout();
        let scratch = layout.exports();
        sweep(&scratch);
        Ok(Evidence::new(EvidenceParts {
            store: self.deps.store.clone(),
            checkpoints: checkpoints(&layout, &config.site)?,
            witnesses: config.witnesses.clone(),
            objects: copy::objects(config, &layout)?,
            scratch,
            patience,
        }))
    }
}

/// Removes what a process left that was killed while it wrote a bundle for somebody.
fn sweep(scratch: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(scratch) else { return };
    for entry in entries.flatten() {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = written.is_ok_and(|written| {
            SystemTime::now().duration_since(written).is_ok_and(|age| age > LEFT_OVER)
        });
        if is_old {
            // What cannot be removed now is tried again at the next start.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
