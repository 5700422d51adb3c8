//! A timer ran out. Timers are hints: each is judged again by what the run is now.

use super::observe;
use crate::dag::{Action, OnTimeout};
use crate::ids::{AttemptId, StepKey};
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{RunEvent, TimerFired, TimerKind};
use crate::run::state::{HoldKind, RunState, StepBody, Unit, UnitRef, UnitStatus};
use crate::step::{AttemptLimits, AttemptState, StopCause};
use crate::time::{Millis, Timestamp};

/// How long after its own bound an attempt is killed, and how long after that it is lost.
const OVERDUE: Millis = Millis::seconds(60);
pub(in crate::run) const FENCE: Millis = Millis::seconds(60);
/// Longest time from the decision to an attempt until it runs (`executors.md`, 9.9b).
const START: Millis = Millis::seconds(15 * 60);

const STALE: Rejection = Rejection::Settled("the timer no longer matters");

pub(in crate::run) fn timer(append: &mut Append<'_>, timer: &TimerKind) -> Result<(), Rejection> {
    if timer_due(append.state, timer).is_none_or(|due| due > append.at) {
        return Err(STALE);
    }
    match timer {
        TimerKind::Run => run(append),
        TimerKind::Approval(step) => approval(append, step),
        TimerKind::Fence(attempt) => observe::give_up(append, *attempt),
        other => {
            append.emit(RunEvent::TimerFired(TimerFired { timer: other.clone() }));
            Ok(())
        }
    }
}

/// When a timer is due, if the run still waits for it. One that comes earlier (clocks step back)
/// is refused and has to be set again.
pub fn timer_due(state: &RunState, timer: &TimerKind) -> Option<Timestamp> {
    if state.is_finished() {
        return None;
    }
    match timer {
        TimerKind::Run => {
            let longest = state.plan.timeout.filter(|_| state.cancel.is_none())?;
            Some(state.submitted_at + longest)
        }
        TimerKind::Backoff(step) => match unit(state, step)?.1.status {
            UnitStatus::Backoff(until) => Some(until),
            _ => None,
        },
        TimerKind::Sleep(step) => match unit(state, step)?.1.status {
            UnitStatus::Held(HoldKind::Wait(until)) => until,
            _ => None,
        },
        TimerKind::Approval(step) => {
            let (at, unit) = unit(state, step)?;
            let Action::Approval(approval) = &state.planned(at.step).action else { return None };
            let asked = unit.status == UnitStatus::Held(HoldKind::Approval);
            Some(unit.span.0 + approval.timeout.filter(|_| asked)?)
        }
        TimerKind::Total(step) => total(state, unit(state, step)?.0),
        TimerKind::Queue(step) => queue(state, step),
        TimerKind::Overdue(attempt) => overdue(state, *attempt),
        // Set when the attempt was killed as overdue, which was judged then.
        TimerKind::Fence(attempt) => state.live.get(attempt).map(|_| Timestamp(i64::MIN)),
    }
}

fn unit<'a>(state: &'a RunState, step: &StepKey) -> Option<(UnitRef, &'a Unit)> {
    let at = state.find(step)?;
    Some((at, state.unit(at)))
}

/// Counts from the first attempt, or from the request for the sub-DAG's run.
pub(in crate::run) fn total(state: &RunState, at: UnitRef) -> Option<Timestamp> {
    let unit = state.unit(at);
    let longest = state.planned(at.step).timeouts.total?;
    let child = matches!(unit.status, UnitStatus::Held(HoldKind::Child(_)));
    let counts = (unit.epoch.0 > 0 || child) && !unit.status.is_done() && !unit.exhausted;
    counts.then(|| unit.span.0 + longest)
}

fn queue(state: &RunState, step: &StepKey) -> Option<Timestamp> {
    let step = state.find_step(step.split().0)?;
    let longest = state.planned(step).timeouts.queue?;
    let units = match &state.step(step).body {
        StepBody::Single(unit) => std::slice::from_ref(unit),
        StepBody::FanOut(fan) => fan.children.as_slice(),
    };
    let due = units.iter().filter(|unit| unit.status == UnitStatus::Due);
    due.map(|unit| unit.since + longest).min()
}

pub(in crate::run) fn overdue(state: &RunState, attempt: AttemptId) -> Option<Timestamp> {
    let at = *state.live.get(&attempt)?;
    let unit = state.unit(at);
    let (_, now) = unit.attempt()?;
    let early = now < AttemptState::Running;
    let start = if early { START } else { Millis(0) };
    let run = state.planned(at.step).timeouts.attempt;
    let bound = start.0 + run.0 + AttemptLimits::default().grace.0 + OVERDUE.0;
    Some(unit.attempt_since + Millis(bound))
}

fn run(append: &mut Append<'_>) -> Result<(), Rejection> {
    let Some(longest) = append.state.plan.timeout else { return Err(STALE) };
    let reason = format!("the run took longer than {longest}");
    super::cancel::cancel(append, StopCause::Timeout, &reason, false)
}

fn approval(append: &mut Append<'_>, step: &StepKey) -> Result<(), Rejection> {
    let at = super::unit(append.state, step)?;
    let Action::Approval(approval) = &append.state.planned(at.step).action else {
        return Err(STALE);
    };
    let approved = approval.on_timeout == OnTimeout::Approve;
    super::approve::approve(append, step, approved, "nobody answered in time").map_err(|_| STALE)
}
