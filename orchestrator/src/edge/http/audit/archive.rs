//! A bundle as a tar archive, file by file as they become complete.

use std::io;

use axum::body::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use super::super::pass::Watch;
use crate::app::audit::{BundleFile, Bundling};
use crate::app::error::AppError;

/// Bytes of a block; headers and ends of files are filled up to it.
const BLOCK: usize = 512;
/// A comment as POSIX has it: its own length, its name, what it says.
const COMMENT: &[u8] = b"16 comment=wait\n";
/// Bytes that are read at one time.
const PIECE: usize = 64 << 10;

/// An archive that is being sent. Dropped, it lets go of the bundle.
pub(super) struct Archive {
    bundling: Bundling,
    watch: Watch,
    stopping: CancellationToken,
    open: Option<Open>,
    is_ended: bool,
}

/// A file that is being sent.
struct Open {
    file: File,
    path: String,
    left: u64,
    padding: usize,
}

impl Archive {
    pub(super) fn new(bundling: Bundling, watch: Watch, stopping: CancellationToken) -> Self {
        Self { bundling, watch, stopping, open: None, is_ended: false }
    }

    pub(super) fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> {
        futures_util::stream::unfold(Some(self), |archive| async move {
            let mut archive = archive?;
            match archive.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(archive))),
                Ok(None) => None,
                // Cut off, so that nobody takes this for the end.
                Err(error) => {
                    tracing::warn!(%error, "a bundle was cut off");
                    Some((Err(io::Error::other(error.to_string())), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, AppError> {
        if self.is_ended {
            return Ok(None);
        }
        self.watch.look().await?;
        let stopping = self.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(AppError::unavailable("the server stops")),
            piece = self.piece() => piece.map(Some),
        }
    }

    async fn piece(&mut self) -> Result<Bytes, AppError> {
        if let Some(open) = &mut self.open {
            let bytes = open.read().await?;
            if open.left == 0 {
                self.open = None;
            }
            return Ok(bytes);
        }
        // Given up in the middle, it goes on where it was.
        let next = tokio::time::timeout(self.watch.every(), self.bundling.next()).await;
        let Ok(next) = next else { return sign_of_life() };
        match next? {
            Some(file) => {
                let header = header(&file)?;
                let open = Open::of(file).await?;
                self.open = (open.left > 0).then_some(open);
                Ok(header)
            }
            None => {
                self.is_ended = true;
                // Two empty blocks are the end of an archive.
                Ok(Bytes::from_static(&[0; 2 * BLOCK]))
            }
        }
    }
}

impl Open {
    async fn of(file: BundleFile) -> Result<Self, AppError> {
        let opened = File::open(&file.at).await.map_err(|error| unreadable(&file.path, &error))?;
        let padding = (BLOCK - (file.bytes % BLOCK as u64) as usize) % BLOCK;
        Ok(Self { file: opened, path: file.path, left: file.bytes, padding })
    }

    /// The next bytes; behind the last ones what fills up the block.
    async fn read(&mut self) -> Result<Bytes, AppError> {
        let want = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; want];
        let read = self.file.read(&mut bytes).await;
        let read = read.map_err(|error| unreadable(&self.path, &error))?;
        if read == 0 {
            let short = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(unreadable(&self.path, &short));
        }
        bytes.truncate(read);
        self.left -= read as u64;
        if self.left == 0 {
            bytes.resize(read + self.padding, 0);
        }
        Ok(bytes.into())
    }
}

fn header(file: &BundleFile) -> Result<Bytes, AppError> {
    let mut header = tar::Header::new_ustar();
    let failed = |error: io::Error| AppError::Internal(format!("{}: {error}", file.path));
    header.set_path(&file.path).map_err(failed)?;
    header.set_size(file.bytes);
    header.set_mode(0o644);
    // The same bundle is the same archive.
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

/// A header that says nothing: rating a long period takes a while, and whoever waits for the next
/// file is to know that it will come.
fn sign_of_life() -> Result<Bytes, AppError> {
    let mut header = tar::Header::new_ustar();
    let failed = |error: io::Error| AppError::Internal(error.to_string());
    header.set_path("pax_global_header").map_err(failed)?;
    header.set_size(COMMENT.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::XGlobalHeader);
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), COMMENT].concat();
    bytes.resize(2 * BLOCK, 0);
    Ok(bytes.into())
}

fn unreadable(path: &str, error: &io::Error) -> AppError {
    AppError::unavailable(format!("{path} of a bundle: {error}"))
}
