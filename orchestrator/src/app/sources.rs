//! Source archives that a server keeps: taken as a stream, looked through before anything is
//! kept, cut into blobs, and written down for the one tenant who sent them. Another tenant who
//! knows the hash has nothing by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dagbook_events::dag::SourceBundle;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Blobs, ShelfExpected};
use dagbook_events::run::event::Source;
use dagbook_events::step::SourceArchive;
use dagbook_events::time::Millis;
use dagbook_executors::archive::{
    ArchiveError, ArchiveLimits, CHUNK_BYTES, ChunkIndex, Chunks, Kind, read,
};
use flate2::read::GzDecoder;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::error::AppError;
use super::retention::source_is_there;
use super::services::Services;
use super::source::{FILES_MAX, LARGEST, Loaded, reached_by};

/// How long a source is remembered that nothing was submitted with.
const KEPT: Millis = Millis(30 * 24 * 3_600_000);
/// Uploads that one process looks through at one time.
const AT_ONE_TIME: usize = 8;
/// Pieces of a body that wait to be looked through.
const WAITING: usize = 4;

/// Those of them that one tenant may have: others find a place, too.
const OF_A_TENANT: usize = AT_ONE_TIME / 2;

static UPLOADS: Semaphore = Semaphore::const_new(AT_ONE_TIME);
static TENANTS: Mutex<BTreeMap<TenantId, usize>> = Mutex::new(BTreeMap::new());

/// The place of an upload. Given back when it goes.
struct Upload {
    tenant: TenantId,
    _place: SemaphorePermit<'static>,
}

impl Upload {
    fn begin(tenant: &TenantId) -> Result<Self, AppError> {
        let full = |limit, who: &str, most: usize| AppError::Exhausted {
            limit,
            reason: format!("{who} takes {most} uploads at one time"),
            retry_after: Millis(2_000),
        };
        let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tenants.get(tenant).copied().unwrap_or_default();
        if own >= OF_A_TENANT {
            return Err(full("tenant_uploads", "this server, of one tenant,", OF_A_TENANT));
        }
        let place = UPLOADS.try_acquire();
        let _place = place.map_err(|_| full("uploads", "this server", AT_ONE_TIME))?;
        tenants.insert(tenant.clone(), own + 1);
        Ok(Self { tenant: tenant.clone(), _place })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
        match tenants.get_mut(&self.tenant) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(tenants.remove(&self.tenant)),
        }
    }
}

/// The source, if this tenant sent it and all of it is still kept: from now on it is for a while.
pub async fn known(
    services: &Services,
    tenant: &TenantId,
    hash: &Sha256Digest,
) -> Result<Option<SourceArchive>, AppError> {
    let Some(item) = services.shelf.get(tenant, &key(hash)).await? else { return Ok(None) };
    let archive: SourceArchive = serde_json::from_slice(&item.value)
        .map_err(|error| AppError::Damaged(format!("source {hash}: {error}")))?;
    let is_there = source_is_there(services.blobs.as_ref(), &archive).await?;
    Ok(is_there.then_some(archive))
}

/// Takes a gzipped tar as it arrives. Nothing of it is kept unless it is whole, has this hash,
/// and holds nothing but what a source may hold. Memory stays bounded whatever comes.
pub async fn keep<E: std::fmt::Display>(
    services: &Services,
    tenant: &TenantId,
    hash: Sha256Digest,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
    limits: ArchiveLimits,
) -> Result<SourceArchive, AppError> {
    let _upload = Upload::begin(tenant)?;
    let (pieces, arriving) = mpsc::channel(WAITING);
    let blobs = services.blobs.clone();
    let work = tokio::task::spawn_blocking(move || {
        let body = Arriving { pieces: arriving, at: Bytes::new() };
        let spooled = spool(body, hash, limits)?;
        store(&blobs, &Handle::current(), spooled, hash)
    });
    let mut body = std::pin::pin!(body);
    // A body that is compressed is no larger than what is in it, but for a little.
    let mut left = limits.bytes + (1 << 20);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| io::Error::other(error.to_string()));
        let is_broken = piece.is_err();
        left = left.saturating_sub(piece.as_ref().map_or(0, |bytes| bytes.len() as u64));
        let piece = if left == 0 { Err(io::Error::other("it is too long")) } else { piece };
        // Whoever looks through it has seen enough: why is in the answer.
        if pieces.send(piece).await.is_err() || is_broken || left == 0 {
            break;
        }
    }
    drop(pieces);
    let archive = work.await.map_err(|error| AppError::Internal(error.to_string()))??;
    remember(services, tenant, &archive).await?;
    Ok(archive)
}

/// Writes down that the tenant has it, from now on for the usual time.
pub async fn remember(
    services: &Services,
    tenant: &TenantId,
    archive: &SourceArchive,
) -> Result<(), AppError> {
    let value = serde_json::to_vec(archive).map_err(|e| AppError::Internal(e.to_string()))?;
    let name = key(&archive.hash);
    services.shelf.put(tenant, &name, &value, ShelfExpected::Any, Some(KEPT)).await?;
    Ok(())
}

/// The DAG file `entry` of a source that the tenant sent, with the sub-DAGs that it reaches.
pub async fn load(
    services: &Services,
    tenant: &TenantId,
    hash: &Sha256Digest,
    entry: &str,
) -> Result<Loaded, AppError> {
    let archive = known(services, tenant, hash).await?;
    let archive = archive.ok_or_else(|| AppError::not_found("source", hash))?;
    remember(services, tenant, &archive).await?;
    let (blobs, entry) = (services.blobs.clone(), entry.to_string());
    tokio::task::spawn_blocking(move || find(&blobs, archive, &entry))
        .await
        .map_err(|error| AppError::Internal(error.to_string()))?
}

fn key(hash: &Sha256Digest) -> String {
    format!("source/{hash}")
}

/// Reads the DAG file, then those that it names, then those that these name: a pass each.
fn find(blobs: &Arc<dyn Blobs>, archive: SourceArchive, entry: &str) -> Result<Loaded, AppError> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut wanted = BTreeSet::from([entry.to_string()]);
    let mut asked: BTreeSet<String> = BTreeSet::new();
    while !wanted.is_empty() {
        asked.extend(wanted.iter().cloned());
        let found = pick(blobs, archive, &wanted)?;
        wanted.clear();
        for (name, text) in &found {
            wanted.extend(reached_by(name, text).filter(|path| !asked.contains(path)));
        }
        files.extend(found);
        if asked.len() > FILES_MAX {
            let reason = format!("more than {FILES_MAX} files are reached from `{entry}`");
            return Err(AppError::Invalid(reason));
        }
    }
    let Some(text) = files.get(entry) else {
        return Err(AppError::Invalid(format!("the source has no DAG file `{entry}`")));
    };
    let hash = Sha256Digest::of(text.as_bytes());
    let bundle = SourceBundle { entry: entry.to_string(), files };
    let source =
        Source { bundle, folder: None, archive: Some(archive), pipelines: BTreeMap::new() };
    Ok(Loaded { source, hash, path: PathBuf::from(entry) })
}

/// The text of the files of these names, those that are there.
fn pick(
    blobs: &Arc<dyn Blobs>,
    archive: SourceArchive,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, AppError> {
    let mut found = BTreeMap::new();
    let chunks = Chunks::open(blobs.clone(), &archive).map_err(AppError::unavailable)?;
    let mut wrong = None;
    read(chunks, &ArchiveLimits::kept(), |file| {
        if !wanted.contains(file.path) || !matches!(file.kind, Kind::File { .. }) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.content.take(LARGEST + 1).read_to_end(&mut bytes)?;
        let (name, size) = (file.path.to_string(), bytes.len() as u64);
        match String::from_utf8(bytes) {
            Ok(text) if size <= LARGEST => {
                found.insert(name, text);
            }
            Ok(_) => wrong = Some(format!("{name} is larger than 1 MiB")),
            Err(_) => wrong = Some(format!("{name} is not UTF-8 text")),
        }
        Ok(())
    })
    .map_err(|error| match error {
        ArchiveError::Io(error) => AppError::unavailable(error),
        other => AppError::Damaged(format!("source {}: {other}", archive.hash)),
    })?;
    match wrong {
        Some(reason) => Err(AppError::Invalid(reason)),
        None => Ok(found),
    }
}

/// A looked-through tar in a file that nobody else can open.
struct Spooled {
    file: File,
    bytes: u64,
}

fn spool(body: Arriving, hash: Sha256Digest, limits: ArchiveLimits) -> Result<Spooled, AppError> {
    let away = |error: io::Error| AppError::unavailable(format!("a temporary file: {error}"));
    let file = tempfile::tempfile().map_err(away)?;
    let mut tee = Tee {
        source: GzDecoder::new(io::BufReader::with_capacity(64 << 10, body)),
        file: io::BufWriter::new(file),
        hasher: Sha256::new(),
        bytes: 0,
    };
    read(&mut tee, &limits, |_| Ok(())).map_err(|error| match error {
        ArchiveError::Refused(reason) => AppError::Invalid(format!("the source: {reason}")),
        ArchiveError::TooLarge(reason) => AppError::TooLarge(format!(
            "the source: {reason}; at most {} bytes and {} files and folders",
            limits.bytes, limits.entries
        )),
        ArchiveError::Io(error) => AppError::unavailable(format!("the source: {error}")),
    })?;
    let Tee { file, hasher, bytes, .. } = tee;
    let found = Sha256Digest(hasher.finalize().into());
    if found != hash {
        return Err(AppError::Invalid(format!(
            "the source has the hash {found}, not the one that it was sent under"
        )));
    }
    let mut file = file.into_inner().map_err(|error| away(error.into_error()))?;
    file.rewind().map_err(away)?;
    Ok(Spooled { file, bytes })
}

/// Cuts it into blobs, and keeps the list of them.
fn store(
    blobs: &Arc<dyn Blobs>,
    handle: &Handle,
    mut spooled: Spooled,
    hash: Sha256Digest,
) -> Result<SourceArchive, AppError> {
    let mut chunks = Vec::new();
    loop {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        let mut next = (&mut spooled.file).take(CHUNK_BYTES as u64);
        next.read_to_end(&mut piece).map_err(AppError::unavailable)?;
        if piece.is_empty() {
            break;
        }
        chunks.push(handle.block_on(blobs.put(&piece))?);
    }
    let index = ChunkIndex { bytes: spooled.bytes, chunks, sha256: hash };
    let list = serde_json::to_vec(&index).map_err(|e| AppError::Internal(e.to_string()))?;
    let index = handle.block_on(blobs.put(&list))?;
    Ok(SourceArchive { hash, bytes: spooled.bytes, index })
}

/// A body as something that is read.
struct Arriving {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    at: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.at = piece,
                // Not the archive's fault, and told from what is.
                Some(Err(error)) => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, error));
                }
            }
        }
        let length = self.at.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.at.split_to(length));
        Ok(length)
    }
}

struct Tee<R> {
    source: R,
    file: io::BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.file.write_all(&buffer[..length])?;
        self.bytes += length as u64;
        Ok(length)
    }
}

/// A bundle that came as text, with nothing beside it.
pub fn without_archive(entry: &str, files: BTreeMap<String, String>) -> Result<Loaded, AppError> {
    let Some(text) = files.get(entry) else {
        return Err(AppError::Invalid(format!("`{entry}` is not among the files")));
    };
    if let Some((name, _)) = files.iter().find(|(_, text)| text.len() as u64 > LARGEST) {
        return Err(AppError::TooLarge(format!("{name} is larger than 1 MiB")));
    }
    if files.len() > FILES_MAX {
        return Err(AppError::TooLarge(format!("there are more than {FILES_MAX} files")));
    }
    let hash = Sha256Digest::of(text.as_bytes());
    let bundle = SourceBundle { entry: entry.to_string(), files };
    let source = Source { bundle, folder: None, archive: None, pipelines: BTreeMap::new() };
    Ok(Loaded { source, hash, path: PathBuf::from(entry) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_uploads_much_leaves_places_to_others() {
        let tenant = |name: &str| TenantId::new(name).expect("a slug");
        let (busy, other) = (tenant("uploads-much"), tenant("uploads-too"));
        let held: Vec<Upload> = std::iter::from_fn(|| Upload::begin(&busy).ok()).collect();
        assert_eq!(held.len(), OF_A_TENANT);
        drop(Upload::begin(&other).expect("a place"));
        drop(held);
        drop(Upload::begin(&busy).expect("they were given back"));
    }
}
