//! The critical path of a plan: the longest chain of steps, by declared bounds where every step
//! on it has one of its own, else by their number.

use dagbook_events::dag::{Plan, Section, StepIndex};
use dagbook_events::time::Millis;

/// The default bound of an attempt: a step that has it says nothing about its length.
const UNBOUNDED: Millis = Millis(24 * 3_600_000);

/// The longest chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Critical {
    /// First to last.
    pub steps: Vec<StepIndex>,
    /// The sum of the steps' bounds, when each has one.
    pub bound: Option<Millis>,
}

/// The longest chain through the main part.
pub fn critical(plan: &Plan) -> Critical {
    let bounded = plan.steps.iter().all(|step| step.timeouts.attempt < UNBOUNDED);
    let weight = |step: StepIndex| match bounded {
        true => plan.step(step).timeouts.attempt.0,
        false => 1,
    };
    // Steps stand in topological order: each is reached after its needs.
    let mut best: Vec<(u64, Option<StepIndex>)> = Vec::with_capacity(plan.steps.len());
    for (planned, index) in plan.steps.iter().zip(0u32..) {
        let longest = planned.needs.iter().map(|need| (best[need.0 as usize].0, *need));
        let longest = longest.max_by_key(|(length, need)| (*length, std::cmp::Reverse(*need)));
        let before = longest.map_or(0, |(length, _)| length);
        best.push((before + weight(StepIndex(index)), longest.map(|(_, need)| need)));
    }
    let main = (0u32..).zip(&plan.steps).filter(|(_, step)| step.section == Section::Main);
    let last = main.max_by_key(|(index, _)| (best[*index as usize].0, std::cmp::Reverse(*index)));
    let mut at = last.map(|(index, _)| StepIndex(index));
    let total = at.map_or(0, |step| best[step.0 as usize].0);
    let mut steps = Vec::new();
    while let Some(step) = at {
        steps.push(step);
        at = best[step.0 as usize].1;
    }
    steps.reverse();
    Critical { steps, bound: bounded.then_some(Millis(total)) }
}
