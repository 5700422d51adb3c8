//! Where the parts of a data folder are.

use std::path::{Path, PathBuf};

use std::io::Write;
use std::sync::Arc;

use dagbook_events::journal::clock::SystemRng;
use dagbook_events::ports::Rng;

use super::OpenError;

/// Where the parts of a data folder are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder itself.
    pub data: PathBuf,
}

impl Layout {
    /// The identity of the place that this folder is: a text made once, that goes with the
    /// folder. What is started here can be found again here, and nowhere else.
    pub fn place(&self) -> Result<Arc<str>, OpenError> {
        let path = self.data.join("place");
        let failed = |error: std::io::Error| super::folder(&path)(error.to_string());
        loop {
            match std::fs::read_to_string(&path) {
                Ok(text) if is_place(text.trim()) => return Ok(Arc::from(text.trim())),
                Ok(_) => {
                    let reason = "the file `place` names no place; remove it if nothing runs here";
                    return Err(super::folder(&path)(reason.to_string()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
            let name: String =
                SystemRng.bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            let folder = self.data.as_path();
            let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
            writeln!(file, "{name}").map_err(failed)?;
            file.as_file().sync_all().map_err(failed)?;
            // Of two that make it at one time one is the first; the other reads that.
            if let Err(error) = file.persist_noclobber(&path)
                && error.error.kind() != std::io::ErrorKind::AlreadyExists
            {
                return Err(failed(error.error));
            }
        }
    }

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

    /// The keys that seal secrets, unless they are configured to be elsewhere.
    pub fn site_key(&self) -> PathBuf {
        self.keys().join("site.key")
    }

    /// Checkpoints that were signed here.
    pub fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    /// Bundles that are being written for others.
    pub fn exports(&self) -> PathBuf {
        self.data.join("exports")
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

fn is_place(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
