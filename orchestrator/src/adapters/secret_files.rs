//! Secrets of the embedded installation: a file for each, mode 0600, in a folder of mode 0700.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use async_trait::async_trait;
use dagbook_events::ids::TenantId;
use dagbook_executors::{SecretError, SecretSource};

/// The largest value of a secret.
const LARGEST: usize = 64 << 10;

/// Secrets in one folder.
#[derive(Debug, Clone)]
pub struct SecretFiles {
    folder: PathBuf,
}

/// Why a secret cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Its name would not do as a file's name.
    #[error("`{0}` cannot name a secret: it must match [A-Za-z0-9_][A-Za-z0-9_.-]{{0,126}}")]
    Name(String),
    /// It is too large.
    #[error("the value is larger than 64 KiB")]
    TooLarge,
    /// There is none.
    #[error("there is no secret named `{0}`")]
    Missing(String),
    /// The folder cannot be used.
    #[error("the secrets' folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl SecretFiles {
    /// Secrets in the folder, which is made when one is set.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a value, replacing an earlier one.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), SecretFileError> {
        let path = self.path(name)?;
        if value.len() > LARGEST {
            return Err(SecretFileError::TooLarge);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let scratch = self.folder.join(format!(".{name}.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&scratch)?;
        file.write_all(value)?;
        file.sync_all()?;
        Ok(std::fs::rename(scratch, path)?)
    }

    /// Forgets a secret.
    pub fn remove(&self, name: &str) -> Result<(), SecretFileError> {
        match std::fs::remove_file(self.path(name)?) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(SecretFileError::Missing(name.to_string()))
            }
            other => Ok(other?),
        }
    }

    /// Names of the secrets, sorted. Values are never listed.
    pub fn names(&self) -> Result<Vec<String>, SecretFileError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf, SecretFileError> {
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = |c: char| first(c) || c == '.' || c == '-';
        let fits = name.starts_with(first) && name.len() <= 127 && name.chars().all(rest);
        if fits {
            Ok(self.folder.join(name))
        } else {
            Err(SecretFileError::Name(name.chars().take(80).collect()))
        }
    }
}

#[async_trait]
impl SecretSource for SecretFiles {
    async fn get(&self, _tenant: &TenantId, name: &str) -> Result<Vec<u8>, SecretError> {
        let path = self.path(name).map_err(|_| SecretError::Missing(name.to_string()))?;
        match tokio::fs::read(path).await {
            Ok(value) => Ok(value),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(SecretError::Missing(name.to_string()))
            }
            Err(e) => Err(SecretError::Unavailable(e.to_string())),
        }
    }
}
