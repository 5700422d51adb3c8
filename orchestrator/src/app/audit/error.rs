//! Why there is no bundle, as every use case says it.

use dagbook_events::journal::bundle::export::ExportError;
use dagbook_events::ports::SignError;

use crate::app::error::AppError;

impl From<ExportError> for AppError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Read(error) => error.into(),
            ExportError::Checkpoint(error) => error.into(),
            ExportError::Sign(SignError::Inconsistent(_)) => Self::Damaged(error.to_string()),
            ExportError::Sign(SignError::Key(_)) => Self::unavailable(error),
            ExportError::NoPeriod { period, .. } => Self::not_found("period", period),
            ExportError::NoLine { line, .. } => Self::not_found("line", line),
            ExportError::Open { .. } => Self::Conflict(error.to_string()),
            ExportError::Nothing(reason) => Self::Invalid(reason),
            ExportError::TooMuch(reason) => Self::TooLarge(reason),
            ExportError::NotEmpty(_) => Self::Invalid(error.to_string()),
            ExportError::Unwitnessed { .. } | ExportError::File { .. } | ExportError::GivenUp => {
                Self::unavailable(error)
            }
            ExportError::Damaged(reason) => Self::Damaged(reason),
            ExportError::Internal(reason) => Self::Internal(reason),
        }
    }
}
