//! Time and chance, as the shell provides them.

use crate::time::Timestamp;

/// The time. Only the shell holds one; the core receives instants in commands.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Chance. Only the shell holds one; the core receives ids and seeds in commands.
pub trait Rng: Send + Sync {
    /// Sixteen fresh bytes.
    fn bytes(&self) -> [u8; 16];
}
