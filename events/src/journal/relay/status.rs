//! How a relay stands, for `doctor` and metrics.

use crate::ids::Position;

/// What a relay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RelayState {
    /// It has not compared the record with its copy yet.
    #[default]
    Starting,
    /// It carries over what comes.
    Running,
    /// Something failed; it tries again.
    Retrying,
    /// The record is halted; it publishes nothing.
    Halted,
}

/// How a relay stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayStatus {
    /// What it is doing.
    pub state: RelayState,
    /// The timeline that it carries over; 0 before it has asked.
    pub timeline: u64,
    /// The last position that is known to be copied.
    pub copied: Position,
    /// The highest position that it has seen in the record.
    pub head: Position,
    /// Events that this relay has added.
    pub published: u64,
    /// What failed last, until something succeeds.
    pub last_error: Option<String>,
}

impl RelayStatus {
    /// Events that are recorded and not known to be copied.
    pub fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.copied.0)
    }
}
