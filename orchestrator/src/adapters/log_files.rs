//! Logs as files of this machine.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use dagbook_executors::local::read_log;
use dagbook_executors::{LogChunk, LogError};
use tokio::time::Instant;

use crate::app::logs::{LogPart, Logs};

/// How often a log that grows is looked at. A file has nobody to wake those who wait for it.
const LOOK: Duration = Duration::from_millis(200);

/// Logs below a folder.
#[derive(Debug, Clone)]
pub struct LogFiles {
    folder: PathBuf,
}

impl LogFiles {
    /// The logs below the folder, as the local executor lays them out.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    async fn look(&self, part: LogPart) -> Result<LogChunk, LogError> {
        let folder = self.folder.clone();
        let read = move || read_log(&folder, part.run, part.attempt, part.offset, part.limit);
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl Logs for LogFiles {
    async fn read(&self, part: LogPart) -> Result<LogChunk, LogError> {
        let until = Instant::now() + part.wait;
        loop {
            let found = self.look(part).await;
            let waits = match &found {
                Ok(chunk) => chunk.bytes.is_empty() && !chunk.is_end(),
                Err(LogError::Missing(_)) => true,
                Err(LogError::Unavailable(_)) => false,
            };
            if !waits || Instant::now() + LOOK > until {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
