//! Folding: what an event makes of a run. Total: whatever was recorded can be folded, and an
//! event that does not fit the state (which only damage can bring about) changes nothing.
//!
//! Readiness is pushed here by the completing event, in time proportional to the number of
//! dependents; nothing ever scans for it.

mod attempt;
mod done;
mod due;
mod lifecycle;

pub(super) use lifecycle::EXHAUSTED;

use super::event::{RunEvent, RunFact};
use super::state::{HoldKind, RunState, UnitStatus};

/// The state after one more event.
pub fn evolve(mut state: RunState, fact: &RunFact) -> RunState {
    apply(&mut state, fact);
    state.fresh.clear();
    state
}

/// The state after a whole history.
pub fn fold<'a>(facts: impl IntoIterator<Item = &'a RunFact>) -> RunState {
    facts.into_iter().fold(RunState::unborn(), evolve)
}

/// Updates a run in place. The work list for `settle` is left in it: within an append that is
/// being decided it is needed, elsewhere use [`evolve`].
pub fn apply(state: &mut RunState, fact: &RunFact) {
    let at = fact.at;
    state.version += 1;
    state.updated_at = at;
    match &fact.event {
        RunEvent::Submitted(e) => lifecycle::submitted(state, e, at),
        RunEvent::Admitted(_) => lifecycle::begin(state, at),
        RunEvent::Paused(_) => state.paused = true,
        RunEvent::Resumed(_) => lifecycle::resumed(state),
        RunEvent::CancelRequested(e) => lifecycle::cancel(state, e, at),
        RunEvent::Signaled(e) => lifecycle::signaled(state, &e.name, at),
        RunEvent::TimerFired(e) => lifecycle::timer(state, &e.timer, at),
        RunEvent::Finished(e) => state.phase = super::Phase::Finished(e.status),
        RunEvent::StepExpanded(e) => lifecycle::expanded(state, e, at),
        RunEvent::StepSkipped(e) => {
            done::unit_by_key(state, &e.step, UnitStatus::Skipped, &e.reason, at);
        }
        RunEvent::StepFailed(e) => {
            done::unit_by_key(state, &e.step, UnitStatus::Failed, &e.reason, at);
        }
        RunEvent::CacheAsked(e) => due::hold(state, &e.step, HoldKind::Cache, at),
        RunEvent::CacheMissed(e) => due::cache_missed(state, &e.step, at),
        RunEvent::StepReused(e) => done::reused(state, &e.step, &e.result, at),
        RunEvent::ApprovalRequested(e) => due::hold(state, &e.step, HoldKind::Approval, at),
        RunEvent::ApprovalGiven(e) => lifecycle::approval(state, e, at),
        RunEvent::WaitStarted(e) => lifecycle::wait_started(state, e, at),
        RunEvent::ChildRequested(e) => due::hold(state, &e.step, HoldKind::Child(e.run), at),
        RunEvent::ChildFinished(e) => lifecycle::child_finished(state, e, at),
        RunEvent::AttemptPlanned(e) => attempt::planned(state, e, at),
        RunEvent::AttemptPending(e) => {
            attempt::observed(state, e.attempt, crate::step::Observation::Pending);
        }
        RunEvent::AttemptStarted(e) => {
            attempt::observed(state, e.attempt, crate::step::Observation::Started);
            attempt::running(state, e.attempt, at);
        }
        RunEvent::AttemptStopping(e) => {
            attempt::observed(state, e.attempt, crate::step::Observation::Stopping);
        }
        RunEvent::AttemptSuspected(e) => {
            attempt::observed(state, e.attempt, crate::step::Observation::Suspected);
        }
        RunEvent::AttemptRecovered(e) => {
            attempt::observed(state, e.attempt, crate::step::Observation::Recovered);
        }
        RunEvent::UsageCheckpoint(e) => attempt::measured(state, e),
        RunEvent::AttemptExited(e) => attempt::exited(state, e, at),
        RunEvent::ReportStale(e) => {
            state.lost.remove(&e.attempt);
        }
    }
}
