//! Source archives: a folder as a tar that strangers may have made. Reading one trusts nothing:
//! names stay inside, what is neither file, folder nor link is refused, and everything is
//! bounded before it is believed.

mod chunks;
mod reader;
mod unpack;

pub use chunks::{CHUNK_BYTES, ChunkIndex, Chunks};
pub use reader::{Entry, Kind, read};
pub use unpack::unpack;

/// The most that an archive may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of the tar.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u32,
    /// Folders above a name.
    pub depth: u32,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { bytes: 100 << 20, entries: 20_000, depth: 64 }
    }
}

impl ArchiveLimits {
    /// For an archive that was taken already, whatever the limits were then.
    pub fn kept() -> Self {
        Self { bytes: u64::MAX, entries: 1_000_000, depth: 256 }
    }
}

/// Longest path, and longest target of a link, in bytes.
pub const LONGEST_PATH: usize = 1_024;

/// What an archive turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Files.
    pub files: u32,
    /// Folders that are named, and links.
    pub others: u32,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not what a source archive may be.
    #[error("{0}")]
    Refused(String),
    /// It is more than what is taken.
    #[error("{0}")]
    TooLarge(String),
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ArchiveError {
    fn refused(path: &str, why: &str) -> Self {
        let shown: String = path.chars().take(200).map(harmless).collect();
        Self::Refused(format!("`{shown}` {why}"))
    }
}

fn harmless(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}
