//! Reading logs. They are plain files, so any process may read them, while the step runs and
//! long after the attempt is released.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use dagbook_events::ids::{AttemptId, RunId};
use dagbook_events::step::LogSummary;
use serde::{Deserialize, Serialize};

use super::records;
use crate::port::{LogChunk, LogError};

/// Where an attempt's log is. Its bytes are those that the step wrote, secrets hidden.
pub fn log_path(logs: &Path, run: RunId, attempt: AttemptId) -> PathBuf {
    logs.join(run.to_string()).join(format!("{attempt}.log"))
}

/// Where its index is: `{closed, bytes, crc32, dropped_bytes}`. Absent while the log is open
/// and whole.
pub fn index_path(logs: &Path, run: RunId, attempt: AttemptId) -> PathBuf {
    log_path(logs, run, attempt).with_extension("json")
}

/// The index of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) closed: bool,
    #[serde(flatten)]
    pub(crate) summary: LogSummary,
}

impl Index {
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        records::write(path, self)
    }
}

/// Reads a part of a log by absolute offset, at most `limit` bytes.
pub fn read_log(
    logs: &Path,
    run: RunId,
    attempt: AttemptId,
    offset: u64,
    limit: usize,
) -> Result<LogChunk, LogError> {
    let unavailable = |error: io::Error| LogError::Unavailable(error.to_string());
    // The index first: what it says is closed is all in the file by then.
    let index: Index =
        records::read(&index_path(logs, run, attempt)).map_err(unavailable)?.unwrap_or_default();
    let mut file = match File::open(log_path(logs, run, attempt)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Missing(attempt));
        }
        Err(error) => return Err(unavailable(error)),
    };
    let total = file.metadata().map_err(unavailable)?.len();
    file.seek(SeekFrom::Start(offset)).map_err(unavailable)?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes).map_err(unavailable)?;
    Ok(LogChunk {
        offset,
        total,
        bytes,
        closed: index.closed,
        dropped_bytes: index.summary.dropped_bytes,
    })
}

/// Finds the run of an attempt's log among all that are kept.
pub(crate) fn find_run(logs: &Path, attempt: AttemptId) -> Option<RunId> {
    let name = format!("{attempt}.log");
    let runs = fs::read_dir(logs).ok()?.flatten();
    let mut has = runs.filter(|entry| entry.path().join(&name).exists());
    has.next()?.file_name().to_str()?.parse().ok()
}

/// Closes the log of an attempt whose shim could not: what is in the file is what there is.
pub(crate) fn close(log: &Path, index: &Path) -> LogSummary {
    let known: Index = records::read(index).ok().flatten().unwrap_or_default();
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = 0;
    if let Ok(mut file) = File::open(log) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = file.read(&mut buffer) {
            hasher.update(&buffer[..n]);
            bytes += n as u64;
        }
    }
    let dropped_bytes = known.summary.dropped_bytes;
    let summary = LogSummary { bytes, crc32: hasher.finalize(), dropped_bytes };
    if let Err(error) = (Index { closed: true, summary: summary.clone() }).write(index) {
        tracing::warn!(index = %index.display(), %error, "the log's index cannot be written");
    }
    summary
}
