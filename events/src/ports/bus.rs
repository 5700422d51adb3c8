//! The bus: a hint that something was recorded. The store is the truth.

use async_trait::async_trait;

use crate::ids::{Position, TenantId};

/// A hint: the store's head is at least here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// Whose event it was.
    pub tenant: TenantId,
    /// The head.
    pub head: Position,
}

/// Why a hint did not go out. Never a reason to fail an append.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody can be reached now.
    #[error("the bus is unavailable: {0}")]
    Unavailable(String),
}

/// Carries hints; may lose, repeat and reorder them.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Tells everyone.
    async fn publish(&self, wake: Wake) -> Result<(), BusError>;
    /// Waits for a hint that came after `seen`, and returns the highest head known.
    async fn wait_beyond(&self, seen: Position) -> Result<Position, BusError>;
}
