//! Which units may start now: the sets that admission takes from.

use crate::dag::{Action, FanOut, StepIndex};
use crate::ids::StepKey;
use crate::run::state::{HoldKind, RunState, StepBody, UnitRef, UnitStatus};
use crate::time::Timestamp;

/// The step's needs are done: it is due, or `settle` has something to find out first.
pub(super) fn ready(state: &mut RunState, step: StepIndex, at: Timestamp) {
    let cancelled = state.cancels(state.planned(step).section);
    let plain = is_plain(state, step);
    let StepBody::Single(unit) = &mut state.steps[step.0 as usize].body else { return };
    if cancelled || unit.status != UnitStatus::Waiting {
        return;
    }
    unit.since = at;
    if plain {
        unit.status = UnitStatus::Due;
    }
    state.fresh.push(step);
    refresh(state, step);
}

/// Whether nothing but a place stands between the step's needs and its first attempt
/// (its conditions apart, which `settle` judges in the same append).
fn is_plain(state: &RunState, step: StepIndex) -> bool {
    let planned = state.planned(step);
    let uncached = matches!(&planned.action, Action::Task(task) if task.cache.is_none());
    let reused = || {
        let reuse = &state.facts().reuse;
        !reuse.is_empty() && reuse.contains_key(&StepKey::step(&planned.name))
    };
    uncached && planned.fan_out == FanOut::None && !reused()
}

/// Puts the step into its pool's set, or takes it out.
pub(super) fn refresh(state: &mut RunState, step: StepIndex) {
    let max = state.planned(step).max_parallel;
    let entry = state.step(step);
    let room = match &entry.body {
        StepBody::FanOut(fan) => max.is_none_or(|max| fan.busy < max),
        StepBody::Single(_) => true,
    };
    let due = room && entry.next_due(step).is_some();
    let pool = usize::from(entry.pool);
    if due {
        state.due[pool].insert(step);
    } else {
        state.due[pool].remove(&step);
    }
    if let StepBody::FanOut(fan) = &state.step(step).body
        && fan.staged
        && room
        && fan.next_new().is_some()
    {
        state.fresh.push(step);
    }
}

/// The unit is taken from those that may start.
pub(super) fn begin(state: &mut RunState, at: UnitRef, status: UnitStatus, now: Timestamp) {
    let entry = &mut state.steps[at.step.0 as usize];
    let unit = match (&mut entry.body, at.child) {
        (StepBody::Single(unit), _) => unit,
        (StepBody::FanOut(fan), Some(child)) => {
            if !fan.again.remove(&child) && child == fan.next {
                fan.next += 1;
            }
            fan.busy += 1;
            &mut fan.children[child as usize]
        }
        (StepBody::FanOut(_), None) => return,
    };
    if unit.span.0 == Timestamp(0) {
        unit.span.0 = now;
    }
    unit.status = status;
    refresh(state, at.step);
}

/// The unit waits for something else than an attempt.
pub(super) fn hold(state: &mut RunState, key: &StepKey, kind: HoldKind, at: Timestamp) {
    if let Some(unit) = state.find(key) {
        begin(state, unit, UnitStatus::Held(kind), at);
    }
}

/// The unit may start (again).
pub(super) fn release(state: &mut RunState, at: UnitRef, now: Timestamp) {
    let unit = state.unit_mut(at);
    unit.status = UnitStatus::Due;
    unit.since = now;
    if let (StepBody::FanOut(fan), Some(child)) =
        (&mut state.steps[at.step.0 as usize].body, at.child)
    {
        fan.again.insert(child);
    }
    refresh(state, at.step);
}

/// The unit gives its busy mark back without being done.
pub(super) fn unbusy(state: &mut RunState, at: UnitRef) {
    if let StepBody::FanOut(fan) = &mut state.steps[at.step.0 as usize].body {
        fan.busy -= 1;
    }
}

/// Nothing to take over: an attempt is needed.
pub(super) fn cache_missed(state: &mut RunState, key: &StepKey, now: Timestamp) {
    let Some(at) = state.find(key) else { return };
    match state.unit(at).status {
        UnitStatus::Held(HoldKind::Cache) => {}
        UnitStatus::Due => begin(state, at, UnitStatus::Held(HoldKind::Cache), now),
        _ => return,
    }
    state.unit_mut(at).cache_checked = true;
    unbusy(state, at);
    release(state, at, now);
}
