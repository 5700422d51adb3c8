//! Attempts.

use std::sync::Arc;

use super::{done, due};
use crate::ids::AttemptId;
use crate::run::event::{AttemptExited, AttemptPlanned, UsageCheckpoint, Verdict};
use crate::run::state::{Phase, RunState, UnitResult, UnitStatus};
use crate::run::usage::AttemptNote;
use crate::step::{AttemptState, Observation, Outcome, Transition};
use crate::time::Timestamp;

pub(super) fn planned(state: &mut RunState, event: &AttemptPlanned, at: Timestamp) {
    let Some(unit) = state.find(&event.step) else { return };
    if state.unit(unit).status != UnitStatus::Due {
        return;
    }
    let pool = usize::from(state.step(unit.step).pool);
    state.active[pool] += 1;
    state.has_begun |= state.phase == Phase::Running;
    state.live.insert(event.attempt, unit);
    if let Some(place) = &event.place {
        state.places.insert(event.attempt, place.clone());
    }
    let note = AttemptNote {
        planned: at,
        started: None,
        class: event.class.clone(),
        hold: event.hold,
        measured: None,
    };
    state.held_nanos += note.held();
    state.notes.insert(event.attempt, note);
    due::begin(state, unit, UnitStatus::Active(event.attempt, AttemptState::Planned), at);
    let unit = state.unit_mut(unit);
    unit.epoch = event.epoch;
    unit.attempt_since = at;
}

/// From here on the attempt's own time counts, not that of its start.
pub(super) fn running(state: &mut RunState, attempt: AttemptId, at: Timestamp) {
    if let Some(unit) = state.live.get(&attempt).copied() {
        state.unit_mut(unit).attempt_since = at;
    }
    if let Some(note) = state.notes.get_mut(&attempt) {
        note.started.get_or_insert(at);
    }
}

/// Only the last measurement is remembered.
pub(super) fn measured(state: &mut RunState, event: &UsageCheckpoint) {
    let Some(note) = state.notes.get_mut(&event.attempt) else { return };
    let before = note.held();
    note.measured = Some(Box::new(event.usage.clone()));
    state.held_nanos += note.held() - before;
}

pub(super) fn observed(state: &mut RunState, attempt: AttemptId, observation: Observation) {
    let Some(unit) = state.live.get(&attempt).copied() else { return };
    let unit = state.unit_mut(unit);
    if let UnitStatus::Active(attempt, from) = unit.status
        && let Transition::To(to) = from.on(observation)
    {
        unit.status = UnitStatus::Active(attempt, to);
    }
}

pub(super) fn exited(state: &mut RunState, event: &AttemptExited, at: Timestamp) {
    let Some(unit) = state.live.remove(&event.attempt) else { return };
    state.places.remove(&event.attempt);
    let pool = usize::from(state.step(unit.step).pool);
    state.active[pool] -= 1;
    if let Some(note) = state.notes.remove(&event.attempt) {
        state.held_nanos -= note.held();
        if matches!(event.exit.outcome, Outcome::Lost { .. }) {
            state.lost.insert(event.attempt, note);
        }
    }
    let result =
        |reason: &str| Some(UnitResult { reason: reason.to_string(), ..UnitResult::default() });
    match &event.verdict {
        Verdict::Succeeded => {
            let result = UnitResult {
                outputs: Arc::new(event.exit.outputs.clone()),
                artifacts: event.exit.artifacts.clone(),
                ..UnitResult::default()
            };
            done::unit_done(state, unit, UnitStatus::Succeeded, Some(result), at);
        }
        Verdict::Failed { reason } => {
            state.unit_mut(unit).failures += 1;
            done::unit_done(state, unit, UnitStatus::Failed, result(reason), at);
        }
        Verdict::Canceled => {
            let reason = event.exit.outcome.describe();
            done::unit_done(state, unit, UnitStatus::Canceled, result(&reason), at);
        }
        Verdict::Retry { at: again, infra, reason } => {
            let entry = state.unit_mut(unit);
            entry.status = UnitStatus::Backoff(*again);
            entry.result = result(reason).map(Box::new);
            if *infra {
                entry.infra_failures += 1;
            } else {
                entry.failures += 1;
            }
            due::unbusy(state, unit);
            due::refresh(state, unit.step);
        }
    }
}
