//! What is kept as files beside the record and may be let go: logs of runs, content, cached
//! results.

use std::fs;
use std::io::{self, BufRead as _};
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

/// None: it is not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Rows of exactly 64 digits, however long the text is.
fn names(mut text: impl io::BufRead) -> io::Result<Vec<Sha256Digest>> {
    let (mut row, mut length, mut found) = (Vec::with_capacity(64), 0usize, Vec::new());
    let mut end = |row: &mut Vec<u8>, length: &mut usize| {
        let digits = std::str::from_utf8(row).ok().filter(|_| *length == 64);
        found.extend(digits.and_then(|digits| digits.parse::<Sha256Digest>().ok()));
        row.clear();
        *length = 0;
    };
    loop {
        let part = text.fill_buf()?;
        if part.is_empty() {
            break;
        }
        for byte in part {
            if !matches!(byte, b'0'..=b'9' | b'a'..=b'f') {
                end(&mut row, &mut length);
                continue;
            }
            length = length.saturating_add(1);
            if length <= 64 {
                row.push(*byte);
            }
        }
        let read = part.len();
        text.consume(read);
    }
    end(&mut row, &mut length);
    Ok(found)
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
        let mut runs = self.runs_in(|name| name.parse().ok()).await?;
        runs.retain(|run| behind.is_none_or(|behind| run.0 > behind.0));
        runs.truncate(limit);
        Ok(runs)
    }

    /// Runs whose logs were set aside and not removed: somebody died in between.
    pub async fn logs_set_aside(&self) -> io::Result<Vec<RunId>> {
        self.runs_in(|name| name.strip_prefix(GOING)?.parse().ok()).await
    }

    async fn runs_in(&self, read: fn(&str) -> Option<RunId>) -> io::Result<Vec<RunId>> {
        let folder = self.logs.clone();
        blocking(move || {
            let names = entries(&folder)?.into_iter().map(|entry| entry.file_name());
            let mut runs: Vec<RunId> =
                names.filter_map(|name| read(&name.to_string_lossy())).collect();
            // Ids begin with the instant of their making.
            runs.sort_unstable_by_key(|run| run.0);
            Ok(runs)
        })
        .await
    }

    /// Bytes of a run's logs.
    pub async fn logs_bytes(&self, run: RunId) -> io::Result<u64> {
        let folder = self.logs.join(run.to_string());
        blocking(move || bytes_in(&folder)).await
    }

    /// Sets the logs of a run aside, which are gone at once for whoever reads them; says how many
    /// bytes they have. None: somebody else has done it.
    pub async fn set_logs_aside(&self, run: RunId) -> io::Result<Option<u64>> {
        let (folder, aside) = self.places(run);
        blocking(move || {
            let bytes = bytes_in(&folder)?;
            Ok(found(fs::rename(&folder, &aside))?.map(|()| bytes))
        })
        .await
    }

    /// Puts logs back that were set aside.
    pub async fn put_logs_back(&self, run: RunId) -> io::Result<()> {
        let (folder, aside) = self.places(run);
        blocking(move || found(fs::rename(&aside, &folder)).map(drop)).await
    }

    /// Bytes of logs that were set aside.
    pub async fn bytes_set_aside(&self, run: RunId) -> io::Result<u64> {
        let (_, aside) = self.places(run);
        blocking(move || bytes_in(&aside)).await
    }

    /// Removes logs that were set aside.
    pub async fn remove_logs_set_aside(&self, run: RunId) -> io::Result<()> {
        let (_, aside) = self.places(run);
        blocking(move || found(fs::remove_dir_all(&aside)).map(drop)).await
    }

    fn places(&self, run: RunId) -> (PathBuf, PathBuf) {
        (self.logs.join(run.to_string()), self.logs.join(format!("{GOING}{run}")))
    }

    /// Hashes that some content names in rows of exactly 64 digits: none where it is not there,
    /// or does not begin as JSON does.
    pub async fn named_in(&self, hash: Sha256Digest) -> io::Result<Vec<Sha256Digest>> {
        let path = self.blobs.path(&hash);
        blocking(move || {
            let Some(file) = found(fs::File::open(path))? else { return Ok(Vec::new()) };
            let mut reader = io::BufReader::with_capacity(64 << 10, file);
            let begins = reader.fill_buf()?.first().copied();
            match begins {
                Some(b'{' | b'[') => names(reader),
                _ => Ok(Vec::new()),
            }
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
                    found(fs::remove_file(entry.path()))?;
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
