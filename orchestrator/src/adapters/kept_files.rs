//! What is kept as files beside the record and may be let go: logs of runs, content, cached
//! results.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::RunId;
use dagbook_events::journal::blobs::DiskBlobs;
use dagbook_events::ports::BlobError;
use dagbook_events::time::Timestamp;

/// The prefix of a folder that is being removed.
const GOING: &str = ".going-";

/// Files of one data folder.
#[derive(Debug, Clone)]
pub struct KeptFiles {
    logs: PathBuf,
    cache: PathBuf,
    blobs: DiskBlobs,
}

fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in entries(folder)? {
        bytes += entry.metadata()?.len();
    }
    Ok(bytes)
}

impl KeptFiles {
    /// Those in these folders.
    ///
    /// # Errors
    /// Where the folder of content cannot be used.
    pub fn open(logs: PathBuf, cache: PathBuf, blobs: &Path) -> Result<Self, BlobError> {
        Ok(Self { logs, cache, blobs: DiskBlobs::open(blobs)? })
    }

    /// Runs that have logs here, oldest first, behind one, at most `limit`.
    pub async fn runs_with_logs(
        &self,
        behind: Option<RunId>,
        limit: usize,
    ) -> io::Result<Vec<RunId>> {
        let folder = self.logs.clone();
        blocking(move || {
            let mut runs = Vec::new();
            for entry in entries(&folder)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(GOING) {
                    // What a crash has left.
                    fs::remove_dir_all(entry.path())?;
                } else if let Ok(run) = name.parse::<RunId>() {
                    runs.push(run);
                }
            }
            // Ids begin with the instant of their making.
            runs.sort_unstable_by_key(|run| run.0);
            runs.retain(|run| behind.is_none_or(|behind| run.0 > behind.0));
            runs.truncate(limit);
            Ok(runs)
        })
        .await
    }

    /// Bytes of a run's logs.
    pub async fn logs_bytes(&self, run: RunId) -> io::Result<u64> {
        let folder = self.logs.join(run.to_string());
        blocking(move || bytes_in(&folder)).await
    }

    /// Removes the logs of a run; says how many bytes they had. They are gone at once or not at
    /// all for whoever reads them.
    pub async fn remove_logs(&self, run: RunId) -> io::Result<u64> {
        let (folder, aside) =
            (self.logs.join(run.to_string()), self.logs.join(format!("{GOING}{run}")));
        blocking(move || {
            let bytes = bytes_in(&folder)?;
            fs::rename(&folder, &aside)?;
            fs::remove_dir_all(&aside)?;
            Ok(bytes)
        })
        .await
    }

    /// Cached results with what they hold, as text.
    pub async fn cached_texts(&self) -> io::Result<Vec<Vec<u8>>> {
        let folder = self.cache.clone();
        blocking(move || entries(&folder)?.iter().map(|entry| fs::read(entry.path())).collect())
            .await
    }

    /// Removes, or only counts, cached results that were kept before an instant.
    pub async fn forget_cached(&self, before: Timestamp, count_only: bool) -> io::Result<u64> {
        let folder = self.cache.clone();
        blocking(move || {
            let mut count = 0;
            for entry in entries(&folder)? {
                if entry.metadata()?.modified()? >= instant(before) {
                    continue;
                }
                count += 1;
                if !count_only {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(count)
        })
        .await
    }

    /// Content that nobody has kept or asked for since an instant.
    pub async fn old_blobs(
        &self,
        than: Timestamp,
        behind: Option<Sha256Digest>,
        limit: usize,
    ) -> Result<Vec<Sha256Digest>, BlobError> {
        self.blobs.older(instant(than), behind, limit).await
    }

    /// Removes content, unless it was kept or asked for since; says its bytes.
    pub async fn remove_blob(
        &self,
        hash: &Sha256Digest,
        than: Timestamp,
    ) -> Result<Option<u64>, BlobError> {
        self.blobs.remove_older(hash, instant(than)).await
    }

    /// Bytes of some content; none where it is not there.
    pub fn blob_bytes(&self, hash: &Sha256Digest) -> Option<u64> {
        fs::metadata(self.blobs.path(hash)).ok().map(|it| it.len())
    }
}
