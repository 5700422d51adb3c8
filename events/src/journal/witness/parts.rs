//! What a witness is made of, what it tells, and why it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Refusal;
use crate::ids::Position;
use crate::journal::keys::FileCosigner;
use crate::ports::{Clock, Notes, RecordCopy, SignError};
use crate::tlog::VerifierKey;

/// What a witness works with.
pub struct WitnessParts {
    /// The second copy.
    pub copy: Arc<dyn RecordCopy>,
    /// Where the site shows its heads, and the witness its cosignatures.
    pub notes: Arc<dyn Notes>,
    /// The witness's own key.
    pub cosigner: FileCosigner,
    /// Its own clock.
    pub clock: Arc<dyn Clock>,
    /// Its own folder: what it knows outlives it there.
    pub folder: PathBuf,
}

/// How a witness works.
#[derive(Debug, Clone)]
pub struct WitnessOptions {
    /// The key with which the site signs. It is pinned in the folder at the first start, and
    /// can be left out from then on.
    pub log_key: Option<VerifierKey>,
    /// Name of the site, with which its logs' names begin; `None`: the name of its key.
    pub site: Option<String>,
    /// Time between two turns without news.
    pub interval: Duration,
    /// How often what it knows is kept; after a stop that comes too early it reads so much of
    /// the copy again.
    pub keep_every: Duration,
    /// Events that are read in one turn at most. Where there are more, the heads that can be
    /// judged are judged, what is known is kept if that is due, and the next turn follows at
    /// once.
    pub turn_events: u64,
    /// `run` ends at the first refusal; otherwise the other logs are witnessed further.
    pub stop_at_refusal: bool,
}

impl Default for WitnessOptions {
    fn default() -> Self {
        Self {
            log_key: None,
            site: None,
            interval: Duration::from_secs(1),
            keep_every: Duration::from_secs(5),
            turn_events: 100_000,
            stop_at_refusal: false,
        }
    }
}

/// Why a witness does not go on. That it refuses a log is no error: see [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// Its folder cannot be used.
    #[error("the witness's folder: {path}: {reason}")]
    Folder {
        /// File or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Its options contradict what it pinned, or are not enough.
    #[error("the witness's options: {0}")]
    Options(String),
    /// It cannot sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A newer program wrote the record.
    #[error("position {position} was written by a newer program: {reason}; use a newer witness")]
    TooNew {
        /// Where.
        position: Position,
        /// What cannot be read.
        reason: String,
    },
}

/// What a witness knows at the end of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WitnessStatus {
    /// The timeline that it reads.
    pub timeline: u64,
    /// The position up to which it has read the copy.
    pub position: Position,
    /// Where the copy ended when it was looked at last.
    pub copy_end: Position,
    /// Cosignatures that it gave since it started.
    pub cosigned: u64,
    /// Heads that wait for their leaves.
    pub waiting: usize,
    /// Notes that were not looked at since it started: not by the site's key, or not heads.
    pub ignored: u64,
    /// Logs that it refuses.
    pub refusals: Vec<Refusal>,
    /// What did not succeed and is tried again.
    pub problem: Option<String>,
}
