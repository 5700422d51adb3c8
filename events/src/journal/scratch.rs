//! Files that are written under another name before they get their own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that no other file of this process has, whichever of its parts makes it: several may keep
/// what they have in one folder.
pub fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", std::process::id())
}

/// A file that is removed unless it was renamed.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one that nobody else writes: of another machine on the same folder, the process may
    /// have the same number.
    pub(super) fn create(folder: &Path) -> io::Result<(Self, File)> {
        loop {
            let path = folder.join(unique());
            match File::options().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok((Self(path), file?)),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}
