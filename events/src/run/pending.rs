//! What is still owed after a restart: the same effects that the events led to, asked again.

use super::event::TimerKind;
use super::react;
use super::render;
use super::state::{HoldKind, RunState, StepBody, UnitRef, UnitStatus};
use crate::dag::{Action, StepIndex, WaitFor};
use crate::effect::{Effect, Timer};

/// The effects that an unfinished run still waits for. Attempts that were planned are asked to
/// start again, which their id makes harmless; the shell asks executors what they already have
/// before it performs these.
pub fn pending(state: &RunState) -> Vec<Effect> {
    let mut effects = Vec::new();
    if state.submitted.is_none() {
        return effects;
    }
    if state.is_finished() {
        return react::notify_parent(state).into_iter().collect();
    }
    let set = |kind, at| Effect::SetTimer { timer: Timer { run: state.id(), kind }, at };
    if let Some(at) = super::timer_due(state, &TimerKind::Run) {
        effects.push(set(TimerKind::Run, at));
    }
    for (index, _) in (0u32..).zip(&state.steps) {
        effects.extend(react::step_timer(state, StepIndex(index)));
    }
    for (at, unit) in state.units() {
        match unit.status {
            UnitStatus::Active(..) => active(state, at, &mut effects),
            UnitStatus::Backoff(until) => {
                effects.push(set(TimerKind::Backoff(state.key(at)), until));
            }
            UnitStatus::Held(hold) => held(state, at, hold, &mut effects),
            UnitStatus::Due if is_again(state, at) => {
                effects.extend(react::queue_timer(state, &state.key(at)));
            }
            _ => {}
        }
        effects.extend(react::total_timer(state, at));
    }
    effects
}

/// Whether the unit is a child that is due again, after others of its kind were begun.
fn is_again(state: &RunState, at: UnitRef) -> bool {
    match (&state.step(at.step).body, at.child) {
        (StepBody::FanOut(fan), Some(child)) => fan.again.contains(&child),
        _ => false,
    }
}

fn active(state: &RunState, at: UnitRef, effects: &mut Vec<Effect>) {
    let unit = state.unit(at);
    let Some((attempt, _)) = unit.attempt() else { return };
    let Ok(spec) = render::spec(state, at, attempt, unit.epoch) else { return };
    effects.extend(react::overdue_timer(state, attempt));
    effects.push(Effect::Start(Box::new(spec)));
    if let Some(cause) = react::stop_cause(state, at) {
        let force = state.cancel.as_ref().is_some_and(|cancel| cancel.force);
        effects.extend(react::stop(state, at, force, cause));
    }
}

fn held(state: &RunState, at: UnitRef, hold: HoldKind, effects: &mut Vec<Effect>) {
    let key = state.key(at);
    let set = |kind, at| Effect::SetTimer { timer: Timer { run: state.id(), kind }, at };
    match (hold, &state.planned(at.step).action) {
        (HoldKind::Wait(Some(until)), Action::Wait(WaitFor::For(_) | WaitFor::Until(_))) => {
            effects.push(set(TimerKind::Sleep(key), until));
        }
        (HoldKind::Approval, Action::Approval(approval)) => {
            if let Some(longest) = approval.timeout {
                let at = state.unit(at).span.0 + longest;
                effects.push(set(TimerKind::Approval(key), at));
            }
        }
        (HoldKind::Cache, _) => effects.extend(react::look_up(state, &key, state.updated_at)),
        (HoldKind::Child(run), Action::SubDag(_)) => {
            // Evaluated again from recorded facts only, so they are the ones that were recorded.
            let params = super::settle::child_params(state, at).unwrap_or_default();
            effects.extend(react::child(state, at, &params));
            if react::stop_cause(state, at).is_some() {
                let force = state.cancel.as_ref().is_some_and(|cancel| cancel.force);
                effects.push(Effect::CancelChild { run, force });
            }
        }
        _ => {}
    }
}
