//! What the command line says when something is not as it should be, and how it exits.

use dagbook_events::ports::{AppendError, ReadError};
use dagbook_events::run::Rejection;

use super::args::OutputFormat;
use super::output;
use crate::app::act::ActError;
use crate::config::ConfigError;
use crate::engine::Refusal;
use crate::runtime::AskError;
use crate::runtime::record::RecordError;

/// How the program ends. The numbers are fixed and documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Done, and what was asked about succeeded.
    Success = 0,
    /// The run (or the check) failed.
    Failed = 1,
    /// The call or the file is wrong.
    Usage = 2,
    /// Cancelled.
    Canceled = 3,
    /// A service, the store or the network is unavailable.
    Unavailable = 4,
    /// Refused: authorisation, quota, budget, or the rules of a run.
    Refused = 5,
    /// Evidence is damaged or does not agree.
    Damaged = 6,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl ExitCode {
    /// The word for programs: `kind` of the JSON form of an error.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Canceled => "canceled",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }
}

/// An error as a person meets it: one sentence, perhaps what to do, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// How the program exits.
    pub exit: ExitCode,
    /// What is wrong: what, where.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Nobody reads any more: end without a word.
    pub silent: bool,
}

impl CliError {
    /// An error with this exit code.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, silent: false }
    }

    /// The call or the file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A check failed, or a run did.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// A store or service cannot be used now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Unavailable, message)
    }

    /// The rules refuse it.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Refused, message)
    }

    /// The record is not what it must be.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Damaged, message)
            .hint("`dagbook replay RUN --verify` checks the whole record and says what differs")
    }

    /// Standard output was closed by its reader.
    pub fn broken_pipe() -> Self {
        Self { silent: true, ..Self::new(ExitCode::Success, "nobody reads the output") }
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it on standard error in the form that was asked for.
    pub fn print(&self, format: OutputFormat) {
        use std::io::Write;
        if self.silent {
            return;
        }
        let mut stderr = anstream::stderr().lock();
        // There is nowhere left to complain to when this fails.
        let _ = match format {
            OutputFormat::Json => writeln!(stderr, "{}", self.to_json()),
            OutputFormat::Text => {
                let (error, hint, reset) = (output::ERROR, output::HINT, output::RESET);
                let mut text = format!("{error}error:{reset} {}\n", self.message);
                if let Some(advice) = &self.hint {
                    text.push_str(&format!("\n{hint}hint:{reset} {advice}\n"));
                }
                write!(stderr, "{text}")
            }
        };
    }

    fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({
            "kind": self.exit.kind(),
            "message": self.message,
            "exit_code": self.exit as u8,
        });
        if let Some(hint) = &self.hint {
            error["hint"] = hint.as_str().into();
        }
        serde_json::json!({ "error": error })
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::broken_pipe(),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let list = error.0.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
        Self::usage(format!("the configuration cannot be used:{list}"))
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(_) => Self::unavailable(error.to_string()),
            ReadError::Corrupt { .. } => Self::damaged(error.to_string()),
        }
    }
}

impl From<RecordError> for CliError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Event { .. } => {
                Self::damaged(format!("the record cannot be understood at {error}"))
            }
        }
    }
}

impl From<AppendError> for CliError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Corrupt(_) => Self::damaged(error.to_string()),
            AppendError::Halted(_) => Self::damaged(error.to_string())
                .hint("see ops/runbooks/store-restored.md before anything else is done"),
            AppendError::Fenced { .. } => Self::unavailable(error.to_string())
                .hint("another process has taken over; send the command to that one"),
            AppendError::Invalid(_) | AppendError::KeyReused(_) => Self::usage(error.to_string()),
            AppendError::Conflict { .. } => {
                Self::refused(format!("{error}: somebody else changed it at the same time"))
                    .hint("try again")
            }
            AppendError::Unavailable(_) | AppendError::Busy { .. } | AppendError::Unknown(_) => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

impl From<Rejection> for CliError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NoSuchStep(_) | Rejection::Unborn => Self::usage(rejection.to_string()),
            _ => Self::refused(rejection.to_string()),
        }
    }
}

impl From<ActError> for CliError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Rejected(rejection) => rejection.into(),
            ActError::Record(error) => error.into(),
            ActError::Append(error) => error.into(),
        }
    }
}

impl From<AskError> for CliError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(Refusal::Rejected(rejection)) => rejection.into(),
            AskError::Refused(_) | AskError::Elsewhere(_) => Self::refused(error.to_string()),
            AskError::Unreadable(_) | AskError::Stopped => Self::unavailable(error.to_string()),
        }
    }
}
