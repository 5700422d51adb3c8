//! Why a request came to nothing.

use std::time::Duration;

use serde::Deserialize;

/// Bytes of a problem that are read.
pub(super) const PROBLEM_MAX: usize = 1 << 20;

/// A problem as a server sends it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A word for programs.
    pub code: String,
    /// What it means, in a few words.
    pub title: String,
    /// What is wrong here.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// When to come again.
    pub retry_after_ms: Option<u64>,
    /// What is wrong in a DAG file.
    pub findings: Vec<ProblemFinding>,
}

/// A finding of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProblemFinding {
    /// Its code.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be made of this.
    #[error("{0}")]
    Setup(String),
    /// The server cannot be reached, or stops in the middle.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// Which.
        server: String,
        /// How it showed.
        reason: String,
    },
    /// Something answers that is no dagbook server, or one of another kind.
    #[error("{server} does not answer as a dagbook server does: {reason}")]
    Strange {
        /// Which.
        server: String,
        /// How it showed.
        reason: String,
    },
    /// The server refuses.
    #[error("{}", said(.0))]
    Problem(Box<Problem>),
}

impl ClientError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// The word for programs of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next try.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    /// Whether another try may go better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Setup(_) | Self::Strange { .. } => false,
            // A quota is not free in a second: people are told, and decide.
            Self::Problem(problem) => match (problem.status, problem.code.as_str()) {
                (429, "exhausted") | (503, "record-halted") => false,
                (409, "key-in-use") => true,
                (status, _) => matches!(status, 408 | 429 | 502 | 503 | 504),
            },
        }
    }
}

fn said(problem: &Problem) -> String {
    let text = match (problem.detail.as_str(), problem.title.as_str()) {
        ("", "") => format!("the server answers with status {}", problem.status),
        ("", title) => title.to_string(),
        (detail, _) => detail.to_string(),
    };
    // Whatever a server says reaches a terminal.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(2_000).collect()
}
