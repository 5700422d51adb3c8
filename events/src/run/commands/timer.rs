//! A timer ran out. Timers are hints: each is judged again by what the run is now.

use super::{observe, unit};
use crate::dag::{Action, OnTimeout};
use crate::ids::AttemptId;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{RunEvent, TimerFired, TimerKind};
use crate::run::state::{HoldKind, RunState, StepBody, UnitStatus};
use crate::step::{AttemptState, StopCause};
use crate::time::Millis;

/// How long after its own bound an attempt is killed, and how long after that it is lost.
pub(in crate::run) const OVERDUE: Millis = Millis::seconds(60);
pub(in crate::run) const FENCE: Millis = Millis::seconds(60);

const STALE: Rejection = Rejection::Settled("the timer no longer matters");

pub(in crate::run) fn timer(append: &mut Append<'_>, timer: &TimerKind) -> Result<(), Rejection> {
    match timer {
        TimerKind::Run => run(append),
        TimerKind::Approval(step) => {
            let at = unit(append.state, step)?;
            let Action::Approval(approval) = &append.state.planned(at.step).action else {
                return Err(STALE);
            };
            let approved = approval.on_timeout == OnTimeout::Approve;
            super::approve::approve(append, step, approved, "nobody answered in time")
                .map_err(|_| STALE)
        }
        TimerKind::Fence(attempt) => observe::give_up(append, *attempt),
        other => {
            if !matters(append, other)? {
                return Err(STALE);
            }
            append.emit(RunEvent::TimerFired(TimerFired { timer: other.clone() }));
            Ok(())
        }
    }
}

fn run(append: &mut Append<'_>) -> Result<(), Rejection> {
    let Some(longest) = append.state.plan.timeout else { return Err(STALE) };
    let early = append.at.since(append.state.submitted_at) < longest;
    if early || append.state.is_finished() || append.state.cancel.is_some() {
        return Err(STALE);
    }
    let reason = format!("the run took longer than {longest}");
    super::cancel::cancel(append, StopCause::Timeout, &reason, false)
}

fn matters(append: &Append<'_>, timer: &TimerKind) -> Result<bool, Rejection> {
    let state = &*append.state;
    Ok(match timer {
        TimerKind::Backoff(step) => {
            let status = state.unit(unit(state, step)?).status;
            matches!(status, UnitStatus::Backoff(until) if until <= append.at)
        }
        TimerKind::Sleep(step) => {
            let status = state.unit(unit(state, step)?).status;
            matches!(status, UnitStatus::Held(HoldKind::Wait(Some(until))) if until <= append.at)
        }
        TimerKind::Total(step) => {
            let at = unit(state, step)?;
            let (unit, longest) = (state.unit(at), state.planned(at.step).timeouts.total);
            let over = longest.is_some_and(|longest| unit.span.0 + longest <= append.at);
            over && !unit.status.is_done() && !unit.exhausted
        }
        TimerKind::Queue(step) => {
            let step = state.find_step(step.split().0).ok_or(STALE)?;
            let Some(longest) = state.planned(step).timeouts.queue else { return Ok(false) };
            let late = |status, since| status == UnitStatus::Due && since + longest <= append.at;
            match &state.step(step).body {
                StepBody::Single(unit) => late(unit.status, unit.since),
                StepBody::FanOut(fan) => fan.children.iter().any(|u| late(u.status, u.since)),
            }
        }
        TimerKind::Overdue(attempt) => stands(state, *attempt),
        TimerKind::Run | TimerKind::Approval(_) | TimerKind::Fence(_) => false,
    })
}

fn stands(state: &RunState, attempt: AttemptId) -> bool {
    let status = state.live.get(&attempt).map(|at| state.unit(*at).status);
    matches!(status, Some(UnitStatus::Active(_, s)) if s != AttemptState::Exited)
}
