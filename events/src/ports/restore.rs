//! Events that were recorded once and were lost, given back to the store.

use std::sync::Arc;

use async_trait::async_trait;

use super::AppendError;
use crate::ids::Position;

/// A store that was set back to an older state, and takes what followed from somebody who
/// still has it.
#[async_trait]
pub trait Restore: Send + Sync {
    /// Takes leaves as they once were recorded, byte by byte, and returns the new head. They
    /// must continue the record without a gap: position, log, stream versions, timeline and
    /// recording time; otherwise nothing is taken. Passes a guard that is halted, because that
    /// is when it is needed. Idempotency keys are not part of leaves and do not come back.
    ///
    /// # Errors
    /// [`AppendError::Invalid`] names the position that does not fit.
    async fn restore(&self, leaves: Vec<Arc<[u8]>>) -> Result<Position, AppendError>;
}
