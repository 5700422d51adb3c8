//! Ownership of runs by advisory file locks: a lock ends with its process, however it ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dagbook_events::ids::RunId;
use rustix::fs::{FlockOperation, flock};

use crate::runtime::{Owned, Ownership};

/// Lock files in one folder.
#[derive(Debug, Clone)]
pub struct RunLocks {
    folder: PathBuf,
}

impl RunLocks {
    /// Locks in the folder, which is made when it is missing.
    pub fn new(folder: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Runs whose lock nobody holds any more: their processes ended without ending them.
    pub fn left_behind(&self) -> Vec<RunId> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut runs: Vec<RunId> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                name.strip_suffix(".lock")?.parse().ok()
            })
            .filter(|run| !self.is_taken(*run))
            .collect();
        runs.sort();
        runs
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}.lock"))
    }

    fn open(&self, run: RunId) -> std::io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(self.path(run))
    }
}

/// Holds the lock. The file stays when the process ends, which tells that the run did not.
struct Held {
    _file: File,
}

/// Whether the open file is still the one at the path.
fn is_current(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    open.ino() == there.ino() && open.dev() == there.dev()
}

impl Ownership for RunLocks {
    fn take(&self, run: RunId) -> std::io::Result<Option<Owned>> {
        let path = self.path(run);
        loop {
            let file = self.open(run)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_current(&file, &path) => {
                    return Ok(Some(Box::new(Held { _file: file })));
                }
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn over(&self, run: RunId) {
        // Whoever opened the file before sees in `is_current` that it was removed.
        let _ = std::fs::remove_file(self.path(run));
    }

    fn is_taken(&self, run: RunId) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(self.path(run)) else { return false };
        matches!(
            flock(&file, FlockOperation::NonBlockingLockShared),
            Err(rustix::io::Errno::WOULDBLOCK)
        )
    }
}
