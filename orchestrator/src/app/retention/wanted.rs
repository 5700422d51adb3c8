//! Content that is about to be named again: asked for, which makes it young, so that no sweep that
//! is under way takes it; and refused where it has gone already.

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::{BlobError, Blobs};
use dagbook_events::run::event::Submitted;
use dagbook_events::step::SourceArchive;
use dagbook_executors::archive::ChunkIndex;
use serde::Deserialize;

use crate::app::error::AppError;

/// A file of a folder, as its manifest names it.
#[derive(Deserialize)]
struct Listed {
    sha256: Sha256Digest,
}

/// Asks for everything that a run would name which repeats another: the results that it takes
/// over, and its source.
///
/// # Errors
/// [`AppError::Conflict`] where some of it has gone; where content cannot be asked for.
pub async fn still_there(blobs: &dyn Blobs, submitted: &Submitted) -> Result<(), AppError> {
    let went = |what: String, hint: &str| {
        Err(AppError::Conflict(format!("{what} has gone, as the retention policy says: {hint}")))
    };
    if let Some(archive) = &submitted.source.archive
        && !source_is_there(blobs, archive).await?
    {
        let what = format!("the source of run {}", submitted.retry_of.unwrap_or(submitted.run));
        return went(what, "submit it anew");
    }
    for (name, artifact) in submitted.reuse.values().flat_map(|result| &result.artifacts) {
        let mut wanted = vec![artifact.sha256];
        if artifact.manifest && has(blobs, &artifact.sha256).await? {
            let manifest = blobs.get(&artifact.sha256).await.map_err(unavailable)?;
            // One that is not as it must be is for whoever unpacks it to refuse.
            let files: Vec<Listed> = serde_json::from_slice(&manifest).unwrap_or_default();
            wanted.extend(files.into_iter().map(|file| file.sha256));
        }
        if !all(blobs, &wanted).await? {
            let name: String = name.chars().take(200).collect();
            let hint = "run everything again, without `--from-failed` and `--from`";
            return went(format!("the artifact `{name}` of an earlier run"), hint);
        }
    }
    Ok(())
}

/// Asks for all pieces of a source.
///
/// # Errors
/// Where content cannot be asked for.
pub async fn source_is_there(blobs: &dyn Blobs, archive: &SourceArchive) -> Result<bool, AppError> {
    if !has(blobs, &archive.index).await? {
        return Ok(false);
    }
    let list = blobs.get(&archive.index).await.map_err(unavailable)?;
    let index: ChunkIndex = serde_json::from_slice(&list)
        .map_err(|error| AppError::Damaged(format!("source {}: {error}", archive.hash)))?;
    all(blobs, &index.chunks).await
}

async fn all(blobs: &dyn Blobs, wanted: &[Sha256Digest]) -> Result<bool, AppError> {
    for hash in wanted {
        if !has(blobs, hash).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn has(blobs: &dyn Blobs, hash: &Sha256Digest) -> Result<bool, AppError> {
    blobs.has(hash).await.map_err(unavailable)
}

fn unavailable(error: BlobError) -> AppError {
    AppError::unavailable(error.to_string())
}
