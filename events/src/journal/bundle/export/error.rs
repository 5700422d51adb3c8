//! Why there is no bundle.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::checkpoints::CheckpointError;
use crate::ports::{ReadError, SignError};
use crate::time::Timestamp;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no signed checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The manifest cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// There is no such period.
    #[error("there is no period `{period}`; {known}")]
    NoPeriod {
        /// Which.
        period: String,
        /// What there is instead.
        known: String,
    },
    /// The period has no invoice yet.
    #[error(
        "the period `{period}`, which ends at {}, is not closed yet; its history can be exported \
         with its bounds", .end.to_rfc3339()
    )]
    Open {
        /// Which.
        period: String,
        /// When it ends.
        end: Timestamp,
    },
    /// There is nothing in the part that was asked for.
    #[error("{0}")]
    Nothing(String),
    /// There is no such line.
    #[error("the invoice has no line `{line}`; its lines are 000001 to {last}")]
    NoLine {
        /// Which.
        line: String,
        /// The last one.
        last: String,
    },
    /// Too much was asked for.
    #[error("{0}")]
    TooMuch(String),
    /// The witnesses have not co-signed.
    #[error("the checkpoint over {size} leaves is not co-signed as the policy wants: {reason}")]
    Unwitnessed {
        /// Leaves.
        size: u64,
        /// Who is missing.
        reason: String,
    },
    /// The target is there already.
    #[error("{} is there and is not empty; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A file cannot be written or read.
    #[error("{}: {reason}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The record is not what was signed, or not what was billed.
    #[error("{0}")]
    Damaged(String),
    /// Nobody waits for it any more.
    #[error("the export was given up")]
    GivenUp,
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
}

impl ExportError {
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_path_buf(), reason: error.to_string() }
    }
}

impl From<crate::canonical::CanonicalError> for ExportError {
    fn from(error: crate::canonical::CanonicalError) -> Self {
        Self::Internal(error.to_string())
    }
}
