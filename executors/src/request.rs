//! What an executor is asked to run. The types belong to the core; they are named here so that
//! an executor's author finds them beside the port.

pub use dagbook_events::step::{
    ArtifactRef, ArtifactRequest, AttemptExit, AttemptLimits, AttemptReport, AttemptSpec, EnvVar,
    InputFile, LogSummary, Outcome, PendingReason, Program, ReportBody, Requested, Resources,
    SecretRequest, SourceArchive, StartErrorKind, StopCause, TimeoutKind, Usage, UsageQuality,
    UsageSource, Used, Workspace,
};

use dagbook_events::time::Timestamp;

/// The request's own part of a usage record: what was asked for, rounded up to MiB.
pub fn requested(resources: &Resources) -> Requested {
    Requested::of(resources)
}

/// Who did the work and how it was charged: the part of a usage record that does not depend on
/// the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The executor's name.
    pub executor: String,
    /// Price class.
    pub class: String,
    /// The machine.
    pub node: String,
}

/// The exit of an attempt for which nothing ever ran: refused, or cancelled before its start.
/// Its usage is a span of no length.
pub fn exit_without_run(
    place: &Place,
    spec: &AttemptSpec,
    outcome: Outcome,
    at: Timestamp,
) -> AttemptExit {
    AttemptExit {
        usage: Usage {
            executor: place.executor.clone(),
            class: place.class.clone(),
            node: place.node.clone(),
            allocated_ms: at,
            released_ms: at,
            started_ms: None,
            requested: requested(&spec.resources),
            used: Used::default(),
            source: UsageSource::None,
            quality: UsageQuality::Exact,
            outcome: outcome.name().to_string(),
            fault: outcome.fault(),
        },
        outcome,
        outputs: Default::default(),
        output_error: None,
        artifacts: Default::default(),
        log: LogSummary::default(),
        leftover_processes: 0,
    }
}

/// A report about the attempt of `spec`.
pub fn report(spec: &AttemptSpec, at: Timestamp, body: ReportBody) -> AttemptReport {
    AttemptReport {
        run: spec.run,
        step: spec.step.clone(),
        attempt: spec.attempt,
        epoch: spec.epoch,
        at,
        body,
    }
}
