//! A source archive as the working folder of one attempt: a copy of its own, made from the kept
//! pieces, each checked by its hash. Nothing unpacked is shared, so no step can change what
//! another one finds, and the copy goes with the attempt's folder.

use std::path::Path;
use std::sync::Arc;

use dagbook_events::step::{SourceArchive, StartErrorKind};

use super::config::LocalConfig;
use super::place::contained;
use crate::archive::{ArchiveError, ArchiveLimits, Chunks, unpack};
use crate::port::StartError;

/// Unpacks it into `work`, which is there and empty, and looks for the folder `path` in it.
pub(super) fn put(
    config: &LocalConfig,
    archive: &SourceArchive,
    path: &str,
    work: &Path,
) -> Result<(), StartError> {
    // It was bounded when it was taken; here it may be no more than it says.
    let limits = ArchiveLimits { bytes: archive.bytes, ..ArchiveLimits::kept() };
    let unpacked = Chunks::open(Arc::clone(&config.blobs), archive)
        .map_err(ArchiveError::from)
        .and_then(|chunks| unpack(chunks, work, &limits));
    unpacked.map_err(|error| StartError::Invalid {
        kind: match error {
            ArchiveError::Io(_) => StartErrorKind::Io,
            ArchiveError::Refused(_) | ArchiveError::TooLarge(_) => StartErrorKind::Config,
        },
        message: format!("the source {} cannot be unpacked: {error}", archive.hash),
    })?;
    if path.is_empty() {
        return Ok(());
    }
    let problem = |message: String| StartError::Invalid { kind: StartErrorKind::Config, message };
    let base = work.canonicalize().map_err(|error| problem(error.to_string()))?;
    let folder = contained(&base, &work.join(path))
        .map_err(|_| problem(format!("the source {} has no folder `{path}`", archive.hash)))?;
    match folder.is_dir() {
        true => Ok(()),
        false => Err(problem(format!("`{path}` in the source {} is no folder", archive.hash))),
    }
}
