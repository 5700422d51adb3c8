//! The steps of a run, a row each; children of a fan-out follow their step.

use super::attempts::RunView;
use crate::dag::{Action, Section, StepIndex};
use crate::ids::{RunId, StepKey};
use crate::run::{FanOutState, HoldKind, RunState, StepBody, Unit, UnitRef, UnitStatus};
use crate::time::{Millis, Timestamp};

/// One step or child.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its key.
    pub step: StepKey,
    /// `task`, `approval`, `wait` or `dag`.
    pub kind: &'static str,
    /// Main part or `finally`.
    pub section: Section,
    /// What it is now.
    pub status: &'static str,
    /// Attempts so far; for a fan-out those of all children.
    pub attempts: u32,
    /// When it first started.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, was skipped, or is tried again; empty when there is nothing to say.
    pub reason: String,
    /// The run whose result was taken over.
    pub reused_from: Option<RunId>,
    /// The sub-DAG's run.
    pub child_run: Option<RunId>,
    /// Whether it is the child of a fan-out.
    pub is_child: bool,
    /// Children, if it fans out.
    pub children: Option<Children>,
}

/// Children of a fan-out, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Children {
    /// All.
    pub total: u32,
    /// At their end.
    pub done: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
}

impl StepRow {
    /// From the first start to the end.
    pub fn duration(&self) -> Option<Millis> {
        Some(self.finished_at?.since(self.started_at?))
    }
}

/// All steps in plan order, children after their step.
pub fn step_rows(view: &RunView) -> Vec<StepRow> {
    let mut rows = Vec::new();
    for step in (0u32..).take(view.state.steps.len()).map(StepIndex) {
        match &view.state.step(step).body {
            StepBody::Single(unit) => {
                rows.push(unit_row(&view.state, UnitRef { step, child: None }, unit));
            }
            StepBody::FanOut(fan) => {
                rows.push(fan_row(&view.state, step, fan));
                for (child, unit) in (0u32..).zip(&fan.children) {
                    let at = UnitRef { step, child: Some(child) };
                    rows.push(unit_row(&view.state, at, unit));
                }
            }
        }
    }
    rows
}

fn unit_row(state: &RunState, at: UnitRef, unit: &Unit) -> StepRow {
    let planned = state.planned(at.step);
    let set = |instant: Timestamp| (instant != Timestamp(0)).then_some(instant);
    let result = unit.result.as_deref();
    StepRow {
        step: state.key(at),
        kind: kind(&planned.action),
        section: planned.section,
        status: unit.status.as_str(),
        attempts: unit.epoch.0,
        started_at: set(unit.span.0),
        finished_at: set(unit.span.1).filter(|_| unit.status.is_done()),
        reason: result.map(|r| r.reason.clone()).unwrap_or_default(),
        reused_from: result.and_then(|r| r.reused_from),
        child_run: match unit.status {
            UnitStatus::Held(HoldKind::Child(run)) => Some(run),
            _ => None,
        },
        is_child: at.child.is_some(),
        children: None,
    }
}

fn fan_row(state: &RunState, step: StepIndex, fan: &FanOutState) -> StepRow {
    let planned = state.planned(step);
    let spans = || fan.children.iter().map(|c| c.span).filter(|s| s.0 != Timestamp(0));
    let ended = fan.result.is_some();
    let total = u32::try_from(fan.children.len()).unwrap_or(u32::MAX);
    let reason = match fan.result {
        Some(UnitStatus::Failed) => format!("{} of {total} failed", fan.failed),
        _ => String::new(),
    };
    StepRow {
        step: StepKey::step(&planned.name),
        kind: kind(&planned.action),
        section: planned.section,
        status: fan_status(fan),
        attempts: fan.children.iter().map(|c| c.epoch.0).sum(),
        started_at: spans().map(|s| s.0).min(),
        finished_at: ended.then(|| spans().map(|s| s.1).max()).flatten(),
        reason,
        reused_from: None,
        child_run: None,
        is_child: false,
        children: Some(Children {
            total,
            done: fan.done,
            succeeded: fan.succeeded,
            failed: fan.failed,
        }),
    }
}

/// A fan-out runs as soon as one of its children does anything.
fn fan_status(fan: &FanOutState) -> &'static str {
    match fan.result {
        Some(result) => result.as_str(),
        None if fan.busy > 0 || fan.done > 0 => "running",
        None => "ready",
    }
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Task(_) => "task",
        Action::Approval(_) => "approval",
        Action::Wait(_) => "wait",
        Action::SubDag(_) => "dag",
    }
}
