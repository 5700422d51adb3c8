//! When a run has ended, every step of it has; a run turned away by its group has begun none.

use super::{Violation, violation};
use crate::dag::StepIndex;
use crate::run::{RunFact, RunStatus, UnitStatus, fold};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let state = fold(facts);
    let Some(status) = state.status() else { return Vec::new() };
    let last = facts.len().saturating_sub(1);
    let wrong = |step: UnitStatus| match status {
        RunStatus::Rejected => step != UnitStatus::Waiting,
        _ => !step.is_done(),
    };
    (0u32..)
        .zip(&state.plan.steps)
        .map(|(index, planned)| (planned, state.step_status(StepIndex(index))))
        .filter(|(_, step)| wrong(*step))
        .map(|(planned, step)| {
            let message = format!(
                "the run ended {} and step `{}` is {}",
                status.as_str(),
                planned.name,
                step.as_str()
            );
            violation("steps_done", last, message)
        })
        .collect()
}
