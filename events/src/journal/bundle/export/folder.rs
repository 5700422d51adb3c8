//! The folder that a bundle is written into: a temporary one beside the target, which takes the
//! target's name when everything is there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{ExportError, Progress};
use crate::digest::Sha256Digest;

/// What a temporary folder's name begins with.
const TEMPORARY: &str = ".dagbook-export-";

/// Attempts at a name that nobody has.
const NAMES: u32 = 1_000;

/// A file that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// How long it is.
    pub(super) bytes: u64,
    /// Its digest.
    pub(super) sha256: Sha256Digest,
}

/// A bundle that is being written. Dropped before [`Folder::finish`], it leaves nothing.
pub(super) struct Folder {
    /// Whose name it takes at the end; none: it stays where it is, and whoever made it removes it.
    target: Option<PathBuf>,
    temporary: PathBuf,
    files: BTreeMap<String, Written>,
    tell: Option<mpsc::Sender<Progress>>,
    is_whole: bool,
}

impl Folder {
    /// Begins beside the target, which must not exist, or be empty.
    pub(super) fn begin(
        target: &Path,
        tell: Option<mpsc::Sender<Progress>>,
    ) -> Result<Self, ExportError> {
        let failed = |error: io::Error| ExportError::file(target, &error);
        refuse_what_is_there(target)?;
        let name = target.file_name().ok_or_else(|| {
            failed(io::Error::other("it has no name; name a folder that is to be made"))
        })?;
        let above = match target.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        fs::create_dir_all(above).map_err(failed)?;
        for n in 0..NAMES {
            let process = std::process::id();
            let beside = format!("{TEMPORARY}{}-{process}-{n}", name.to_string_lossy());
            let temporary = above.join(beside);
            match fs::DirBuilder::new().mode(0o700).create(&temporary) {
                Ok(()) => {
                    let files = BTreeMap::new();
                    let target = Some(target.to_path_buf());
                    return Ok(Self { target, temporary, files, tell, is_whole: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::other("there are too many unfinished exports beside it")))
    }

    /// Writes into a folder that is there already and belongs to the caller.
    pub(super) fn within(folder: &Path, tell: Option<mpsc::Sender<Progress>>) -> Self {
        let temporary = folder.to_path_buf();
        Self { target: None, temporary, files: BTreeMap::new(), tell, is_whole: true }
    }

    /// Where the files are now.
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// A name beside it for what is needed while it is written.
    pub(super) fn beside(&self) -> PathBuf {
        let mut name = self.temporary.as_os_str().to_os_string();
        name.push(".sort");
        name.into()
    }

    /// What was written, by path.
    pub(super) fn files(&self) -> &BTreeMap<String, Written> {
        &self.files
    }

    /// Writes a file.
    pub(super) async fn put(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), ExportError> {
        self.put_all(vec![(path.to_string(), bytes)]).await
    }

    /// Writes files that belong together.
    pub(super) async fn put_all(
        &mut self,
        files: Vec<(String, Vec<u8>)>,
    ) -> Result<(), ExportError> {
        let folder = self.temporary.clone();
        let write = move || {
            let mut written = Vec::with_capacity(files.len());
            for (path, bytes) in files {
                let at = folder.join(&path);
                let done = create(&folder, &at).and_then(|mut file| file.write_all(&bytes));
                done.map_err(|error| ExportError::file(&at, &error))?;
                let row = Written { bytes: bytes.len() as u64, sha256: Sha256Digest::of(&bytes) };
                written.push((path, row));
            }
            Ok(written)
        };
        for (path, row) in blocking(write).await? {
            self.enter(path, row).await?;
        }
        Ok(())
    }

    /// Writes a file piece by piece: for what is too large to be held.
    pub(super) async fn stream<T: Send + 'static>(
        &mut self,
        path: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T> + Send + 'static,
    ) -> Result<(Written, T), ExportError> {
        let at = self.temporary.join(path);
        let folder = self.temporary.clone();
        let row = blocking(move || {
            let done = create(&folder, &at).and_then(|file| {
                let mut out =
                    Counted { out: BufWriter::new(file), bytes: 0, hash: Hashed::default() };
                let found = write(&mut out)?;
                out.flush()?;
                let sha256 = out.hash.digest();
                Ok((Written { bytes: out.bytes, sha256 }, found))
            });
            done.map_err(|error| ExportError::file(&at, &error))
        });
        let (row, found) = row.await?;
        self.enter(path.to_string(), row).await?;
        Ok((row, found))
    }

    async fn enter(&mut self, path: String, row: Written) -> Result<(), ExportError> {
        self.tell(Progress::File { path: path.clone(), bytes: row.bytes }).await?;
        self.files.insert(path, row);
        Ok(())
    }

    /// Says how far it is. Whoever listens may be slower, and is waited for; where nobody listens
    /// any more the export is given up.
    pub(super) async fn tell(&self, progress: Progress) -> Result<(), ExportError> {
        match &self.tell {
            None => Ok(()),
            Some(tell) => tell.send(progress).await.map_err(|_| ExportError::GivenUp),
        }
    }

    /// Gives the folder its name.
    pub(super) async fn finish(mut self) -> Result<(), ExportError> {
        let temporary = self.temporary.clone();
        let Some(target) = self.target.clone() else { return Ok(()) };
        let finish = move || {
            let failed = |error: io::Error| ExportError::file(&target, &error);
            for last in ["manifest.json", "manifest.note", "SHA256SUMS"] {
                File::open(temporary.join(last)).and_then(|f| f.sync_all()).map_err(failed)?;
            }
            File::open(&temporary).and_then(|folder| folder.sync_all()).map_err(failed)?;
            // What came there meanwhile is not written over: only an empty folder gives way.
            refuse_what_is_there(&target)?;
            fs::rename(&temporary, &target).map_err(failed)
        };
        blocking(finish).await?;
        self.is_whole = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_whole {
            // What is left is temporary by its name.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A folder that is there must be empty.
fn refuse_what_is_there(target: &Path) -> Result<(), ExportError> {
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(ExportError::file(target, &error)),
    };
    match is_free {
        true => Ok(()),
        false => Err(ExportError::NotEmpty(target.to_path_buf())),
    }
}

/// Makes a file below a folder. A folder that is gone is not made again: its owner let it go.
fn create(folder: &Path, path: &Path) -> io::Result<File> {
    if let Some(above) = path.parent() {
        fs::metadata(folder)?;
        fs::create_dir_all(above)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ExportError::Internal(error.to_string())),
    }
}

/// Counts and hashes what passes on its way into a file.
struct Counted {
    out: BufWriter<File>,
    bytes: u64,
    hash: Hashed,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += self.hash.write(&bytes[..written])? as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Hashes what is written, and keeps nothing.
#[derive(Default)]
pub(super) struct Hashed(Sha256);

impl Hashed {
    /// The digest of all of it.
    pub(super) fn digest(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
