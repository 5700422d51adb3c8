//! How an attempt can end, and whose fault each end is (`executors.md`, 9.3).

use serde::{Deserialize, Serialize};

/// How an attempt ended. Only positive evidence gives [`Outcome::Succeeded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit status 0 was seen.
    Succeeded,
    /// It ended by itself with another status.
    Failed {
        /// 1 to 255.
        exit_code: i32,
    },
    /// A signal that nobody of ours sent ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// A bound was reached.
    TimedOut {
        /// Which one.
        kind: TimeoutKind,
    },
    /// It was asked to stop, and stopped.
    Canceled {
        /// Who asked.
        by: StopCause,
        /// Whether KILL was needed.
        forced: bool,
    },
    /// The kernel's out-of-memory killer ended it.
    OomKilled,
    /// Something more important took its place.
    Preempted,
    /// Its machine threw it out.
    Evicted {
        /// As the machine says it.
        reason: String,
    },
    /// It could not be started.
    StartError {
        /// What kind of thing is wrong.
        kind: StartErrorKind,
        /// The sentence for its author.
        message: String,
    },
    /// Nothing that fits exists.
    Unschedulable {
        /// What is missing.
        reason: String,
    },
    /// Contact was lost and no end was seen.
    Lost {
        /// What was seen last.
        detail: String,
    },
    /// The executor refused it.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The executor itself failed.
    Infra {
        /// What happened.
        detail: String,
    },
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutKind {
    /// Waiting for a place.
    Queue,
    /// Starting.
    Start,
    /// Running.
    Run,
    /// No sign of life.
    Heartbeat,
    /// All attempts of the step together.
    Total,
}

/// Who asked an attempt to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// A person.
    User,
    /// A bound of the run or step.
    Timeout,
    /// A sibling failed under `fail_fast`.
    FailFast,
    /// A newer run took its place in the concurrency group.
    Superseded,
    /// The executor is shutting down.
    Shutdown,
    /// A budget is used up.
    Budget,
}

/// What kept an attempt from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartErrorKind {
    /// The image or program does not exist.
    Image,
    /// The request is wrong (a secret without a value, an input that is not there).
    Config,
    /// The machine could not do it (disk, processes, descriptors).
    Io,
}

/// Whose fault an outcome is. `d.fault` of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nobody's: it succeeded.
    None,
    /// The author's program or file.
    User,
    /// A rule (cancel, limit, preemption).
    Policy,
    /// The platform.
    Infra,
}

impl Outcome {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Succeeded => Fault::None,
            Self::Failed { .. } | Self::Signaled { .. } | Self::OomKilled => Fault::User,
            Self::TimedOut { kind: TimeoutKind::Queue | TimeoutKind::Start } => Fault::Policy,
            Self::TimedOut { .. } => Fault::User,
            Self::Canceled { by: StopCause::Shutdown, .. } => Fault::Infra,
            Self::Canceled { .. } => Fault::Policy,
            Self::StartError { kind: StartErrorKind::Io, .. } => Fault::Infra,
            Self::StartError { .. } | Self::Rejected { .. } => Fault::User,
            Self::Unschedulable { .. } => Fault::Policy,
            Self::Preempted | Self::Evicted { .. } | Self::Lost { .. } | Self::Infra { .. } => {
                Fault::Infra
            }
        }
    }

    /// The word of the record: `d.usage.outcome`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Signaled { .. } => "signaled",
            Self::TimedOut { .. } => "timed_out",
            Self::Canceled { .. } => "canceled",
            Self::OomKilled => "oom_killed",
            Self::Preempted => "preempted",
            Self::Evicted { .. } => "evicted",
            Self::StartError { .. } => "start_error",
            Self::Unschedulable { .. } => "unschedulable",
            Self::Lost { .. } => "lost",
            Self::Rejected { .. } => "rejected",
            Self::Infra { .. } => "infra",
        }
    }

    /// One sentence fragment for a person: "exit code 3", "killed by signal 9 (KILL)".
    pub fn describe(&self) -> String {
        match self {
            Self::Succeeded => "succeeded".into(),
            Self::Failed { exit_code } => format!("exit code {exit_code}"),
            Self::Signaled { signal } => match signal_name(*signal) {
                Some(name) => format!("killed by signal {signal} ({name})"),
                None => format!("killed by signal {signal}"),
            },
            Self::TimedOut { kind } => match kind {
                TimeoutKind::Queue => "waited too long for a place".into(),
                TimeoutKind::Start => "took too long to start".into(),
                TimeoutKind::Run => "ran longer than its timeout".into(),
                TimeoutKind::Heartbeat => "gave no sign of life within its heartbeat".into(),
                TimeoutKind::Total => "all attempts together took longer than allowed".into(),
            },
            Self::Canceled { forced: false, .. } => "cancelled".into(),
            Self::Canceled { forced: true, .. } => "cancelled, by force".into(),
            Self::OomKilled => "killed for using more memory than allowed".into(),
            Self::Preempted => "preempted".into(),
            Self::Evicted { reason } => format!("evicted: {reason}"),
            Self::StartError { message, .. } => format!("could not start: {message}"),
            Self::Unschedulable { reason } => format!("cannot be scheduled: {reason}"),
            Self::Lost { detail } => format!("lost: {detail}"),
            Self::Rejected { reason } => format!("refused by the executor: {reason}"),
            Self::Infra { detail } => format!("infrastructure fault: {detail}"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        _ => return None,
    })
}
