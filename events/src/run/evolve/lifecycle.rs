//! The run as a whole: acceptance, pause, cancel, timers, fan-outs, approvals, waits.

use std::sync::Arc;

use super::{done, due};
use crate::admission::demands_of;
use crate::dag::{Action, FanOut, Section, StepIndex};
use crate::ids::StepKey;
use crate::run::event::{
    ApprovalGiven, CancelRequested, ChildFinished, RunStatus, StepExpanded, Submitted, TimerKind,
    WaitStarted,
};
use crate::run::state::{
    FanOutState, HoldKind, Phase, RunState, StepBody, StepState, Unit, UnitRef, UnitResult,
    UnitStatus,
};
use crate::time::Timestamp;

pub(super) fn submitted(state: &mut RunState, event: &Submitted, at: Timestamp) {
    let Some(plan) = event.plan.clone() else { return };
    if state.submitted.is_some() {
        return;
    }
    state.submitted_at = at;
    let (pools, pool_of) = demands_of(&plan);
    state.due = vec![Default::default(); pools.len()];
    state.active = vec![0; pools.len()];
    state.steps = plan
        .steps
        .iter()
        .zip(pool_of)
        .map(|(planned, pool)| StepState {
            // A `finally` step waits for the end of the main part besides.
            waiting_on: u32::try_from(planned.needs.len()).expect("steps are bounded")
                + u32::from(planned.section == Section::Finally),
            pool,
            body: StepBody::Single(Unit::new(UnitStatus::Waiting, at)),
        })
        .collect();
    state.pools = Arc::from(pools);
    let count = |section| plan.steps.iter().filter(|s| s.section == section).count();
    state.open_main = u32::try_from(count(Section::Main)).expect("steps are bounded");
    state.open_finally = u32::try_from(count(Section::Finally)).expect("steps are bounded");
    let grouped = plan.concurrency.is_some();
    state.submitted = Some(Arc::new(event.clone()));
    state.plan = plan;
    state.phase = Phase::Queued;
    if !grouped {
        begin(state, at);
    }
}

/// The main part starts.
pub(super) fn begin(state: &mut RunState, at: Timestamp) {
    if state.phase != Phase::Queued || state.submitted.is_none() {
        return;
    }
    state.phase = Phase::Running;
    // Who has a place in its group keeps others out of it, and so must not wait for a count of
    // which they may hold the last.
    state.has_begun |= state.plan.concurrency.is_some();
    if state.open_main == 0 {
        done::finalize(state, at);
    }
    for index in 0..u32::try_from(state.steps.len()).expect("steps are bounded") {
        if state.steps[index as usize].waiting_on == 0 {
            due::ready(state, StepIndex(index), at);
        }
    }
}

pub(super) fn resumed(state: &mut RunState) {
    state.paused = false;
}

/// Units that have nothing running are cancelled; those that have are asked to stop by effects.
/// The `finally` part is spared unless it has begun already or force is used.
pub(super) fn cancel(state: &mut RunState, event: &CancelRequested, at: Timestamp) {
    let all = event.force || matches!(state.phase, Phase::Finalizing | Phase::Queued);
    state.cancel_all |= all;
    match &mut state.cancel {
        Some(earlier) => earlier.force |= event.force,
        None => state.cancel = Some(event.clone()),
    }
    // Finally steps go first where they are included: the end of the main part must not
    // make them ready.
    let sections: &[Section] =
        if all { &[Section::Finally, Section::Main] } else { &[Section::Main] };
    for section in sections {
        for index in 0..u32::try_from(state.steps.len()).expect("steps are bounded") {
            let step = StepIndex(index);
            if state.planned(step).section == *section {
                cancel_step(state, step, at);
            }
        }
    }
}

fn cancel_step(state: &mut RunState, step: StepIndex, at: Timestamp) {
    match &mut state.steps[step.0 as usize].body {
        StepBody::Single(unit) => {
            if unit.status.is_idle() {
                let unit = UnitRef { step, child: None };
                done::unit_done(state, unit, UnitStatus::Canceled, None, at);
            }
        }
        StepBody::FanOut(fan) => {
            if fan.result.is_some() {
                return;
            }
            fan.stop(at);
            let min_success = state.planned(step).min_success;
            done::conclude(state, step, min_success, at);
        }
    }
}

pub(super) fn signaled(state: &mut RunState, name: &str, at: Timestamp) {
    state.signals.insert(name.to_string());
    let listening: Vec<UnitRef> = state
        .units()
        .filter(|(_, unit)| unit.status == UnitStatus::Held(HoldKind::Wait(None)))
        .map(|(unit, _)| unit)
        .filter(|unit| event_name(state, unit.step) == Some(name))
        .collect();
    for unit in listening {
        done::unit_done(state, unit, UnitStatus::Succeeded, None, at);
    }
}

fn event_name(state: &RunState, step: StepIndex) -> Option<&str> {
    match &state.planned(step).action {
        Action::Wait(crate::dag::WaitFor::Event(name)) => Some(name),
        _ => None,
    }
}

pub(super) fn wait_started(state: &mut RunState, event: &WaitStarted, at: Timestamp) {
    due::hold(state, &event.step, HoldKind::Wait(event.until), at);
    let Some(unit) = state.find(&event.step) else { return };
    let arrived = event_name(state, unit.step).is_some_and(|name| state.signals.contains(name));
    if event.until.is_none() && arrived {
        done::unit_done(state, unit, UnitStatus::Succeeded, None, at);
    }
}

pub(super) fn approval(state: &mut RunState, event: &ApprovalGiven, at: Timestamp) {
    let (status, reason) = match event.approved {
        true => (UnitStatus::Succeeded, String::new()),
        false => (UnitStatus::Failed, format!("rejected: {}", event.comment)),
    };
    done::unit_by_key(state, &event.step, status, reason.trim_end_matches(": "), at);
}

pub(super) fn child_finished(state: &mut RunState, event: &ChildFinished, at: Timestamp) {
    let Some(unit) = state.find(&event.step) else { return };
    if state.unit(unit).status != UnitStatus::Held(HoldKind::Child(event.run)) {
        return;
    }
    let exhausted = state.unit(unit).exhausted;
    let stopped = state.cancels(state.planned(unit.step).section)
        || matches!(&state.step(unit.step).body, StepBody::FanOut(fan) if fan.stopping);
    let status = match event.status {
        RunStatus::Succeeded => UnitStatus::Succeeded,
        RunStatus::Canceled if stopped && !exhausted => UnitStatus::Canceled,
        RunStatus::Failed | RunStatus::Canceled | RunStatus::Rejected => UnitStatus::Failed,
    };
    let result = UnitResult {
        outputs: Arc::new(event.outputs.clone()),
        reason: match exhausted && event.status == RunStatus::Canceled {
            true => EXHAUSTED.to_string(),
            false => event.reason.clone(),
        },
        ..UnitResult::default()
    };
    done::unit_done(state, unit, status, Some(result), at);
}

pub(super) fn expanded(state: &mut RunState, event: &StepExpanded, at: Timestamp) {
    let Some(step) = state.find_step(event.step.split().0) else { return };
    let planned = state.planned(step);
    if planned.fan_out == FanOut::None {
        return;
    }
    let reusing = reuses(state, event);
    let staged = match &planned.action {
        Action::Task(task) => task.cache.is_some() || reusing,
        _ => true,
    };
    let by_label = by_label(&planned.fan_out);
    let min_success = planned.min_success;
    let child = Unit::new(UnitStatus::Due, at);
    state.steps[step.0 as usize].body = StepBody::FanOut(Box::new(FanOutState {
        items: event.items.clone(),
        children: vec![child; event.count as usize],
        next: 0,
        again: Default::default(),
        busy: 0,
        done: 0,
        succeeded: 0,
        failed: 0,
        stopping: false,
        stopped_by: None,
        staged,
        reusing,
        by_label,
        result: None,
        gathered: None,
        since: at,
    }));
    done::conclude(state, step, min_success, at);
}

fn by_label(fan_out: &FanOut) -> Arc<[u32]> {
    let FanOut::Matrix(cells) = fan_out else { return Arc::from([]) };
    let mut order: Vec<u32> = (0u32..).zip(cells).map(|(child, _)| child).collect();
    order.sort_by_key(|child| &cells[*child as usize].0);
    Arc::from(order)
}

/// Whether children of the step take over results, which they only may when the list of
/// items is the one they were made from.
fn reuses(state: &RunState, event: &StepExpanded) -> bool {
    state.facts().reuse.get(&event.step).is_some_and(|earlier| earlier.items == event.items)
}

pub(super) fn timer(state: &mut RunState, timer: &TimerKind, at: Timestamp) {
    match timer {
        TimerKind::Backoff(key) => {
            if let Some(unit) = state.find(key)
                && matches!(state.unit(unit).status, UnitStatus::Backoff(_))
            {
                due::release(state, unit, at);
            }
        }
        TimerKind::Sleep(key) => {
            if let Some(unit) = state.find(key) {
                done::unit_done(state, unit, UnitStatus::Succeeded, None, at);
            }
        }
        TimerKind::Total(key) => total(state, key, at),
        TimerKind::Queue(key) => queue(state, key, at),
        TimerKind::Run | TimerKind::Approval(_) | TimerKind::Overdue(_) | TimerKind::Fence(_) => {}
    }
}

pub(in crate::run) const EXHAUSTED: &str =
    "all attempts together took longer than `timeout.total` allows";

fn total(state: &mut RunState, key: &StepKey, at: Timestamp) {
    let Some(unit) = state.find(key) else { return };
    state.unit_mut(unit).exhausted = true;
    let stops = matches!(
        state.unit(unit).status,
        UnitStatus::Active(..) | UnitStatus::Held(HoldKind::Child(_))
    );
    if !stops {
        let result = UnitResult { reason: EXHAUSTED.to_string(), ..UnitResult::default() };
        done::unit_done(state, unit, UnitStatus::Failed, Some(result), at);
    }
}

/// Every unit of the step that has been due for too long fails.
fn queue(state: &mut RunState, key: &StepKey, at: Timestamp) {
    let Some(step) = state.find_step(key.split().0) else { return };
    let Some(longest) = state.planned(step).timeouts.queue else { return };
    let late: Vec<UnitRef> = match &state.step(step).body {
        StepBody::Single(unit) => {
            let late = unit.status == UnitStatus::Due && unit.since + longest <= at;
            late.then_some(UnitRef { step, child: None }).into_iter().collect()
        }
        StepBody::FanOut(fan) => (0u32..)
            .zip(&fan.children)
            .filter(|(_, unit)| unit.status == UnitStatus::Due && unit.since + longest <= at)
            .map(|(child, _)| UnitRef { step, child: Some(child) })
            .collect(),
    };
    for unit in late {
        let reason = format!("waited longer than {longest} for a place (`timeout.queue`)");
        let result = UnitResult { reason, ..UnitResult::default() };
        done::unit_done(state, unit, UnitStatus::Failed, Some(result), at);
    }
}
