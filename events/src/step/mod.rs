//! One attempt at one step: what is asked of an executor, and what it may answer.

mod outcome;
mod report;
mod spec;
pub mod transition;
mod usage;

pub use outcome::{Fault, Outcome, StartErrorKind, StopCause, TimeoutKind};
pub use report::{ArtifactRef, AttemptExit, AttemptReport, LogSummary, PendingReason, ReportBody};
pub use spec::{
    ArtifactRequest, AttemptLimits, AttemptSpec, EnvVar, GpuRequest, InputFile, Placement, Program,
    Resources, SecretRequest, SourceArchive, Workspace,
};
pub use transition::{AttemptState, Observation, Transition};
pub use usage::{GpuUsage, Requested, Usage, UsageQuality, UsageSource, Used};
