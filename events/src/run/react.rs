//! What the world should be asked because of one event. The state is the one after the append
//! that the event was part of.

use super::commands::timer::{FENCE, overdue, total};
use super::event::{AttemptExited, AttemptPlanned, RunEvent, RunFact, TimerKind, Verdict};
use super::render;
use super::state::{HoldKind, RunState, StepBody, UnitRef, UnitStatus};
use crate::dag::{Action, FanOut, Section, StepIndex};
use crate::effect::{Effect, StopAttempt, SubmitChild, Timer};
use crate::ids::{AttemptId, StepKey};
use crate::run::event::ReusedResult;
use crate::step::{AttemptLimits, StopCause};
use crate::time::Timestamp;

/// The effects of one event.
pub fn react(state: &RunState, fact: &RunFact) -> Vec<Effect> {
    let mut effects = Vec::new();
    let at = fact.at;
    match &fact.event {
        RunEvent::Submitted(_) => {
            if let Some(longest) = state.plan.timeout {
                effects.push(timer(state, TimerKind::Run, at + longest));
            }
            queue_timers(state, &mut effects);
        }
        RunEvent::Admitted(_) | RunEvent::Signaled(_) => queue_timers(state, &mut effects),
        RunEvent::CancelRequested(cancel) => {
            stop_all(state, cancel.force, cancel.cause, &mut effects);
            queue_timers(state, &mut effects);
        }
        RunEvent::TimerFired(fired) => timer_fired(state, &fired.timer, at, &mut effects),
        RunEvent::Finished(_) => finished(state, &mut effects),
        RunEvent::StepExpanded(e) => expanded(state, &e.step, &mut effects),
        RunEvent::CacheAsked(e) => effects.extend(look_up(state, &e.step, at)),
        RunEvent::ApprovalRequested(e) => effects.extend(approval_timer(state, &e.step, at)),
        RunEvent::WaitStarted(e) => {
            if let Some(until) = e.until {
                effects.push(timer(state, TimerKind::Sleep(e.step.clone()), until));
            }
            over(state, &e.step, &mut effects);
        }
        RunEvent::ChildRequested(e) => {
            if let Some(unit) = state.find(&e.step) {
                effects.extend(child(state, unit, &e.params));
                effects.extend(total_timer(state, unit));
            }
        }
        RunEvent::AttemptStarted(e) => effects.extend(overdue_timer(state, e.attempt)),
        RunEvent::CacheMissed(e) => effects.extend(queue_timer(state, &e.step)),
        RunEvent::StepSkipped(e) => over(state, &e.step, &mut effects),
        RunEvent::StepFailed(e) => over(state, &e.step, &mut effects),
        RunEvent::StepReused(e) => over(state, &e.step, &mut effects),
        RunEvent::ApprovalGiven(e) => over(state, &e.step, &mut effects),
        RunEvent::ChildFinished(e) => over(state, &e.step, &mut effects),
        RunEvent::AttemptPlanned(e) => planned(state, e, &mut effects),
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
fn queue_timers(state: &RunState, effects: &mut Vec<Effect>) {
    for step in state.due.iter().flatten() {
        effects.extend(step_timer(state, *step));
    }
}

/// The queue timer of a step. For a fan-out it is that of the children that nobody touched yet: they are due since one instant.
pub(super) fn step_timer(state: &RunState, step: StepIndex) -> Option<Effect> {
    let planned = state.planned(step);
    let longest = planned.timeouts.queue?;
    let unit = match &state.step(step).body {
        StepBody::Single(unit) => unit,
        StepBody::FanOut(fan) => &fan.children[fan.next_new()? as usize],
    };
    let kind = TimerKind::Queue(StepKey::step(&planned.name));
    (unit.status == UnitStatus::Due).then(|| timer(state, kind, unit.since + longest))
}

/// The queue timer of one unit that is due again.
pub(super) fn queue_timer(state: &RunState, key: &StepKey) -> Option<Effect> {
    let at = state.find(key)?;
    let longest = state.planned(at.step).timeouts.queue?;
    let unit = state.unit(at);
    let due = unit.status == UnitStatus::Due;
    due.then(|| timer(state, TimerKind::Queue(key.clone()), unit.since + longest))
}

pub(super) fn total_timer(state: &RunState, at: UnitRef) -> Option<Effect> {
    Some(timer(state, TimerKind::Total(state.key(at)), total(state, at)?))
}

pub(super) fn overdue_timer(state: &RunState, attempt: AttemptId) -> Option<Effect> {
    Some(timer(state, TimerKind::Overdue(attempt), overdue(state, attempt)?))
}

fn expanded(state: &RunState, key: &StepKey, effects: &mut Vec<Effect>) {
    let Some(step) = state.find_step(key.split().0) else { return };
    effects.extend(step_timer(state, step));
    // Without children it is done at once.
    pushed(state, step, effects);
}

/// A unit may have come to its end: its siblings may have to stop, its dependents may be due.
fn over(state: &RunState, key: &StepKey, effects: &mut Vec<Effect>) {
    let Some(at) = state.find(key) else { return };
    if let StepBody::FanOut(fan) = &state.step(at.step).body
        && fan.stopped_by.is_some()
        && fan.stopped_by == at.child
    {
        stop_children(state, at.step, false, StopCause::FailFast, effects);
    }
    pushed(state, at.step, effects);
}

/// Queue timers of those that the end of a step made due.
fn pushed(state: &RunState, step: StepIndex, effects: &mut Vec<Effect>) {
    if !state.step(step).is_done() {
        return;
    }
    let planned = state.planned(step);
    effects.extend(planned.dependents.iter().filter_map(|step| step_timer(state, *step)));
    if planned.section == Section::Main && state.phase == super::Phase::Finalizing {
        queue_timers(state, effects);
    }
}

fn planned(state: &RunState, e: &AttemptPlanned, effects: &mut Vec<Effect>) {
    let Some(unit) = state.live.get(&e.attempt).copied() else { return };
    let Ok(spec) = render::spec(state, unit, e.attempt, e.epoch) else { return };
    effects.extend(overdue_timer(state, e.attempt));
    if e.epoch.0 == 1 {
        effects.extend(total_timer(state, unit));
    }
    effects.push(Effect::Start(Box::new(spec)));
    if let Some(cause) = stop_cause(state, unit) {
        effects.extend(stop(state, unit, false, cause));
    }
}

fn exited(state: &RunState, e: &AttemptExited, at: Timestamp, effects: &mut Vec<Effect>) {
    effects.extend(release(state, &e.step, e.attempt));
    effects.push(clear(state, TimerKind::Overdue(e.attempt)));
    match &e.verdict {
        Verdict::Retry { at, .. } => {
            effects.push(timer(state, TimerKind::Backoff(e.step.clone()), *at));
        }
        Verdict::Succeeded => {
            effects.extend(state.find(&e.step).and_then(|unit| store(state, unit, at)));
            over(state, &e.step, effects);
        }
        Verdict::Failed { .. } | Verdict::Canceled => over(state, &e.step, effects),
    }
}

fn release(state: &RunState, step: &StepKey, attempt: AttemptId) -> Option<Effect> {
    let unit = state.find(step)?;
    Some(Effect::Release { executor: executor(state, unit.step), attempt })
}

fn executor(state: &RunState, step: StepIndex) -> String {
    state.pools[usize::from(state.step(step).pool)].executor.to_string()
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
            over(state, step, effects);
        }
        TimerKind::Sleep(step) => over(state, step, effects),
        TimerKind::Backoff(step) => effects.extend(queue_timer(state, step)),
        TimerKind::Queue(key) => late(state, key, at, effects),
        TimerKind::Overdue(attempt) => {
            if let Some(unit) = state.live.get(attempt) {
                effects.extend(stop(state, *unit, true, StopCause::Timeout));
                effects.push(timer(state, TimerKind::Fence(*attempt), at + FENCE));
            }
        }
        _ => {}
    }
}

/// Units waited too long for a place: what their end pushes, and the next timer for the rest.
fn late(state: &RunState, key: &StepKey, at: Timestamp, effects: &mut Vec<Effect>) {
    let Some(step) = state.find_step(key.split().0) else { return };
    let failed = match &state.step(step).body {
        StepBody::FanOut(fan) => fan.stopped_by.map(|child| &fan.children[child as usize]),
        StepBody::Single(_) => None,
    };
    if failed.is_some_and(|child| child.span.1 == at) {
        stop_children(state, step, false, StopCause::FailFast, effects);
    }
    pushed(state, step, effects);
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
        && state.cancels(state.planned(at.step).section)
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
        if state.cancels(state.planned(step).section) {
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
