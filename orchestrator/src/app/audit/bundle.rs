//! A bundle for somebody else: written into a folder of its own, and read from there file by file
//! while it is still being written. Whoever drops it leaves nothing behind.

use std::path::PathBuf;

use dagbook_events::journal::bundle::export::{ExportError, Exported, Order, Progress};
use dagbook_events::time::Millis;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Evidence;
use crate::app::error::AppError;

/// Files that may be complete and not read yet.
const AHEAD: usize = 64;
/// When one who was refused may come again.
const LATER: Millis = Millis(5_000);

/// A file of a bundle that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Its path in the bundle.
    pub path: String,
    /// How long it is.
    pub bytes: u64,
    /// Where it is now.
    pub at: PathBuf,
}

/// A bundle that is being written.
pub struct Bundling {
    progress: mpsc::Receiver<Progress>,
    rest: Option<Rest>,
}

/// What is let go behind the reader. What is being written at that moment is waited for: a folder
/// that is removed under it would be made again.
struct Rest {
    writing: JoinHandle<Result<Exported, ExportError>>,
    folder: TempDir,
    _place: OwnedSemaphorePermit,
}

impl Evidence {
    /// Begins to write a bundle. What can be refused is refused here.
    ///
    /// # Errors
    /// Where there is nothing to be exported, or too many bundles are being written.
    pub async fn begin(&self, order: &Order) -> Result<Bundling, AppError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| AppError::Exhausted {
            limit: "exports",
            reason: "this server writes as many bundles as it does at one time".to_string(),
            retry_after: LATER,
        })?;
        let plan = self.exporter().plan(order).await?;
        let scratch = &self.parts.scratch;
        let made = std::fs::create_dir_all(scratch)
            .and_then(|()| tempfile::Builder::new().prefix("bundle-").tempdir_in(scratch));
        let folder =
            made.map_err(|error| AppError::unavailable(format!("{}: {error}", scratch.display())))?;
        let (tell, progress) = mpsc::channel(AHEAD);
        let (this, path) = (self.clone(), folder.path().to_path_buf());
        let writing =
            tokio::spawn(async move { this.exporter().write_within(&plan, &path, tell).await });
        Ok(Bundling { progress, rest: Some(Rest { writing, folder, _place: place }) })
    }
}

impl Bundling {
    /// The next complete file; none: the bundle is complete.
    ///
    /// # Errors
    /// Where the bundle could not be written to its end: what was read so far is none.
    pub async fn next(&mut self) -> Result<Option<BundleFile>, AppError> {
        let ended = || AppError::Internal("the export has ended".to_string());
        let rest = self.rest.as_mut().ok_or_else(ended)?;
        while let Some(progress) = self.progress.recv().await {
            if let Progress::File { path, bytes } = progress {
                let at = rest.folder.path().join(&path);
                return Ok(Some(BundleFile { path, bytes, at }));
            }
        }
        match (&mut rest.writing).await {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(AppError::Internal(format!("the export was lost: {error}"))),
        }
    }
}

impl Drop for Bundling {
    fn drop(&mut self) {
        // The writer hears at its next file that nobody listens any more.
        self.progress.close();
        while self.progress.try_recv().is_ok() {}
        let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let Rest { mut writing, folder, _place } = rest;
            if !writing.is_finished() {
                // However it ended, it has.
                let _ = (&mut writing).await;
            }
            drop(folder);
        });
    }
}
