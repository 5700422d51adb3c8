//! What expressions can see of a run.

use std::collections::BTreeMap;

use super::state::{Phase, RunState, StepBody, UnitRef};
use crate::dag::{FanOut, RunFacts, Scope, StepLookup, StepView};
use crate::ids::StepName;
use crate::value::Value;

/// The facts of `run` in expressions.
pub(super) fn run_facts(state: &RunState) -> RunFacts {
    let facts = state.facts();
    RunFacts {
        id: facts.run.to_string(),
        number: facts.number,
        tenant: facts.tenant.to_string(),
        trigger: facts.trigger.clone(),
        scheduled_at: facts.scheduled_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
        status: (state.phase == Phase::Finalizing)
            .then(|| state.main_status().as_str().to_string()),
    }
}

/// Calls with the scope of a unit, or of its step when it has no child.
pub(super) fn with_scope<T>(
    state: &RunState,
    at: UnitRef,
    run: &RunFacts,
    evaluate: impl FnOnce(&Scope<'_>) -> T,
) -> T {
    let fan_out = &state.planned(at.step).fan_out;
    let matrix = match (fan_out, at.child) {
        (FanOut::Matrix(cells), Some(child)) => cells.get(child as usize).map(|(_, cell)| cell),
        _ => None,
    };
    let item = match (&state.step(at.step).body, at.child) {
        (StepBody::FanOut(fan), Some(child)) => {
            let items = fan.items.as_deref().unwrap_or_default();
            items.get(child as usize).map(|item| (item, child))
        }
        _ => None,
    };
    evaluate(&Scope {
        params: &state.plan.params,
        run,
        git: state.facts().git.as_ref(),
        steps: state,
        matrix,
        item,
    })
}

impl StepLookup for RunState {
    fn view(&self, step: &StepName) -> Option<StepView> {
        let at = *self.plan.index.get(step)?;
        let status = self.step_status(at);
        if !status.is_done() {
            return None;
        }
        let (outputs, artifacts) = match &self.step(at).body {
            StepBody::FanOut(fan) => fan.gathered.clone()?,
            StepBody::Single(unit) => match &unit.result {
                None => (empty(), empty()),
                Some(result) => {
                    let artifacts = result.artifacts.iter();
                    let artifacts = artifacts.map(|(k, a)| (k.clone(), a.to_value())).collect();
                    (Value::Object(result.outputs.clone()), Value::object(artifacts))
                }
            },
        };
        Some(StepView { outputs, artifacts, status: status.as_str() })
    }
}

fn empty() -> Value {
    Value::object(BTreeMap::new())
}
