//! A step begins only when all it needs has ended and `when` holds; a step without an `if` is
//! skipped only when `when` does not hold.

use super::{Violation, violation};
use crate::dag::{Section, StepIndex, When};
use crate::ids::StepKey;
use crate::run::{RunEvent, RunFact, RunState, UnitStatus, evolve};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut state = RunState::unborn();
    let mut found = Vec::new();
    for (version, fact) in facts.iter().enumerate() {
        let (step, begins) = match &fact.event {
            RunEvent::AttemptPlanned(e) => (Some(&e.step), true),
            RunEvent::StepExpanded(e) => (Some(&e.step), true),
            RunEvent::CacheAsked(e) => (Some(&e.step), true),
            RunEvent::ApprovalRequested(e) => (Some(&e.step), true),
            RunEvent::WaitStarted(e) => (Some(&e.step), true),
            RunEvent::ChildRequested(e) => (Some(&e.step), true),
            RunEvent::StepSkipped(e) => (Some(&e.step), false),
            _ => (None, true),
        };
        if let Some(message) = step.and_then(|step| judge(&state, step, begins)) {
            found.push(violation("when_rules", version, message));
        }
        state = evolve(state, fact);
    }
    found
}

fn judge(state: &RunState, key: &StepKey, begins: bool) -> Option<String> {
    let Some(step) = state.find_step(key.split().0) else {
        return Some(format!("there is no step `{key}`"));
    };
    let planned = state.planned(step);
    let open = planned.needs.iter().find(|need| !state.step_status(**need).is_done());
    if let Some(need) = open {
        let need = &state.planned(*need).name;
        return Some(format!("`{key}` went on before `{need}`, which it needs, had ended"));
    }
    if planned.section == Section::Finally && state.open_main > 0 {
        return Some(format!("`{key}` went on before the main part had ended"));
    }
    let holds = holds(state, step);
    match (begins, holds) {
        (true, false) => Some(format!("`{key}` began although its `when` does not hold")),
        (false, true) if planned.condition.is_none() => {
            Some(format!("`{key}` was skipped although its `when` holds"))
        }
        _ => None,
    }
}

fn holds(state: &RunState, step: StepIndex) -> bool {
    let planned = state.planned(step);
    let came_to = |status| planned.needs.iter().any(|need| state.step_status(*need) == status);
    let all = planned.needs.iter().all(|need| state.step_status(*need) == UnitStatus::Succeeded);
    planned.needs.is_empty()
        || match planned.when {
            When::AllDone => true,
            When::AllSucceeded => all,
            When::AnyFailed => came_to(UnitStatus::Failed),
            When::AnySucceeded => came_to(UnitStatus::Succeeded),
        }
}
