//! What attempts wrote, wherever that is kept.

use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, RunId};
use dagbook_executors::{LogChunk, LogError};

/// Which part of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPart {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// First byte wanted, from 0.
    pub offset: u64,
    /// Most bytes.
    pub limit: usize,
    /// How long to wait where nothing is there yet and the log is still open.
    pub wait: Duration,
}

/// Reads logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// A part of a log, while the attempt runs and afterwards.
    async fn read(&self, part: LogPart) -> Result<LogChunk, LogError>;
}
