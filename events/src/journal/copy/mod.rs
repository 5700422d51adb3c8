//! Second copies of the record: the one in memory, and what all of them have in common.
//!
//! The real one is in [`bus::jetstream`](super::bus).

mod memory;
mod memory_notes;

pub use memory::{CopyFault, MemoryCopy};
pub use memory_notes::MemoryNotes;

use crate::ids::Position;
use crate::ports::{CopyError, Recorded};

/// Events go to a copy in batches of at most so many: what JetStream takes atomically.
pub const BATCH_EVENTS: usize = 1_000;

/// Checks that the events go on from `after` without a gap: a copy keeps no other.
pub(in crate::journal) fn check_dense(
    after: Position,
    events: &[Recorded],
) -> Result<(), CopyError> {
    let mut expected = after.0;
    for event in events {
        expected += 1;
        if event.position.0 != expected {
            let text = format!(
                "position {} was to be added where position {expected} belongs",
                event.position
            );
            return Err(CopyError::Unusable(text));
        }
    }
    Ok(())
}
