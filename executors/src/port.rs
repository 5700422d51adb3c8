//! The contract between the core and whatever runs attempts (`executors.md`, 9.2).
//!
//! - The attempt id is the idempotency key everywhere; an executor never starts two executions
//!   under one id.
//! - Answers to calls are hints; the truth about an attempt is its one `Exited` report.
//! - An executor keeps what it knows of an attempt until [`Executor::release`].

use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, Epoch};
use dagbook_events::step::{AttemptSpec, Outcome, StartErrorKind, StopCause, Used};
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::hub::Reports;

/// What finds an attempt again after a restart: opaque to the core, at most 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// Why an attempt was not started, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No place now. Nothing happened; try again later.
    #[error("busy: {reason}")]
    Busy {
        /// What it waits for.
        reason: String,
    },
    /// The id is in use for another spec. A fault of the caller.
    #[error("attempt {attempt} was already started with another spec")]
    Conflict {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It will never fit here. Nothing happened.
    #[error("cannot be scheduled: {reason}")]
    Unschedulable {
        /// What is missing.
        reason: String,
    },
    /// The request cannot be carried out as it is. Nothing ran.
    #[error("{message}")]
    Invalid {
        /// What kind of thing is wrong.
        kind: StartErrorKind,
        /// The sentence for the author.
        message: String,
    },
    /// It ran here before, and what it left was let go: whoever asks has slept through its end.
    /// It is never run again.
    #[error("attempt {attempt} ran here before and was let go; it does not run twice")]
    Spent {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It may or may not have started: ask [`Executor::recover`] before anything else.
    #[error("whether the attempt started is unknown: {detail}")]
    Ambiguous {
        /// What happened.
        detail: String,
    },
}

impl StartError {
    /// The outcome to record where the refusal is final; `None` where the core should wait
    /// (`Busy`), ask (`Ambiguous`) or has made a mistake (`Conflict`).
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Unschedulable { reason } => {
                Some(Outcome::Unschedulable { reason: reason.clone() })
            }
            Self::Invalid { kind, message } => {
                Some(Outcome::StartError { kind: *kind, message: message.clone() })
            }
            Self::Spent { .. } => Some(Outcome::Lost { detail: self.to_string() }),
            Self::Busy { .. } | Self::Conflict { .. } | Self::Ambiguous { .. } => None,
        }
    }
}

/// Why a call failed that is not a start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    /// It cannot be reached or its state cannot be read now.
    #[error("the executor is unavailable: {0}")]
    Unavailable(String),
}

/// What became of an attempt that the core remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// It is here; its reports come, or come again, through [`Executor::watch`].
    Found(AttemptState),
    /// Positive knowledge that nothing runs or ran under this id.
    Gone,
    /// Nothing can be said now. Not the same as gone.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Where an attempt stands at its executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptState {
    /// Getting ready.
    Preparing,
    /// Running.
    Running,
    /// Told to stop.
    Stopping,
    /// Ended and not released.
    Exited,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelMode {
    /// Ask, and use force after the grace.
    Graceful {
        /// From TERM to KILL.
        grace: Duration,
    },
    /// At once.
    Force,
}

/// What became of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It will stop; the `Exited` report tells how.
    Accepted,
    /// It is not known here; a start that comes later will end as cancelled at once.
    NotStarted,
    /// It has ended already: nothing to do.
    AlreadyExited,
    /// The attempt runs under another epoch: ignored.
    Stale {
        /// The attempt's own.
        current: Epoch,
    },
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The attempt.
    pub attempt: AttemptId,
    /// First byte wanted, from 0.
    pub offset: u64,
    /// Most bytes to return.
    pub limit: usize,
    /// How long to wait where nothing is there yet and the log is still open.
    pub wait: Duration,
}

/// A part of a log. Loss is data, never an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogChunk {
    /// Offset of the first byte; greater than what was asked where bytes are missing
    /// (a gap from the asked offset to this one).
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Nothing will be added any more.
    pub closed: bool,
    /// Bytes kept so far in all.
    pub total: u64,
    /// Bytes dropped so far because of the cap: the log is truncated where not 0.
    pub dropped_bytes: u64,
}

impl LogChunk {
    /// The offset to ask for next.
    pub fn next_offset(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Whether this is the end: closed and read to the last byte.
    pub fn is_end(&self) -> bool {
        self.closed && self.next_offset() >= self.total
    }
}

/// Why a log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No log of that attempt is known.
    #[error("no log of attempt {0} is kept here")]
    Missing(AttemptId),
    /// It cannot be read now.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

/// Runs attempts. See the conformance suite for the law in full.
#[async_trait]
pub trait Executor: Send + Sync {
    /// What it can do.
    fn describe(&self) -> Capabilities;

    /// Starts an attempt. Idempotent: the same spec under the same id gives the same handle
    /// and one execution.
    async fn start(&self, spec: AttemptSpec) -> Result<Handle, StartError>;

    /// Finds attempts again, at boot and after [`StartError::Ambiguous`]. What is found is
    /// watched from then on, and its reports are sent again.
    async fn recover(
        &self,
        attempts: Vec<(AttemptId, Option<Handle>)>,
    ) -> Vec<(AttemptId, Recovery)>;

    /// Every attempt that has something here: the way to find orphans.
    async fn list(&self) -> Result<Vec<AttemptId>, ExecutorError>;

    /// What was asked under this id, where that is kept here: whose an orphan is.
    async fn asked(&self, _attempt: AttemptId) -> Option<AttemptSpec> {
        None
    }

    /// Reports from now on, preceded by what is known of each attempt that is not released.
    /// At least once, in order per attempt.
    fn watch(&self) -> Reports;

    /// Asks an attempt to stop. Idempotent; allowed before the start and after the exit.
    async fn cancel(
        &self,
        attempt: AttemptId,
        epoch: Epoch,
        mode: CancelMode,
        by: StopCause,
    ) -> Result<CancelAnswer, ExecutorError>;

    /// A part of an attempt's log, while it runs and afterwards.
    async fn logs(&self, query: LogQuery) -> Result<LogChunk, LogError>;

    /// What it used so far, where that can be said.
    async fn stats(&self, attempt: AttemptId) -> Option<Used>;

    /// Forgets an attempt, once the core has recorded its exit. Idempotent. Nothing is left
    /// of it but its log.
    async fn release(&self, attempt: AttemptId);

    /// Takes no new work; what runs goes on.
    async fn drain(&self);

    /// Lets go of everything without ending it: running attempts are found by the next one.
    async fn shutdown(&self);
}
