//! Units and steps coming to their end, and what that pushes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::due;
use crate::dag::{MinSuccess, Section, StepIndex};
use crate::ids::StepKey;
use crate::run::event::ReusedResult;
use crate::run::state::{
    FanOutState, Phase, RunState, StepBody, Unit, UnitRef, UnitResult, UnitStatus,
};
use crate::time::Timestamp;
use crate::value::Value;

/// A unit is done, found by its key.
pub(super) fn unit_by_key(
    state: &mut RunState,
    key: &StepKey,
    status: UnitStatus,
    reason: &str,
    at: Timestamp,
) {
    if let Some(unit) = state.find(key) {
        let result = UnitResult { reason: reason.to_string(), ..UnitResult::default() };
        unit_done(state, unit, status, Some(result), at);
    }
}

/// A unit takes over an earlier result. A fanned-out step's own entry only brings its items.
pub(super) fn reused(state: &mut RunState, key: &StepKey, result: &ReusedResult, at: Timestamp) {
    if let Some(unit) = state.find(key) {
        let result = UnitResult {
            outputs: Arc::new(result.outputs.clone()),
            artifacts: result.artifacts.clone(),
            reason: String::new(),
            reused_from: Some(result.from_run),
        };
        unit_done(state, unit, UnitStatus::Succeeded, Some(result), at);
    }
}

/// A unit is done: its group may be, its step may be, and then its dependents are nearer.
pub(super) fn unit_done(
    state: &mut RunState,
    at: UnitRef,
    status: UnitStatus,
    result: Option<UnitResult>,
    now: Timestamp,
) {
    if state.unit(at).status.is_done() {
        return;
    }
    let was_busy = matches!(state.unit(at).status, UnitStatus::Active(..) | UnitStatus::Held(_));
    let unit = state.unit_mut(at);
    unit.status = status;
    unit.span.1 = now;
    if let Some(result) = result {
        unit.result = Some(Box::new(result));
    }
    let planned = state.plan.clone();
    let planned = planned.step(at.step);
    let StepBody::FanOut(fan) = &mut state.steps[at.step.0 as usize].body else {
        due::refresh(state, at.step);
        return step_done(state, at.step, now);
    };
    if was_busy {
        fan.busy -= 1;
    } else if let Some(child) = at.child {
        fan.again.remove(&child);
        fan.next = fan.next.max(child + 1);
    }
    fan.count(status);
    let fatal = status == UnitStatus::Failed && planned.fail_fast && !fan.stopping;
    if fatal && fan.out_of_reach(planned.min_success) {
        fan.stop(now);
        fan.stopped_by = at.child;
    }
    conclude(state, at.step, planned.min_success, now);
}

/// If every child is done, so is the step.
pub(super) fn conclude(
    state: &mut RunState,
    step: StepIndex,
    min_success: Option<MinSuccess>,
    now: Timestamp,
) {
    let StepBody::FanOut(fan) = &mut state.steps[step.0 as usize].body else { return };
    if fan.result.is_none() && fan.done as usize == fan.children.len() {
        fan.result = Some(fan.verdict(min_success));
        fan.gathered = Some(gather(&fan.children));
        due::refresh(state, step);
        return step_done(state, step, now);
    }
    due::refresh(state, step);
}

fn step_done(state: &mut RunState, step: StepIndex, now: Timestamp) {
    let plan = state.plan.clone();
    let planned = plan.step(step);
    for dependent in &planned.dependents {
        nearer(state, *dependent, now);
    }
    match planned.section {
        Section::Finally => state.open_finally -= 1,
        Section::Main => {
            state.open_main -= 1;
            if state.open_main == 0 {
                finalize(state, now);
            }
        }
    }
}

/// The main part is over.
pub(super) fn finalize(state: &mut RunState, now: Timestamp) {
    if state.open_finally == 0 {
        return;
    }
    state.main_result = Some(state.main_status());
    state.phase = Phase::Finalizing;
    let plan = state.plan.clone();
    for (planned, index) in plan.steps.iter().zip(0u32..) {
        if planned.section == Section::Finally {
            nearer(state, StepIndex(index), now);
        }
    }
}

fn nearer(state: &mut RunState, step: StepIndex, now: Timestamp) {
    let entry = &mut state.steps[step.0 as usize];
    entry.waiting_on = entry.waiting_on.saturating_sub(1);
    if entry.waiting_on == 0 {
        due::ready(state, step, now);
    }
}

impl FanOutState {
    fn count(&mut self, status: UnitStatus) {
        self.done += 1;
        match status {
            UnitStatus::Succeeded => self.succeeded += 1,
            UnitStatus::Failed => self.failed += 1,
            _ => {}
        }
    }

    fn needed(&self, min_success: Option<MinSuccess>) -> usize {
        let all = self.children.len();
        match min_success {
            None => all,
            Some(MinSuccess::Count(n)) => all.min(n as usize),
            Some(MinSuccess::Percent(p)) => (all * p as usize).div_ceil(100),
        }
    }

    fn out_of_reach(&self, min_success: Option<MinSuccess>) -> bool {
        let lost = self.done - self.succeeded;
        self.children.len() - (lost as usize) < self.needed(min_success)
    }

    fn verdict(&self, min_success: Option<MinSuccess>) -> UnitStatus {
        if self.succeeded as usize >= self.needed(min_success) {
            UnitStatus::Succeeded
        } else if self.failed > 0 {
            UnitStatus::Failed
        } else {
            UnitStatus::Canceled
        }
    }

    /// No more children start; those with nothing outside that has to stop are cancelled.
    pub(super) fn stop(&mut self, now: Timestamp) {
        self.stopping = true;
        self.again.clear();
        self.next = u32::try_from(self.children.len()).expect("fan-outs are bounded");
        let mut stopped = 0;
        for child in &mut self.children {
            if child.status.is_idle() {
                self.busy -= u32::from(matches!(child.status, UnitStatus::Held(_)));
                child.status = UnitStatus::Canceled;
                child.span.1 = now;
                stopped += 1;
            }
        }
        self.done += stopped;
    }
}

/// Outputs and artifacts of the children, by name, each a list in the children's order.
fn gather(children: &[Unit]) -> (Value, Value) {
    let mut outputs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut artifacts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for result in children.iter().filter_map(|child| child.result.as_ref()) {
        for (name, value) in result.outputs.iter() {
            outputs.entry(name.clone()).or_default().push(value.clone());
        }
        for (name, artifact) in &result.artifacts {
            artifacts.entry(name.clone()).or_default().push(artifact.to_value());
        }
    }
    let lists = |lists: BTreeMap<String, Vec<Value>>| {
        Value::object(lists.into_iter().map(|(name, list)| (name, Value::list(list))).collect())
    };
    (lists(outputs), lists(artifacts))
}
