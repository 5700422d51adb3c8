//! What the canonical form cannot hold.

use std::fmt;

/// Why a value has no canonical form, and where in the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalError {
    /// Members and indexes from the outside in, such as `.steps[3].weight`; empty at the top.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A float.
    #[error("a float has no canonical form; use a decimal string")]
    Float,
    /// An integer beyond 2^53 − 1.
    #[error("the integer {0} is beyond 2^53 - 1; use a decimal string")]
    Integer(String),
    /// A key that is not text.
    #[error("the key of a member must be a string")]
    Key,
    /// The same key twice.
    #[error("the member `{0}` occurs twice")]
    Duplicate(String),
    /// A null where no member can be left out.
    #[error("null has no canonical form; leave the member out")]
    Null,
    /// Raw bytes.
    #[error("bytes have no canonical form; use a hexadecimal or base64 string")]
    Bytes,
    /// The value's own complaint.
    #[error("{0}")]
    Other(String),
}

impl CanonicalError {
    pub(super) fn new(problem: Problem) -> Self {
        Self { path: String::new(), problem }
    }

    /// The same error seen from one level further out.
    pub(super) fn inside(mut self, place: &str) -> Self {
        self.path.insert_str(0, place);
        self
    }
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => self.problem.fmt(f),
            path => write!(f, "at `{path}`: {}", self.problem),
        }
    }
}

impl std::error::Error for CanonicalError {}

impl serde::ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }
}
