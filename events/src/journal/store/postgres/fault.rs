//! What an error of the driver means for what was asked.

use tokio_postgres::error::{Severity, SqlState};

use super::client::explain;
use crate::ids::Position;
use crate::journal::backend::BackendFault;
use crate::ports::ReadError;

/// Why a round trip failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is of no use any more, and what was asked on it may have been done.
    Gone(String),
    /// The server has refused, and goes on.
    Refused(SqlState, String),
}

impl Trouble {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        let text = explain(error);
        match error.as_db_error() {
            // With anything worse the server ends the session, at whatever point it was.
            Some(said) if said.parsed_severity() == Some(Severity::Error) => {
                Self::Refused(said.code().clone(), text)
            }
            _ => Self::Gone(text),
        }
    }

    /// What it means where nothing was sent yet that writes.
    pub(super) fn before_writing(self) -> BackendFault {
        match self {
            Self::Gone(text) => BackendFault::Unreachable(text),
            refused => refused.into(),
        }
    }

    /// Whether another connection may do better: this one is gone, or its server has become a
    /// standby.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Gone(_) => true,
            Self::Refused(code, _) => *code == SqlState::READ_ONLY_SQL_TRANSACTION,
        }
    }

    /// Whether something that was to be made is there already.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused(code, _) if *code == SqlState::UNIQUE_VIOLATION)
    }
}

impl From<Trouble> for BackendFault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(code, text) if is_damage(&code) => Self::Corrupt(text),
            Trouble::Gone(text) | Trouble::Refused(_, text) => Self::Unavailable(text),
        }
    }
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        match BackendFault::from(trouble) {
            BackendFault::Unavailable(text) | BackendFault::Unreachable(text) => {
                Self::Unavailable(text)
            }
            BackendFault::Corrupt(detail) => Self::Corrupt { position: Position(0), detail },
        }
    }
}

/// Tells damage from what may pass: rows that contradict the schema, pages that cannot be read.
fn is_damage(code: &SqlState) -> bool {
    // 23: integrity constraints. XX001 and XX002: data and indexes.
    code.code().starts_with("23")
        || [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code)
}
