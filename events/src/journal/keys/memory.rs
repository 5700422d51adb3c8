//! What a signer signed last, by log.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{beside, unusable};
use crate::digest::Sha256Digest;
use crate::ports::SignError;
use crate::tlog::{Checkpoint, verify_consistency};

/// The memory, held under its lock.
pub(super) struct Memory {
    path: PathBuf,
    signed: BTreeMap<String, Signed>,
    _lock: File,
}

#[derive(Clone, Serialize, Deserialize)]
struct Signed {
    size: u64,
    root: Sha256Digest,
}

impl Memory {
    /// Locks and reads the memory of the key at this path.
    pub(super) fn lock(key: &Path) -> Result<Self, SignError> {
        let path = beside(key, ".signed");
        let fail = |error: io::Error| unusable(&path, &error.to_string());
        let lock = File::create(beside(key, ".lock")).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let signed = match fs::read(&path) {
            // A memory that cannot be read is not the same as none: signing on would be blind.
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| unusable(&path, &format!("the signer's memory: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(fail(error)),
        };
        Ok(Self { path, signed, _lock: lock })
    }

    pub(super) fn last(&self, origin: &str) -> Option<Checkpoint> {
        let Signed { size, root } = self.signed.get(origin)?.clone();
        Some(Checkpoint { origin: origin.to_string(), size, root })
    }

    /// Accepts a checkpoint that extends the last one, and remembers it durably.
    pub(super) fn accept(
        &mut self,
        next: &Checkpoint,
        proof: &[Sha256Digest],
    ) -> Result<(), SignError> {
        if let Some(last) = self.signed.get(&next.origin) {
            let heads = ((last.size, &last.root), (next.size, &next.root));
            verify_consistency(heads.0, heads.1, proof).map_err(|error| {
                SignError::Inconsistent(format!(
                    "{} with {} leaves does not extend the {} leaves that were signed before: \
                     {error}",
                    next.origin, next.size, last.size
                ))
            })?;
            if last.size == next.size {
                return Ok(());
            }
        }
        let signed = Signed { size: next.size, root: next.root };
        self.signed.insert(next.origin.clone(), signed);
        self.store().map_err(|error| unusable(&self.path, &error.to_string()))
    }

    fn store(&self) -> io::Result<()> {
        let temporary = beside(&self.path, ".new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(&self.signed)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        match self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}
