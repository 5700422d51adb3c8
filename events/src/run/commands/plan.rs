//! Admission chose a unit: its next attempt is recorded before any executor hears of it.

use crate::run::command::{Planning, Rejection};
use crate::run::decide::Append;
use crate::run::event::{AttemptPlanned, RunEvent, StepFailed};
use crate::run::render;
use crate::run::state::{UnitRef, UnitStatus};

pub(in crate::run) fn plan(
    append: &mut Append<'_>,
    at: UnitRef,
    planning: &Planning,
) -> Result<(), Rejection> {
    if append.state.blocked().is_some() || append.state.unit(at).status != UnitStatus::Due {
        return Err(Rejection::Settled("the step is not due"));
    }
    let state = &*append.state;
    let step = state.key(at);
    let epoch = state.unit(at).epoch.next();
    let attempt = render::attempt_id(state.id(), &step, epoch, append.at);
    let event = match render::spec(state, at, attempt, epoch) {
        Ok(spec) => RunEvent::AttemptPlanned(AttemptPlanned {
            step,
            attempt,
            epoch,
            spec_hash: spec.hash(),
            executor: spec.executor,
            place: planning.place.clone(),
            class: planning.class.clone(),
            hold: planning.hold,
        }),
        Err(reason) => RunEvent::StepFailed(StepFailed { step, reason }),
    };
    append.emit(event);
    Ok(())
}
