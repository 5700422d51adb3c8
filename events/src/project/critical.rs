//! The critical path: the chain of finished steps that the run's length comes from.

use crate::dag::{Section, StepIndex};
use crate::ids::StepKey;
use crate::run::{RunState, StepBody, Unit, UnitRef};
use crate::time::{Millis, Timestamp};

/// One step of the critical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalStep {
    /// The step, or the child of it that ended last.
    pub step: StepKey,
    /// From the end of the one before (or the run's start) to its own start.
    pub waited: Millis,
    /// From its start to its end, all attempts and the waits between them included.
    pub ran: Millis,
}

/// The chain of steps, first to last, each of which was the last of the next one's needs to
/// end. Empty as long as nothing has ended.
pub fn critical_path(state: &RunState) -> Vec<CriticalStep> {
    let mut chain = Vec::new();
    let mut at = last_of(state, all(state));
    while let Some((step, unit)) = at {
        chain.push((step, unit));
        at = last_of(state, before(state, step));
    }
    chain.reverse();
    let mut ended = state.submitted_at;
    let path = chain.into_iter().map(|(_, unit)| {
        let span = state.unit(unit).span;
        let item = CriticalStep {
            step: state.key(unit),
            waited: span.0.since(ended),
            ran: span.1.since(span.0),
        };
        ended = span.1;
        item
    });
    path.collect()
}

/// What must have ended before the step began: its needs; for the first steps of `finally`,
/// the main part.
fn before(state: &RunState, step: StepIndex) -> Vec<StepIndex> {
    let planned = state.planned(step);
    if planned.section == Section::Finally && planned.needs.is_empty() {
        return all(state)
            .into_iter()
            .filter(|other| state.planned(*other).section == Section::Main)
            .collect();
    }
    planned.needs.clone()
}

fn all(state: &RunState) -> Vec<StepIndex> {
    (0u32..).take(state.steps.len()).map(StepIndex).collect()
}

/// The step that ended last, with its unit that did.
fn last_of(state: &RunState, steps: Vec<StepIndex>) -> Option<(StepIndex, UnitRef)> {
    let ends = steps.into_iter().filter_map(|step| {
        let (unit, end) = last_unit(state, step)?;
        Some((end, step, unit))
    });
    // Of two that ended in the same millisecond the earlier in the plan counts.
    ends.max_by_key(|(end, step, _)| (*end, std::cmp::Reverse(*step)))
        .map(|(_, step, unit)| (step, unit))
}

fn last_unit(state: &RunState, step: StepIndex) -> Option<(UnitRef, Timestamp)> {
    let ran = |unit: &Unit| {
        let worked = unit.status.is_done() && unit.span.0 != Timestamp(0);
        worked.then_some(unit.span.1)
    };
    match &state.step(step).body {
        StepBody::Single(unit) => Some((UnitRef { step, child: None }, ran(unit)?)),
        StepBody::FanOut(fan) => {
            let ends = (0u32..).zip(&fan.children).filter_map(|(c, unit)| Some((ran(unit)?, c)));
            let (end, child) = ends.max_by_key(|(end, c)| (*end, std::cmp::Reverse(*c)))?;
            Some((UnitRef { step, child: Some(child) }, end))
        }
    }
}
