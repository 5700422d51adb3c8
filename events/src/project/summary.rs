//! A run in a few lines.

use std::collections::BTreeMap;

use super::attempts::RunView;
use super::critical::{CriticalStep, critical_path};
use crate::ids::RunId;
use crate::run::{Phase, RunState};
use crate::time::{Millis, Timestamp};
use crate::value::Value;

/// A run in a few lines.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// Its number for people.
    pub number: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// The word for how far it is, see [`run_status`].
    pub status: &'static str,
    /// Why it ended as it did; empty when it succeeded or goes on.
    pub reason: String,
    /// What asked for it.
    pub trigger: String,
    /// Parameters, defaults applied.
    pub params: BTreeMap<String, Value>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From acceptance to the end; to the last event while it goes on.
    pub duration: Millis,
    /// The run that it repeats.
    pub retry_of: Option<RunId>,
    /// The run that asked for it.
    pub parent: Option<RunId>,
    /// Units (steps, and children of fan-outs) by status.
    pub counts: BTreeMap<&'static str, u32>,
    /// Attempts in all.
    pub attempts: u32,
    /// The chain of steps that the length comes from.
    pub critical_path: Vec<CriticalStep>,
}

/// The word for how far a run is: `queued`, `running`, `paused`, `canceling`, `finalizing`, or
/// how it ended.
pub fn run_status(state: &RunState) -> &'static str {
    match state.phase {
        Phase::Unborn => "unknown",
        Phase::Finished(status) => status.as_str(),
        _ if state.cancel.is_some() => "canceling",
        _ if state.paused => "paused",
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Finalizing => "finalizing",
    }
}

/// Sums a run up.
///
/// # Panics
/// Before the run's first event.
pub fn run_summary(view: &RunView) -> RunSummary {
    let state = &view.state;
    let facts = state.facts();
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    for (_, unit) in state.units() {
        *counts.entry(unit.status.as_str()).or_default() += 1;
    }
    let attempts = view.attempts.values().map(Vec::len).sum::<usize>();
    RunSummary {
        run: facts.run,
        number: facts.number,
        pipeline: facts.pipeline.clone(),
        status: run_status(state),
        reason: view.reason.clone(),
        trigger: facts.trigger.clone(),
        params: state.plan.params.clone(),
        submitted_at: state.submitted_at,
        finished_at: view.finished_at,
        duration: view.finished_at.unwrap_or(state.updated_at).since(state.submitted_at),
        retry_of: facts.retry_of,
        parent: facts.parent.as_ref().map(|link| link.run),
        counts,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        critical_path: critical_path(state),
    }
}
