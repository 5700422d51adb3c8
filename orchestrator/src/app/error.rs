//! Why a use case came to nothing: one list for all edges. HTTP makes problem details of it, the
//! command line an exit code.

use dagbook_events::dag::Finding;
use dagbook_events::ports::{AppendError, BlobError, ReadError};
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Millis;

use crate::runtime::record::RecordError;

/// Why a use case came to nothing. Nothing changed, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppError {
    /// There is no such thing, or none that the asker may know of. 404, exit 2.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// What kind of thing: `run`, `step`, `pipeline`, ….
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// Nobody knows who asks. 401, exit 5.
    #[error("{reason}")]
    Unauthenticated {
        /// What is wrong with what was shown, without showing it.
        reason: String,
    },
    /// The asker may not. 403, exit 5.
    #[error("{reason}")]
    Forbidden {
        /// What it needs.
        reason: String,
    },
    /// The request is wrong. 400, exit 2.
    #[error("{0}")]
    Invalid(String),
    /// A DAG file, rate card or contract is wrong. 422, exit 2.
    #[error("the file has {} findings", .0.len())]
    Findings(Vec<Finding>),
    /// It contradicts what there is: a name is taken, a run is over. 409, exit 2.
    #[error("{0}")]
    Conflict(String),
    /// A quota, a limit or a full queue stands in the way. 429, exit 5.
    #[error("{reason}")]
    Exhausted {
        /// A word for programs, such as `open_runs`.
        limit: &'static str,
        /// What is full, with its numbers.
        reason: String,
        /// When to come again.
        retry_after: Millis,
    },
    /// It is larger than what is taken. 413, exit 2.
    #[error("{0}")]
    TooLarge(String),
    /// Something that is needed cannot be reached now; nobody may know whether it happened.
    /// 503, exit 4.
    #[error("{reason}")]
    Unavailable {
        /// What, and how it showed.
        reason: String,
        /// When to come again.
        retry_after: Millis,
    },
    /// The record is not what it must be, or is halted. 503 for a server, exit 6.
    #[error("{0}")]
    Damaged(String),
    /// A fault of this program. 500, exit 1.
    #[error("{0}")]
    Internal(String),
}

/// When to come again to something that only people can make room in.
const LATER: Millis = Millis::seconds(3_600);

/// When to come again to something that is away.
const SOON: Millis = Millis(1_000);

impl AppError {
    /// Something is away.
    pub fn unavailable(reason: impl ToString) -> Self {
        Self::Unavailable { reason: reason.to_string(), retry_after: SOON }
    }

    /// There is no such thing.
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }
}

impl From<ReadError> for AppError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::unavailable(error),
            ReadError::Corrupt { .. } => Self::Damaged(error.to_string()),
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing { what, name } => Self::NotFound { what, name },
            Refusal::Conflict(reason) => Self::Conflict(reason),
            Refusal::Invalid(reason) => Self::Invalid(reason),
            Refusal::Forbidden(reason) => Self::Forbidden { reason },
            Refusal::Full { limit, reason } => {
                Self::Exhausted { limit, reason, retry_after: LATER }
            }
        }
    }
}

impl From<AppendError> for AppError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } | AppendError::KeyReused(_) => {
                Self::Conflict(error.to_string())
            }
            AppendError::Invalid(reason) => Self::Invalid(reason),
            AppendError::Busy { retry_after_ms } => {
                Self::Unavailable { reason: error.to_string(), retry_after: Millis(retry_after_ms) }
            }
            AppendError::Unavailable(_) | AppendError::Unknown(_) | AppendError::Fenced { .. } => {
                Self::unavailable(error)
            }
            AppendError::Halted(_) | AppendError::Corrupt(_) => Self::Damaged(error.to_string()),
        }
    }
}

impl From<BlobError> for AppError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Unavailable(_) => Self::unavailable(error),
            BlobError::Missing(_) | BlobError::Damaged(_) => Self::Damaged(error.to_string()),
        }
    }
}

impl From<RecordError> for AppError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Event { .. } => Self::Damaged(error.to_string()),
        }
    }
}
