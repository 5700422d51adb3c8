//! Run events as recorded data, and back.
//!
//! The types of `run::event` are the current version of the data. What is large (a source, long
//! outputs, a list of items) goes to a blob beside the leaf; `d` keeps the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::spill::{SPILL_THRESHOLD, spill, unspill};
use super::upcast::Upcasters;
use crate::canonical;
use crate::dag::{self, Plan, PlanFacts};
use crate::digest::Sha256Digest;
use crate::run::event::{RunEvent, Submitted};

/// The planner that this build holds. A change of what a source means needs a new number, and
/// the old planner kept for the runs that were made with it.
pub const PLANNER: u32 = 1;

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
    planner: &mut Planner,
) -> Result<RunEvent, CodecError> {
    let data = lift(kind, data, blob)?;
    Ok(match kind {
        "run.submitted" => {
            let mut submitted: Submitted = read(kind, data)?;
            submitted.plan = Some(planner.plan(&submitted)?);
            RunEvent::Submitted(Box::new(submitted))
        }
        "run.admitted" => RunEvent::Admitted(read(kind, data)?),
        "run.paused" => RunEvent::Paused(read(kind, data)?),
        "run.resumed" => RunEvent::Resumed(read(kind, data)?),
        "run.cancel_requested" => RunEvent::CancelRequested(read(kind, data)?),
        "run.signaled" => RunEvent::Signaled(read(kind, data)?),
        "timer.fired" => RunEvent::TimerFired(read(kind, data)?),
        "run.finished" => RunEvent::Finished(read(kind, data)?),
        "step.expanded" => RunEvent::StepExpanded(read(kind, data)?),
        "step.skipped" => RunEvent::StepSkipped(read(kind, data)?),
        "step.failed" => RunEvent::StepFailed(read(kind, data)?),
        "cache.asked" => RunEvent::CacheAsked(read(kind, data)?),
        "cache.missed" => RunEvent::CacheMissed(read(kind, data)?),
        "step.reused" => RunEvent::StepReused(read(kind, data)?),
        "approval.requested" => RunEvent::ApprovalRequested(read(kind, data)?),
        "approval.given" => RunEvent::ApprovalGiven(read(kind, data)?),
        "wait.started" => RunEvent::WaitStarted(read(kind, data)?),
        "child.requested" => RunEvent::ChildRequested(read(kind, data)?),
        "child.finished" => RunEvent::ChildFinished(read(kind, data)?),
        "attempt.planned" => RunEvent::AttemptPlanned(read(kind, data)?),
        "attempt.pending" => RunEvent::AttemptPending(read(kind, data)?),
        "attempt.started" => RunEvent::AttemptStarted(read(kind, data)?),
        "attempt.stopping" => RunEvent::AttemptStopping(read(kind, data)?),
        "attempt.suspected" => RunEvent::AttemptSuspected(read(kind, data)?),
        "attempt.recovered" => RunEvent::AttemptRecovered(read(kind, data)?),
        "attempt.exited" => RunEvent::AttemptExited(Box::new(read(kind, data)?)),
        "usage.checkpoint" => RunEvent::UsageCheckpoint(Box::new(read(kind, data)?)),
        "report.stale" => RunEvent::ReportStale(Box::new(read(kind, data)?)),
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

fn read<T: DeserializeOwned>(kind: &str, data: Json) -> Result<T, CodecError> {
    serde_json::from_value(data)
        .map_err(|e| CodecError::Decode { kind: kind.to_string(), reason: e.to_string() })
}

/// Makes plans from sources, and remembers the latest: many runs share one source.
#[derive(Debug, Default)]
pub struct Planner {
    known: BTreeMap<Sha256Digest, Arc<Plan>>,
}

impl Planner {
    /// At most so many plans are remembered.
    const REMEMBERED: usize = 64;

    /// The plan of an accepted run.
    pub fn plan(&mut self, submitted: &Submitted) -> Result<Arc<Plan>, CodecError> {
        if submitted.planner != PLANNER {
            return Err(CodecError::Plan(format!(
                "it needs planner {}, and this version of dagbook has planner {PLANNER}",
                submitted.planner
            )));
        }
        let key = plan_key(submitted);
        if let Some(plan) = self.known.get(&key) {
            return Ok(plan.clone());
        }
        let facts = PlanFacts { git: submitted.git.clone(), tenant: submitted.tenant.to_string() };
        let plan =
            dag::plan(&submitted.source.bundle, &submitted.params, &facts).map_err(|findings| {
                let first = findings.first().map(|f| f.message.clone());
                CodecError::Plan(first.unwrap_or_default())
            })?;
        if self.known.len() >= Self::REMEMBERED {
            self.known.pop_first();
        }
        let plan = Arc::new(plan);
        self.known.insert(key, plan.clone());
        Ok(plan)
    }
}

/// Everything that a plan is a function of.
fn plan_key(submitted: &Submitted) -> Sha256Digest {
    let params = serde_json::to_vec(&submitted.params).unwrap_or_default();
    let git = serde_json::to_vec(&submitted.git).unwrap_or_default();
    let bundle = &submitted.source.bundle;
    let mut text = Vec::new();
    for (path, file) in &bundle.files {
        for part in [path.as_bytes(), file.as_bytes()] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
    }
    Sha256Digest::of_parts(&[
        bundle.entry.as_bytes(),
        b"\0",
        submitted.tenant.as_str().as_bytes(),
        b"\0",
        &params,
        b"\0",
        &git,
        b"\0",
        &text,
    ])
}
