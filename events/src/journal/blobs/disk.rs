//! Blobs as files named by their hash, in two levels of folders.
//!
//! A blob is written to a temporary file, synced, and renamed into place, so that a file under
//! its final name is always whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::super::scratch::{Scratch, unique};
use crate::digest::Sha256Digest;
use crate::ports::{BlobError, Blobs};

/// How seldom it is noted that a blob is still wanted.
const FRESH: Duration = Duration::from_secs(3_600);

/// Keeps blobs under one folder.
#[derive(Debug, Clone)]
pub struct DiskBlobs {
    root: Arc<Path>,
}

impl DiskBlobs {
    /// Uses the folder, and makes it if need be.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, BlobError> {
        fs::create_dir_all(root.as_ref().join("tmp")).map_err(unavailable)?;
        Ok(Self { root: Arc::from(root.as_ref()) })
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
        let (temporary, mut file) = Scratch::create(&self.root.join("tmp"))?;
        let (hash, length) = copy(source, &mut file)?;
        let target = self.path(&hash);
        if target.try_exists()? {
            refresh(&target)?;
            return Ok((hash, length));
        }
        file.sync_all()?;
        self.place(temporary.path(), &target)?;
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

    /// Blobs that nobody has kept or asked for since an instant, at most `limit`, in order,
    /// behind one.
    pub async fn older(
        &self,
        than: SystemTime,
        behind: Option<Sha256Digest>,
        limit: usize,
    ) -> Result<Vec<Sha256Digest>, BlobError> {
        let this = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for outer in names(&this.root, 2).map_err(unavailable)? {
                for inner in names(&this.root.join(&outer), 2).map_err(unavailable)? {
                    let folder = this.root.join(&outer).join(inner);
                    for name in names(&folder, 64).map_err(unavailable)? {
                        let Ok(hash) = name.parse::<Sha256Digest>() else { continue };
                        let is_behind = behind.is_none_or(|behind| hash.0 > behind.0);
                        if !is_behind || !is_older(&folder.join(&name), than) {
                            continue;
                        }
                        found.push(hash);
                        if found.len() >= limit {
                            return Ok(found);
                        }
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    /// Removes a blob, unless somebody has kept it or asked for it since the instant; says how
    /// long it was. It is taken away first and looked at then, so that whoever keeps the same
    /// bytes meanwhile either is seen or writes them anew.
    pub async fn remove_older(
        &self,
        hash: &Sha256Digest,
        than: SystemTime,
    ) -> Result<Option<u64>, BlobError> {
        let (this, hash) = (self.clone(), *hash);
        blocking(move || this.remove_now(&hash, than).map_err(unavailable)).await
    }

    fn remove_now(&self, hash: &Sha256Digest, than: SystemTime) -> io::Result<Option<u64>> {
        let path = self.path(hash);
        if !is_older(&path, than) {
            return Ok(None);
        }
        let aside = self.root.join("tmp").join(format!("{}-going", unique()));
        match fs::rename(&path, &aside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed?,
        }
        if !is_older(&aside, than) {
            fs::rename(&aside, &path)?;
            return Ok(None);
        }
        let length = fs::metadata(&aside)?.len();
        fs::remove_file(&aside)?;
        Ok(Some(length))
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

/// Names of entries that are so long, in order; none where there is no folder.
fn names(folder: &Path, length: usize) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.len() == length {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn is_older(path: &Path, than: SystemTime) -> bool {
    fs::metadata(path).and_then(|it| it.modified()).is_ok_and(|modified| modified < than)
}

/// Marks a blob as wanted again, so that it is not removed before its new event is recorded.
fn refresh(path: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    if is_older(path, now - FRESH) { File::open(path)?.set_modified(now) } else { Ok(()) }
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
            Ok(true) if refresh(&this.path(&Sha256Digest::of(&bytes))).is_ok() => {
                Ok(Sha256Digest::of(&bytes))
            }
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
        blocking(move || {
            let path = this.path(&hash);
            match path.try_exists().map_err(unavailable)? {
                false => Ok(false),
                // Gone in this moment, or marked as wanted.
                true => Ok(refresh(&path).is_ok()),
            }
        })
        .await
    }
}
