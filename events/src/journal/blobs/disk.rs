//! Blobs as files named by their hash, in two levels of folders.
//!
//! A blob is written to a temporary file, synced, and renamed into place, so that a file under
//! its final name is always whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::digest::Sha256Digest;
use crate::ports::{BlobError, Blobs};

/// Keeps blobs under one folder.
#[derive(Debug, Clone)]
pub struct DiskBlobs {
    root: Arc<Path>,
    /// Distinguishes temporary files of this process.
    next: Arc<AtomicU64>,
}

impl DiskBlobs {
    /// Uses the folder, and makes it if need be.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, BlobError> {
        fs::create_dir_all(root.as_ref().join("tmp")).map_err(unavailable)?;
        Ok(Self { root: Arc::from(root.as_ref()), next: Arc::default() })
    }

    /// Where a blob is kept, whether it is there or not.
    pub fn path(&self, hash: &Sha256Digest) -> PathBuf {
        let name = hash.to_hex();
        self.root.join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Keeps a file's content without holding it in memory, and returns its hash and length.
    pub async fn put_file(&self, path: &Path) -> Result<(Sha256Digest, u64), BlobError> {
        let (this, path) = (self.clone(), path.to_path_buf());
        blocking(move || {
            let describe =
                |e: io::Error| BlobError::Unavailable(format!("{}: {e}", path.display()));
            let mut source = File::open(&path).map_err(describe)?;
            this.keep(&mut source).map_err(unavailable)
        })
        .await
    }

    /// Copies the source into place.
    fn keep(&self, source: &mut dyn Read) -> io::Result<(Sha256Digest, u64)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let temporary = Temporary(self.root.join("tmp").join(name));
        let mut file = File::create(&temporary.0)?;
        let (hash, length) = copy(source, &mut file)?;
        let target = self.path(&hash);
        if target.try_exists()? {
            return Ok((hash, length));
        }
        file.sync_all()?;
        self.place(&temporary.0, &target)?;
        Ok((hash, length))
    }

    /// Renames into place and makes the names last: first those of the folders, then the
    /// file's own.
    fn place(&self, temporary: &Path, target: &Path) -> io::Result<()> {
        let inner = target.parent().unwrap_or(&self.root);
        let outer = inner.parent().unwrap_or(&self.root);
        if !inner.try_exists()? {
            fs::create_dir_all(inner)?;
            sync_folder(&self.root)?;
            sync_folder(outer)?;
        }
        fs::rename(temporary, target)?;
        sync_folder(inner)
    }

    fn read(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = match fs::read(self.path(hash)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BlobError::Missing(*hash)),
            Err(e) => return Err(unavailable(e)),
        };
        match Sha256Digest::of(&bytes) == *hash {
            true => Ok(bytes),
            false => Err(BlobError::Damaged(*hash)),
        }
    }
}

/// A file that is removed unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}

fn copy(source: &mut dyn Read, target: &mut File) -> io::Result<(Sha256Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut length = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok((Sha256Digest(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        length += read as u64;
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unavailable(error: io::Error) -> BlobError {
    BlobError::Unavailable(error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| BlobError::Unavailable(format!("the work stopped: {error}")))?
}

#[async_trait]
impl Blobs for DiskBlobs {
    async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError> {
        let (this, bytes) = (self.clone(), bytes.to_vec());
        blocking(move || match this.path(&Sha256Digest::of(&bytes)).try_exists() {
            Ok(true) => Ok(Sha256Digest::of(&bytes)),
            _ => this.keep(&mut bytes.as_slice()).map(|(hash, _)| hash).map_err(unavailable),
        })
        .await
    }

    async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
        let (this, hash) = (self.clone(), *hash);
        blocking(move || this.read(&hash)).await
    }

    async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError> {
        let (this, hash) = (self.clone(), *hash);
        blocking(move || this.path(&hash).try_exists().map_err(unavailable)).await
    }
}
