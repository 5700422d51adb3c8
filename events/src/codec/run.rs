//! Run events as recorded data, and back.
//!
//! The types of `run::event` are the current version of the data. What is large (a source, long
//! outputs, a list of items) goes to a blob beside the leaf; `d` keeps the rest.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::planner::Planner;
use super::spill::{SPILL_THRESHOLD, spill, unspill};
use super::upcast::{FIRST_VERSION, Upcasters};
use crate::canonical;
use crate::run::event::{RunEvent, Submitted};

/// How the version of data is spelled ([`super::upcast::VERSION_MEMBER`]).
const VERSION_SPELLED: &str = "\"dv\"";

/// An event as it goes into an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// `ty`.
    pub kind: &'static str,
    /// `d`, canonical.
    pub data: Vec<u8>,
    /// What the blob of `b` must hold, canonical.
    pub blob: Option<Vec<u8>>,
}

/// Why an event could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It holds something that leaves do not allow.
    #[error("`{kind}` cannot be recorded: {reason}")]
    Encode {
        /// The event's type.
        kind: &'static str,
        /// What.
        reason: String,
    },
    /// A type that this build does not know.
    #[error("`{0}` is not an event of a run that this version of dagbook knows")]
    UnknownKind(String),
    /// The data does not have the shape of its type.
    #[error("`{kind}` has data of another shape: {reason}")]
    Decode {
        /// The event's type.
        kind: String,
        /// What.
        reason: String,
    },
    /// The source no longer gives a plan.
    #[error("the source of the run gives no plan: {0}")]
    Plan(String),
}

/// Writes an event.
pub fn encode(event: &RunEvent) -> Result<Encoded, CodecError> {
    let kind = event.kind();
    macro_rules! payloads {
        ($($variant:ident: [$($spill:literal),*]),* $(,)?) => {
            match event {
                RunEvent::Submitted(e) => write(kind, &**e, &["source"], 0),
                RunEvent::UsageCheckpoint(e) => write(kind, &**e, &[], SPILL_THRESHOLD),
                RunEvent::ReportStale(e) => write(kind, &**e, &[], SPILL_THRESHOLD),
                RunEvent::AttemptExited(e) => {
                    write(kind, &**e, &["outputs", "artifacts"], SPILL_THRESHOLD)
                }
                $(RunEvent::$variant(e) => write(kind, e, &[$($spill),*], SPILL_THRESHOLD),)*
            }
        };
    }
    payloads! {
        Admitted: [], Paused: [], Resumed: [], CancelRequested: [], Signaled: [], TimerFired: [],
        Finished: [], StepExpanded: ["items"], StepSkipped: [], StepFailed: [], CacheAsked: [],
        CacheMissed: [], StepReused: ["result"], ApprovalRequested: [], ApprovalGiven: [],
        WaitStarted: [], ChildRequested: ["params"], ChildFinished: ["outputs"],
        AttemptPlanned: [], AttemptPending: [], AttemptStarted: [], AttemptStopping: [],
        AttemptSuspected: [], AttemptRecovered: [],
    }
}

fn write(
    kind: &'static str,
    payload: &impl Serialize,
    spillable: &[&str],
    threshold: usize,
) -> Result<Encoded, CodecError> {
    let failed = |reason: String| CodecError::Encode { kind, reason };
    let data = canonical::to_vec(payload).map_err(|e| failed(e.to_string()))?;
    if data.len() <= threshold || spillable.is_empty() {
        return Ok(Encoded { kind, data, blob: None });
    }
    let members: Map<String, Json> =
        serde_json::from_slice(&data).map_err(|e| failed(e.to_string()))?;
    let (kept, blob) = spill(members, spillable, threshold).map_err(|e| failed(e.to_string()))?;
    Ok(Encoded { kind, data: canonical::to_vec(&kept).map_err(|e| failed(e.to_string()))?, blob })
}

/// Shapes that are no longer written, and how they are lifted. None was ever released.
fn upcasters() -> Upcasters {
    Upcasters::new()
}

/// Reads an event. `blob` is the content of the envelope's blob, where it has one.
pub fn decode(
    kind: &str,
    data: Json,
    blob: Option<&[u8]>,
    planner: &Planner,
) -> Result<RunEvent, CodecError> {
    event(kind, Data::Lifted(lift(kind, data, blob)?), planner)
}

/// Reads an event from the canonical text of its data.
pub fn decode_text(
    kind: &str,
    data: &str,
    blob: Option<&[u8]>,
    planner: &Planner,
) -> Result<RunEvent, CodecError> {
    // Canonical text has one spelling of the member.
    let is_of_today = blob.is_none()
        && data.starts_with('{')
        && upcasters().current(kind) == FIRST_VERSION
        && !data.contains(VERSION_SPELLED);
    if is_of_today && let Ok(event) = event(kind, Data::Text(data), planner) {
        return Ok(event);
    }
    // What is odd about it is said by the way that all else goes.
    let failed = |reason: String| CodecError::Decode { kind: kind.to_string(), reason };
    let data = serde_json::from_str(data).map_err(|error| failed(error.to_string()))?;
    decode(kind, data, blob, planner)
}

/// Data that is of today's version.
enum Data<'a> {
    Lifted(Json),
    Text(&'a str),
}

impl Data<'_> {
    fn read<T: DeserializeOwned>(self, kind: &str) -> Result<T, CodecError> {
        let read = match self {
            Self::Lifted(data) => serde_json::from_value(data),
            Self::Text(text) => serde_json::from_str(text),
        };
        read.map_err(|e| CodecError::Decode { kind: kind.to_string(), reason: e.to_string() })
    }
}

fn event(kind: &str, data: Data<'_>, planner: &Planner) -> Result<RunEvent, CodecError> {
    Ok(match kind {
        "run.submitted" => {
            let mut submitted: Submitted = data.read(kind)?;
            submitted.plan = Some(planner.plan_of(&submitted)?);
            RunEvent::Submitted(Box::new(submitted))
        }
        "run.admitted" => RunEvent::Admitted(data.read(kind)?),
        "run.paused" => RunEvent::Paused(data.read(kind)?),
        "run.resumed" => RunEvent::Resumed(data.read(kind)?),
        "run.cancel_requested" => RunEvent::CancelRequested(data.read(kind)?),
        "run.signaled" => RunEvent::Signaled(data.read(kind)?),
        "timer.fired" => RunEvent::TimerFired(data.read(kind)?),
        "run.finished" => RunEvent::Finished(data.read(kind)?),
        "step.expanded" => RunEvent::StepExpanded(data.read(kind)?),
        "step.skipped" => RunEvent::StepSkipped(data.read(kind)?),
        "step.failed" => RunEvent::StepFailed(data.read(kind)?),
        "cache.asked" => RunEvent::CacheAsked(data.read(kind)?),
        "cache.missed" => RunEvent::CacheMissed(data.read(kind)?),
        "step.reused" => RunEvent::StepReused(data.read(kind)?),
        "approval.requested" => RunEvent::ApprovalRequested(data.read(kind)?),
        "approval.given" => RunEvent::ApprovalGiven(data.read(kind)?),
        "wait.started" => RunEvent::WaitStarted(data.read(kind)?),
        "child.requested" => RunEvent::ChildRequested(data.read(kind)?),
        "child.finished" => RunEvent::ChildFinished(data.read(kind)?),
        "attempt.planned" => RunEvent::AttemptPlanned(data.read(kind)?),
        "attempt.pending" => RunEvent::AttemptPending(data.read(kind)?),
        "attempt.started" => RunEvent::AttemptStarted(data.read(kind)?),
        "attempt.stopping" => RunEvent::AttemptStopping(data.read(kind)?),
        "attempt.suspected" => RunEvent::AttemptSuspected(data.read(kind)?),
        "attempt.recovered" => RunEvent::AttemptRecovered(data.read(kind)?),
        "attempt.exited" => RunEvent::AttemptExited(Box::new(data.read(kind)?)),
        "usage.checkpoint" => RunEvent::UsageCheckpoint(Box::new(data.read(kind)?)),
        "report.stale" => RunEvent::ReportStale(Box::new(data.read(kind)?)),
        other => return Err(CodecError::UnknownKind(other.to_string())),
    })
}

fn lift(kind: &str, data: Json, blob: Option<&[u8]>) -> Result<Json, CodecError> {
    let failed = |reason: String| CodecError::Decode { kind: kind.to_string(), reason };
    let Json::Object(mut members) = data else {
        return Err(failed("an object is expected".to_string()));
    };
    if let Some(bytes) = blob {
        members = unspill(members, bytes).map_err(|e| failed(e.to_string()))?;
    }
    upcasters().lift(kind, members).map(Json::Object).map_err(|e| failed(e.to_string()))
}
