//! No more attempts at one time than `max_parallel` of the run and of each step allows.

use std::collections::BTreeMap;

use super::{Violation, violation};
use crate::ids::StepKey;
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let plan = facts.iter().find_map(|fact| match &fact.event {
        RunEvent::Submitted(e) => e.plan.clone(),
        _ => None,
    });
    let Some(plan) = plan else { return Vec::new() };
    let most = |key: &StepKey| {
        let name = crate::ids::StepName::new(key.split().0).ok()?;
        plan.step(*plan.index.get(&name)?).max_parallel
    };
    let mut found = Vec::new();
    let mut total = 0u32;
    let mut by_step: BTreeMap<String, u32> = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                total += 1;
                let of_step = by_step.entry(e.step.split().0.to_string()).or_default();
                *of_step += 1;
                if plan.max_parallel.is_some_and(|max| total > max) {
                    let message = format!("{total} attempts at one time in the run");
                    found.push(violation("limits", version, message));
                }
                if most(&e.step).is_some_and(|max| *of_step > max) {
                    let message = format!("{of_step} attempts at one time for `{}`", e.step);
                    found.push(violation("limits", version, message));
                }
            }
            RunEvent::AttemptExited(e) => {
                total = total.saturating_sub(1);
                let of_step = by_step.entry(e.step.split().0.to_string()).or_default();
                *of_step = of_step.saturating_sub(1);
            }
            _ => {}
        }
    }
    found
}
