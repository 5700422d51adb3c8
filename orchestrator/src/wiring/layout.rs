//! Where the parts of a data folder are.

use std::path::{Path, PathBuf};

use super::OpenError;

/// Where the parts of a data folder are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder itself.
    pub data: PathBuf,
}

impl Layout {
    /// Kept content.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }

    /// Logs of attempts.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// Locks of runs.
    pub fn locks(&self) -> PathBuf {
        self.data.join("locks")
    }

    /// Secrets.
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// The cache index.
    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// Signing keys, and what was signed with them.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    /// The site's signing key.
    pub fn signing_key(&self) -> PathBuf {
        self.keys().join("signing.key")
    }

    /// Checkpoints that were signed here.
    pub fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    /// Published tiles, unless they are published elsewhere.
    pub fn tiles(&self) -> PathBuf {
        self.data.join("tiles")
    }
}

/// Makes the folder, for its owner alone, where it is missing.
pub(super) fn make_folder(path: &Path) -> Result<PathBuf, OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |error: std::io::Error| super::folder(path)(error.to_string());
    let existed = path.is_dir();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    let is_default = path.file_name().is_some_and(|name| name == ".dagbook");
    if !existed && is_default {
        // A data folder inside a repository must not end up in it.
        std::fs::write(path.join(".gitignore"), "*\n").map_err(failed)?;
    }
    Ok(path)
}
