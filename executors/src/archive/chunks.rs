//! An archive among the blobs: pieces of one size, and a list of them. Nobody ever needs to hold
//! more than one piece.

use std::io::{self, Read};
use std::sync::Arc;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::Blobs;
use dagbook_events::step::SourceArchive;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Bytes of each piece but the last.
pub const CHUNK_BYTES: usize = 4 << 20;

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkIndex {
    /// Bytes of the whole.
    pub bytes: u64,
    /// The pieces, in order.
    pub chunks: Vec<Sha256Digest>,
    /// SHA-256 of the whole.
    pub sha256: Sha256Digest,
}

/// The bytes of a kept archive, for a thread that may block.
pub struct Chunks {
    blobs: Arc<dyn Blobs>,
    handle: Handle,
    left: std::vec::IntoIter<Sha256Digest>,
    at: io::Cursor<Vec<u8>>,
}

impl Chunks {
    /// Finds the pieces. Must be called where a thread may block, within a runtime.
    pub fn open(blobs: Arc<dyn Blobs>, archive: &SourceArchive) -> io::Result<Self> {
        let handle = Handle::current();
        let list = handle.block_on(blobs.get(&archive.index)).map_err(away)?;
        let index: ChunkIndex = serde_json::from_slice(&list)
            .map_err(|error| away(format!("the list of its pieces: {error}")))?;
        if index.sha256 != archive.hash || index.bytes != archive.bytes {
            return Err(away("the list of its pieces is of another archive"));
        }
        Ok(Self { blobs, handle, left: index.chunks.into_iter(), at: io::Cursor::default() })
    }
}

/// Not the archive's fault: told from what a damaged archive gives.
fn away(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.at.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(next) = self.left.next() else { return Ok(0) };
            let piece = self.handle.block_on(self.blobs.get(&next)).map_err(away)?;
            self.at = io::Cursor::new(piece);
        }
    }
}
