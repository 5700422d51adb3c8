//! What the world should be asked because of one event. The state is the one after the append
//! that the event was part of.

use super::commands::timer::{FENCE, OVERDUE};
use super::event::{AttemptExited, AttemptPlanned, RunEvent, RunFact, TimerKind, Verdict};
use super::render;
use super::state::{HoldKind, RunState, StepBody, UnitRef, UnitStatus};
use crate::dag::{Action, FanOut, StepIndex};
use crate::effect::{Effect, StopAttempt, SubmitChild, Timer};
use crate::ids::{AttemptId, StepKey};
use crate::run::event::ReusedResult;
use crate::step::{AttemptLimits, StopCause};
use crate::time::{Millis, Timestamp};

/// The effects of one event.
pub fn react(state: &RunState, fact: &RunFact) -> Vec<Effect> {
    let mut effects = Vec::new();
    let at = fact.at;
    match &fact.event {
        RunEvent::Submitted(_) => {
            if let Some(longest) = state.plan.timeout {
                effects.push(timer(state, TimerKind::Run, at + longest));
            }
            queue_timers(state, at, &mut effects);
        }
        RunEvent::Admitted(_) => queue_timers(state, at, &mut effects),
        RunEvent::CancelRequested(cancel) => {
            stop_all(state, cancel.force, cancel.cause, &mut effects);
        }
        RunEvent::TimerFired(fired) => timer_fired(state, &fired.timer, at, &mut effects),
        RunEvent::Finished(_) => finished(state, &mut effects),
        RunEvent::StepExpanded(e) => step_timer(state, &e.step, at, &mut effects),
        RunEvent::CacheAsked(e) => effects.extend(look_up(state, &e.step, at)),
        RunEvent::ApprovalRequested(e) => effects.extend(approval_timer(state, &e.step, at)),
        RunEvent::WaitStarted(e) => {
            if let Some(until) = e.until {
                effects.push(timer(state, TimerKind::Sleep(e.step.clone()), until));
            }
        }
        RunEvent::ChildRequested(e) => {
            let child = state.find(&e.step).and_then(|unit| child(state, unit, &e.params));
            effects.extend(child);
        }
        RunEvent::AttemptPlanned(e) => planned(state, e, at, &mut effects),
        RunEvent::AttemptExited(e) => exited(state, e, at, &mut effects),
        RunEvent::ReportStale(e) => effects.extend(release(state, &e.step, e.attempt)),
        _ => {}
    }
    effects
}

fn timer(state: &RunState, kind: TimerKind, at: Timestamp) -> Effect {
    Effect::SetTimer { timer: Timer { run: state.id(), kind }, at }
}

fn clear(state: &RunState, kind: TimerKind) -> Effect {
    Effect::ClearTimer(Timer { run: state.id(), kind })
}

/// A queue timer for each step that is due now.
fn queue_timers(state: &RunState, at: Timestamp, effects: &mut Vec<Effect>) {
    for step in state.due.iter().flatten() {
        let key = StepKey::step(&state.planned(*step).name);
        step_timer(state, &key, at, effects);
    }
}

/// Only bounds shorter than a day need a timer of their own: the default does not.
fn step_timer(state: &RunState, key: &StepKey, at: Timestamp, effects: &mut Vec<Effect>) {
    let Some(step) = state.find_step(key.split().0) else { return };
    if let Some(longest) = state.planned(step).timeouts.queue {
        effects.push(timer(state, TimerKind::Queue(key.clone()), at + longest));
    }
}

fn planned(state: &RunState, e: &AttemptPlanned, at: Timestamp, effects: &mut Vec<Effect>) {
    let Some(unit) = state.live.get(&e.attempt).copied() else { return };
    let Ok(spec) = render::spec(state, unit, e.attempt, e.epoch) else { return };
    let bound = spec.limits.run.0 + spec.limits.grace.0 + OVERDUE.0;
    effects.push(timer(state, TimerKind::Overdue(e.attempt), at + Millis(bound)));
    if e.epoch.0 == 1
        && let Some(longest) = state.planned(unit.step).timeouts.total
    {
        effects.push(timer(state, TimerKind::Total(e.step.clone()), at + longest));
    }
    effects.push(Effect::Start(Box::new(spec)));
    if let Some(cause) = stop_cause(state, unit) {
        effects.extend(stop(state, unit, false, cause));
    }
}

fn exited(state: &RunState, e: &AttemptExited, at: Timestamp, effects: &mut Vec<Effect>) {
    effects.extend(release(state, &e.step, e.attempt));
    effects.push(clear(state, TimerKind::Overdue(e.attempt)));
    let Some(unit) = state.find(&e.step) else { return };
    match &e.verdict {
        Verdict::Retry { at, .. } => {
            effects.push(timer(state, TimerKind::Backoff(e.step.clone()), *at));
        }
        Verdict::Succeeded => effects.extend(store(state, unit, at)),
        Verdict::Failed { .. } | Verdict::Canceled => {
            if let StepBody::FanOut(fan) = &state.step(unit.step).body
                && fan.stopping
            {
                stop_children(state, unit.step, false, StopCause::FailFast, effects);
            }
        }
    }
}

fn release(state: &RunState, step: &StepKey, attempt: AttemptId) -> Option<Effect> {
    let unit = state.find(step)?;
    Some(Effect::Release { executor: executor(state, unit.step), attempt })
}

fn executor(state: &RunState, step: StepIndex) -> String {
    state.pools[usize::from(state.step(step).pool)].clone()
}

/// Keeps a success for later runs, if its step says so.
fn store(state: &RunState, at: UnitRef, now: Timestamp) -> Option<Effect> {
    let Action::Task(task) = &state.planned(at.step).action else { return None };
    let policy = task.cache.as_ref()?;
    let key = super::settle::cache_key(state, at, &policy.key).ok()?;
    let result = state.unit(at).result.as_ref()?;
    let result = ReusedResult {
        from_run: state.id(),
        outputs: (*result.outputs).clone(),
        artifacts: result.artifacts.clone(),
        items: None,
    };
    Some(Effect::StoreCache { key, at: now, result: Box::new(result) })
}

pub(super) fn look_up(state: &RunState, step: &StepKey, at: Timestamp) -> Option<Effect> {
    let unit = state.find(step)?;
    let Action::Task(task) = &state.planned(unit.step).action else { return None };
    let policy = task.cache.as_ref()?;
    let key = super::settle::cache_key(state, unit, &policy.key).ok()?;
    let not_before = policy.max_age.map(|age| at - age);
    Some(Effect::LookUpCache { run: state.id(), step: step.clone(), key, not_before })
}

fn approval_timer(state: &RunState, step: &StepKey, at: Timestamp) -> Option<Effect> {
    let unit = state.find(step)?;
    let Action::Approval(approval) = &state.planned(unit.step).action else { return None };
    Some(timer(state, TimerKind::Approval(step.clone()), at + approval.timeout?))
}

pub(super) fn child(
    state: &RunState,
    at: UnitRef,
    params: &std::collections::BTreeMap<String, crate::value::Value>,
) -> Option<Effect> {
    let UnitStatus::Held(HoldKind::Child(run)) = state.unit(at).status else { return None };
    let Action::SubDag(dag) = &state.planned(at.step).action else { return None };
    Some(Effect::SubmitChild(Box::new(SubmitChild {
        parent: state.id(),
        step: state.key(at),
        run,
        source: dag.source.clone(),
        params: params.clone(),
    })))
}

fn timer_fired(state: &RunState, kind: &TimerKind, at: Timestamp, effects: &mut Vec<Effect>) {
    match kind {
        TimerKind::Total(step) => {
            if let Some(unit) = state.find(step) {
                effects.extend(stop(state, unit, false, StopCause::Timeout));
            }
        }
        TimerKind::Overdue(attempt) => {
            if let Some(unit) = state.live.get(attempt) {
                effects.extend(stop(state, *unit, true, StopCause::Timeout));
                effects.push(timer(state, TimerKind::Fence(*attempt), at + FENCE));
            }
        }
        _ => {}
    }
}

fn finished(state: &RunState, effects: &mut Vec<Effect>) {
    if state.plan.timeout.is_some() {
        effects.push(clear(state, TimerKind::Run));
    }
    effects.extend(notify_parent(state));
}

/// The word to the run above, if there is one.
pub(super) fn notify_parent(state: &RunState) -> Option<Effect> {
    let parent = state.facts().parent.as_ref()?;
    let status = state.status()?;
    let outputs = state.plan.steps.iter().filter_map(|planned| {
        let view = crate::dag::StepLookup::view(state, &planned.name)?;
        Some((planned.name.to_string(), view.outputs))
    });
    Some(Effect::NotifyParent {
        parent: parent.run,
        step: parent.step.clone(),
        run: state.id(),
        status,
        outputs: outputs.collect(),
        reason: match status {
            super::RunStatus::Succeeded => String::new(),
            other => format!("the run {} of the sub-DAG ended {}", state.id(), other.as_str()),
        },
    })
}

/// Who wants a live unit to stop, if anyone does.
pub(super) fn stop_cause(state: &RunState, at: UnitRef) -> Option<StopCause> {
    if let Some(cancel) = &state.cancel
        && (cancel.force || state.planned(at.step).section == crate::dag::Section::Main)
    {
        return Some(cancel.cause);
    }
    if state.unit(at).exhausted {
        return Some(StopCause::Timeout);
    }
    match &state.step(at.step).body {
        StepBody::FanOut(fan) if fan.stopping => Some(StopCause::FailFast),
        _ => None,
    }
}

pub(super) fn stop(state: &RunState, at: UnitRef, force: bool, cause: StopCause) -> Option<Effect> {
    match state.unit(at).status {
        UnitStatus::Active(attempt, _) => Some(Effect::Stop(StopAttempt {
            executor: executor(state, at.step),
            run: state.id(),
            attempt,
            epoch: state.unit(at).epoch,
            grace: (!force).then(|| AttemptLimits::default().grace),
            cause,
        })),
        UnitStatus::Held(HoldKind::Child(run)) => Some(Effect::CancelChild { run, force }),
        _ => None,
    }
}

fn stop_all(state: &RunState, force: bool, cause: StopCause, effects: &mut Vec<Effect>) {
    for index in 0..u32::try_from(state.steps.len()).expect("steps are bounded") {
        let step = StepIndex(index);
        let finally = state.planned(step).section == crate::dag::Section::Finally;
        let spared = finally && !force && state.phase != super::Phase::Finalizing;
        if !spared {
            stop_children(state, step, force, cause, effects);
        }
    }
}

fn stop_children(
    state: &RunState,
    step: StepIndex,
    force: bool,
    cause: StopCause,
    effects: &mut Vec<Effect>,
) {
    let children = match (&state.step(step).body, &state.planned(step).fan_out) {
        (StepBody::FanOut(fan), FanOut::Matrix(_) | FanOut::ForEach(_)) => fan.children.len(),
        _ => return effects.extend(stop(state, UnitRef { step, child: None }, force, cause)),
    };
    for child in 0..u32::try_from(children).expect("fan-outs are bounded") {
        let unit = UnitRef { step, child: Some(child) };
        effects.extend(stop(state, unit, force, cause));
    }
}
