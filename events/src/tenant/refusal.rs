//! Why a command to a tenant is refused.

/// Why nothing happens. The texts are for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// It contradicts what there is.
    #[error("{0}")]
    Conflict(String),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// There are as many as there may be.
    #[error("{reason}")]
    Full {
        /// A word for programs.
        limit: &'static str,
        /// What is full, with its numbers.
        reason: String,
    },
}
