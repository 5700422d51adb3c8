//! The second copy of the record: the same leaves under the same positions, kept by somebody
//! else, and the notes that are exchanged over it. See `record.md`, "The second copy".

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Recorded;
use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};
use crate::tlog::Note;

/// Why the copy could not be read or added to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// Nobody can be reached now, or the answer did not come; try again later, from the
    /// beginning.
    #[error("the copy is unavailable: {0}")]
    Unavailable(String),
    /// Someone else has added, or what was added last is gone again: look at `last` again.
    #[error("the copy does not end where it was thought to end: {0}")]
    OutOfStep(String),
    /// What is kept there cannot be this record's copy (another configuration, a body that is
    /// not a leaf).
    #[error("this cannot be the copy of a record: {0}")]
    Unusable(String),
}

/// An event as the copy holds it: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedEvent {
    /// Its number in the copy, which must be its position.
    pub position: Position,
    /// The body, which must be the leaf.
    pub leaf: Arc<[u8]>,
    /// The leaf hash that stands beside it, if there is one.
    pub stated_hash: Option<Sha256Digest>,
}

/// The second copy, one for each timeline.
#[async_trait]
pub trait RecordCopy: Send + Sync {
    /// The highest position; 0 where there is nothing, or no copy of this timeline yet.
    async fn last(&self, timeline: u64) -> Result<Position, CopyError>;
    /// The event at a position, where there is one.
    async fn at(&self, timeline: u64, position: Position)
    -> Result<Option<CopiedEvent>, CopyError>;
    /// Adds events behind `after`, in order, and returns the new end. Nothing is added twice
    /// or out of order, whoever else adds at the same time; after an error the end is not
    /// known. Makes the copy of the timeline if need be.
    async fn add(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, CopyError>;
    /// Reads in order from behind a position; of one tenant only, if one is named.
    async fn scan(
        &self,
        timeline: u64,
        after: Position,
        tenant: Option<&TenantId>,
    ) -> Result<Box<dyn CopyScan>, CopyError>;
}

/// A reading of the copy that goes on.
#[async_trait]
pub trait CopyScan: Send {
    /// The next events, at most `limit`; waits for the first one at most so long. Empty: there
    /// was none in that time.
    async fn next(&mut self, limit: usize, wait: Duration) -> Result<Vec<CopiedEvent>, CopyError>;
}

/// A place for notes beside the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Board {
    /// Checkpoints as the site signed them.
    Signed,
    /// Checkpoints as witnesses co-signed them.
    Cosigned,
}

/// A note and its number on the board, by which a reader goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedNote {
    /// Number on the board, from 1; grows with each note.
    pub number: u64,
    /// The log that the note is about.
    pub origin: String,
    /// The note; its signatures were not checked.
    pub note: Note,
}

/// Where the site and its witnesses exchange notes. At least the newest note of each log (and
/// on [`Board::Cosigned`] of each log and witness) is kept.
#[async_trait]
pub trait Notes: Send + Sync {
    /// Puts a note up. `by` is the name of the key that signed last.
    async fn post(
        &self,
        board: Board,
        origin: &str,
        by: &str,
        note: &Note,
    ) -> Result<(), CopyError>;
    /// Notes with numbers beyond `seen`, in order, at most `limit`; waits for the first one at
    /// most so long. [`CopyError::OutOfStep`]: the board may have lost notes and number others
    /// like them, because its server came back without its tail, or because the board was
    /// deleted and made anew. It is then to be read from 0 again, where notes that were seen
    /// come a second time, and what was put up last is to be put up again.
    async fn after(
        &self,
        board: Board,
        seen: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<PostedNote>, CopyError>;
}
