//! Where the last lines of a log begin.

use std::path::Path;

use dagbook_events::ids::{AttemptId, RunId};
use dagbook_executors::{LogError, local::read_log};

use crate::edge::cli::CliError;

/// Bytes looked at a time, from the end.
const BLOCK: u64 = 64 << 10;

/// The offset of the first byte of the last `count` lines.
pub fn start(folder: &Path, run: RunId, attempt: AttemptId, count: u64) -> Result<u64, CliError> {
    let read = |offset: u64, limit: usize| match read_log(folder, run, attempt, offset, limit) {
        Ok(chunk) => Ok(Some(chunk)),
        Err(LogError::Missing(_)) => Ok(None),
        Err(error) => Err(CliError::unavailable(error.to_string())),
    };
    let Some(end) = read(0, 0)? else { return Ok(0) };
    let mut left = count;
    let mut to = end.total;
    if count == 0 {
        return Ok(to);
    }
    while to > 0 {
        let from = to.saturating_sub(BLOCK);
        let Some(chunk) = read(from, usize::try_from(to - from).unwrap_or(0))? else { break };
        for (at, byte) in chunk.bytes.iter().enumerate().rev() {
            let after = from + at as u64 + 1;
            // The line end at the very end of the log closes the last line.
            if *byte == b'\n' && after < end.total {
                left -= 1;
                if left == 0 {
                    return Ok(after);
                }
            }
        }
        to = from;
    }
    Ok(0)
}
