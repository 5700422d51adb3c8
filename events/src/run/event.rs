//! What can happen to a run. These types are also the current version of the recorded data
//! (`d` of the envelope): a change of meaning is a new event name, a change of shape a new
//! data version with an upcaster in `codec`.
//!
//! Every append starts with a *cause*: an event that holds all of the command that led to it.
//! The events that follow it in the same append are its consequences and name it in `ca`.
//! That is how a recorded command can be decided again (see `run::replay`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dag::{GitFacts, Plan, SourceBundle};
use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, Epoch, RunId, StepKey, TenantId};
use crate::pipeline::PipelineVersion;
use crate::step::{ArtifactRef, AttemptExit, PendingReason, SourceArchive, StopCause, Usage};
use crate::time::Timestamp;
use crate::trace::TraceContext;
use crate::value::Value;

pub use super::usage::{Heard, Hold, HoldBasis, UsageCheckpoint};

/// One recorded fact of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFact {
    /// When it happened: the stamp of the command.
    pub at: Timestamp,
    /// What happened.
    pub event: RunEvent,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// A run was accepted. Always the first event.
    Submitted(Box<Submitted>),
    /// It got its place in its concurrency group.
    Admitted(Admitted),
    /// Steps no longer start.
    Paused(ByPerson),
    /// Steps start again.
    Resumed(ByPerson),
    /// It was asked to stop.
    CancelRequested(CancelRequested),
    /// A named event arrived.
    Signaled(Signaled),
    /// A timer that still mattered ran out.
    TimerFired(TimerFired),
    /// It came to its end. Nothing but stale reports and releases may follow.
    Finished(Finished),
    /// The children of a step became known.
    StepExpanded(StepExpanded),
    /// A step (or child) will not run.
    StepSkipped(StepSkipped),
    /// A step (or child) failed without an attempt.
    StepFailed(StepFailed),
    /// Earlier results were looked for.
    CacheAsked(CacheAsked),
    /// None was found.
    CacheMissed(CacheMissed),
    /// An earlier result was taken over.
    StepReused(StepReused),
    /// A person is asked.
    ApprovalRequested(ApprovalRequested),
    /// A person, or the clock, answered.
    ApprovalGiven(ApprovalGiven),
    /// A step waits.
    WaitStarted(WaitStarted),
    /// A sub-DAG's run was asked for.
    ChildRequested(ChildRequested),
    /// It ended.
    ChildFinished(ChildFinished),
    /// An attempt was decided on. Recorded before any executor hears of it.
    AttemptPlanned(AttemptPlanned),
    /// It waits at its executor.
    AttemptPending(AttemptPending),
    /// It runs.
    AttemptStarted(AttemptStarted),
    /// It is stopping.
    AttemptStopping(AttemptMark),
    /// Contact is lost.
    AttemptSuspected(AttemptMark),
    /// Contact is back.
    AttemptRecovered(AttemptMark),
    /// What it used so far.
    UsageCheckpoint(Box<UsageCheckpoint>),
    /// It ended, and what follows for its step.
    AttemptExited(Box<AttemptExited>),
    /// A report that came too late was kept and not applied.
    ReportStale(Box<ReportStale>),
}

impl RunEvent {
    /// The recorded type, `ty` of the envelope.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Submitted(_) => "run.submitted",
            Self::Admitted(_) => "run.admitted",
            Self::Paused(_) => "run.paused",
            Self::Resumed(_) => "run.resumed",
            Self::CancelRequested(_) => "run.cancel_requested",
            Self::Signaled(_) => "run.signaled",
            Self::TimerFired(_) => "timer.fired",
            Self::Finished(_) => "run.finished",
            Self::StepExpanded(_) => "step.expanded",
            Self::StepSkipped(_) => "step.skipped",
            Self::StepFailed(_) => "step.failed",
            Self::CacheAsked(_) => "cache.asked",
            Self::CacheMissed(_) => "cache.missed",
            Self::StepReused(_) => "step.reused",
            Self::ApprovalRequested(_) => "approval.requested",
            Self::ApprovalGiven(_) => "approval.given",
            Self::WaitStarted(_) => "wait.started",
            Self::ChildRequested(_) => "child.requested",
            Self::ChildFinished(_) => "child.finished",
            Self::AttemptPlanned(_) => "attempt.planned",
            Self::AttemptPending(_) => "attempt.pending",
            Self::AttemptStarted(_) => "attempt.started",
            Self::AttemptStopping(_) => "attempt.stopping",
            Self::AttemptSuspected(_) => "attempt.suspected",
            Self::AttemptRecovered(_) => "attempt.recovered",
            Self::UsageCheckpoint(_) => "usage.checkpoint",
            Self::AttemptExited(_) => "attempt.exited",
            Self::ReportStale(_) => "report.stale",
        }
    }
}

/// `run.submitted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whose.
    pub tenant: TenantId,
    /// The pipeline's name.
    pub pipeline: String,
    /// A number for people: how many runs the store had seen, plus one.
    pub number: u64,
    /// Parameters as given, before defaults.
    pub params: BTreeMap<String, Value>,
    /// `manual`, `schedule`, `gitlab`, `dag` or `retry`.
    pub trigger: String,
    /// For which instant, when a schedule asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheduled_at: Option<Timestamp>,
    /// The version of a registered pipeline that it is pinned to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pipeline_version: Option<PipelineVersion>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub git: Option<GitFacts>,
    /// The run and step that asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<ParentLink>,
    /// The run that it repeats.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_of: Option<RunId>,
    /// Results taken over from that run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub reuse: BTreeMap<StepKey, ReusedResult>,
    /// SHA-256 of the entry file.
    pub source_hash: Sha256Digest,
    /// The files and the folder; kept as a blob, so that no command line stands in a leaf.
    pub source: Arc<Source>,
    /// Version of the planner that gives this source its meaning.
    pub planner: u32,
    /// W3C trace context of whoever asked, which the run's own trace continues.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
    /// The place of the process that drives it by itself (`dagbook run`). None: whoever leads
    /// the engine of the site.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub driven_at: Option<Arc<str>>,
    /// The plan, made again from the source when it is read.
    #[serde(skip)]
    pub plan: Option<Arc<Plan>>,
}

impl Submitted {
    /// The span of whoever asked for it, where they gave one: the run is then part of their trace.
    pub fn asked_within(&self) -> Option<TraceContext> {
        self.traceparent.as_deref()?.parse().ok()
    }

    /// The run's own span.
    pub fn span(&self) -> TraceContext {
        TraceContext::of_run_within(self.run, self.asked_within())
    }
}

/// Where a run's steps come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The DAG file and its sub-DAGs.
    pub bundle: SourceBundle,
    /// The folder of the bundle's root on this machine, for `dagbook run`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folder: Option<String>,
    /// The whole folder as it was sent to a server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<SourceArchive>,
    /// The registered pipelines that its steps call, by the reference in the file, as they were
    /// when this was accepted: replay looks nothing up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub pipelines: BTreeMap<String, PinnedPipeline>,
}

/// A registered pipeline that a step calls, pinned to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPipeline {
    /// Which version.
    pub version: PipelineVersion,
    /// Its files.
    pub bundle: SourceBundle,
    /// The whole folder as it was sent to a server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archive: Option<SourceArchive>,
}

/// The run and step that asked for a sub-DAG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentLink {
    /// The run.
    pub run: RunId,
    /// The step (or child).
    pub step: StepKey,
    /// How many runs stand above this one.
    pub depth: u32,
}

/// A result taken over from another run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReusedResult {
    /// From which run.
    pub from_run: RunId,
    /// Its outputs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub outputs: BTreeMap<String, Value>,
    /// Its artifacts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub artifacts: BTreeMap<String, ArtifactRef>,
    /// Items of a `for_each` step, whose children are reused one by one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<Arc<[Value]>>,
}

/// `run.admitted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The concurrency group.
    pub group: String,
}

/// `run.paused`, `run.resumed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPerson {
    /// Why, if they said so.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
}

/// `run.cancel_requested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// What kind of principal asked.
    pub cause: StopCause,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Kill at once.
    pub force: bool,
}

/// `run.signaled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signaled {
    /// The event's name.
    pub name: String,
}

/// `timer.fired`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// Which.
    pub timer: TimerKind,
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// The whole run takes too long.
    Run,
    /// Units of the step have waited too long for a place.
    Queue(StepKey),
    /// All attempts of the step together take too long.
    Total(StepKey),
    /// The wait between two attempts is over.
    Backoff(StepKey),
    /// Nobody answered.
    Approval(StepKey),
    /// A `wait` is over.
    Sleep(StepKey),
    /// An attempt should have ended by itself long ago: kill it.
    Overdue(AttemptId),
    /// Even that brought no answer: it is lost.
    Fence(AttemptId),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every step succeeded or was skipped.
    Succeeded,
    /// At least one step failed.
    Failed,
    /// It was cancelled.
    Canceled,
    /// Its concurrency group was full and takes no queue.
    Rejected,
}

impl RunStatus {
    /// The word that people and expressions see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}

/// `run.finished`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How.
    pub status: RunStatus,
    /// Why, in a sentence, unless it succeeded.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

/// `step.expanded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExpanded {
    /// The step.
    pub step: StepKey,
    /// How many children.
    pub count: u32,
    /// The list, for `for_each`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<Arc<[Value]>>,
}

/// `step.skipped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSkipped {
    /// The step.
    pub step: StepKey,
    /// Why: the expression that was false, or the need that decided it.
    pub reason: String,
}

/// `step.failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    /// The step or child.
    pub step: StepKey,
    /// Why.
    pub reason: String,
}

/// `cache.asked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheAsked {
    /// The step or child.
    pub step: StepKey,
    /// Hash of pipeline, step and evaluated key.
    pub key: Sha256Digest,
}

/// `cache.missed`: nothing to take over, an attempt is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMissed {
    /// The step or child.
    pub step: StepKey,
}

/// `step.reused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReused {
    /// The step or child.
    pub step: StepKey,
    /// The result and the run it is from.
    pub result: ReusedResult,
}

/// `approval.requested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequested {
    /// The step.
    pub step: StepKey,
    /// Who may answer.
    pub role: String,
    /// The question.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
}

/// `approval.given`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalGiven {
    /// The step.
    pub step: StepKey,
    /// Yes or no.
    pub approved: bool,
    /// What they said.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
}

/// `wait.started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitStarted {
    /// The step.
    pub step: StepKey,
    /// Until when; none when it waits for a named event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
}

/// `child.requested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRequested {
    /// The step.
    pub step: StepKey,
    /// The child's run id.
    pub run: RunId,
    /// Parameters handed over.
    pub params: BTreeMap<String, Value>,
}

/// `child.finished`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildFinished {
    /// The step.
    pub step: StepKey,
    /// The child's run id.
    pub run: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// Outputs of its steps, by step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub outputs: BTreeMap<String, Value>,
    /// Why, unless it succeeded.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

/// `attempt.planned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptPlanned {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fencing number.
    pub epoch: Epoch,
    /// The executor's name.
    pub executor: String,
    /// Hash of the attempt's spec.
    pub spec_hash: Sha256Digest,
    /// The only place where it may be started, for an executor that is bound to one: what is
    /// started on a machine can be found again there and nowhere else. None: everywhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Arc<str>>,
    /// The executor's price class, where that is not its name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<String>,
    /// What was put aside for it, where its tenant has a budget.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Hold>,
}

/// `attempt.pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptPending {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Why it waits.
    pub reason: PendingReason,
}

/// `attempt.started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// The machine.
    pub node: String,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// What finds it again after a restart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handle: Option<String>,
    /// When, by the executor's clock.
    pub started_at: Timestamp,
}

/// `attempt.stopping`, `attempt.suspected`, `attempt.recovered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMark {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
}

/// `attempt.exited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExited {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fencing number.
    pub epoch: Epoch,
    /// When, by the executor's clock.
    pub exited_at: Timestamp,
    /// All that the executor said.
    #[serde(flatten)]
    pub exit: AttemptExit,
    /// When, by the orchestrator's clock; missing in what earlier versions recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heard: Option<Heard>,
    /// What follows for the step.
    pub verdict: Verdict,
}

/// What an attempt's end means for its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The step succeeded.
    Succeeded,
    /// The step failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The step was cancelled.
    Canceled,
    /// Another attempt follows.
    Retry {
        /// When.
        at: Timestamp,
        /// Whether it counts against the platform rather than the author.
        infra: bool,
        /// Why.
        reason: String,
    },
}

/// `report.stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportStale {
    /// The step or child.
    pub step: StepKey,
    /// The attempt that it speaks of.
    pub attempt: AttemptId,
    /// Its fencing number.
    pub epoch: Epoch,
    /// What it said.
    pub said: String,
    /// What it used in truth, where it was given up as lost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<Usage>,
    /// When, by the orchestrator's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heard: Option<Heard>,
}
