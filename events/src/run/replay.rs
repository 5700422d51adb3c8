//! Deciding again: each recorded command is read back from its cause, decided on the state of
//! that time, and the events compared with the recorded ones.

use super::command::{Ask, Planning, RunCommand};
use super::decide::handle;
use super::event::{AttemptExited, RunEvent, RunFact, RunStatus, TimerKind};
use super::evolve::fold;
use super::state::RunState;
use crate::step::{AttemptReport, ReportBody, StopCause};

/// A difference between what is recorded and what the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayFinding {
    /// Version of the event within the run's stream.
    pub version: u64,
    /// What differs.
    pub message: String,
}

/// Decides every recorded command again. Returns the final state and all differences.
pub fn replay(facts: &[RunFact]) -> (RunState, Vec<ReplayFinding>) {
    let mut findings = Vec::new();
    let mut state = RunState::unborn();
    let mut next = 0;
    while let Some(cause) = facts.get(next) {
        match again(&mut state, cause, &facts[next..]) {
            Ok(consumed) => next += consumed,
            Err(message) => {
                findings.push(ReplayFinding { version: next as u64, message });
                next += 1;
                state = fold(&facts[..next]);
            }
        }
    }
    (state, findings)
}

/// Decides the command behind the first fact and compares; says how many facts it explains.
fn again(state: &mut RunState, cause: &RunFact, rest: &[RunFact]) -> Result<usize, String> {
    if let RunEvent::ReportStale(e) = &cause.event {
        // What was said is kept as a sentence; that it came too late is what can be checked.
        if !state.lost.contains_key(&e.attempt) {
            return Err(format!("attempt {} was not given up as lost", e.attempt));
        }
        super::evolve::apply(state, cause);
        return Ok(1);
    }
    let ask = ask_of(state, &cause.event)?;
    let command = RunCommand { at: cause.at, ask };
    let decided = handle(state, &command)
        .map_err(|e| format!("`{}` would be refused now: {e}", cause.event.kind()))?;
    for (offset, expected) in decided.iter().enumerate() {
        match rest.get(offset) {
            Some(recorded) if recorded == expected || is_without_clock(recorded, expected) => {}
            Some(recorded) => {
                return Err(format!(
                    "`{}` is recorded where the rules give `{}`{}",
                    recorded.event.kind(),
                    expected.event.kind(),
                    if recorded.event.kind() == expected.event.kind() {
                        " with other data"
                    } else {
                        ""
                    },
                ));
            }
            None => {
                return Err(format!("`{}` should follow and is missing", expected.event.kind()));
            }
        }
    }
    Ok(decided.len())
}

/// Whether an end was recorded by a program that did not note its own clock yet, and is equal
/// otherwise.
fn is_without_clock(recorded: &RunFact, expected: &RunFact) -> bool {
    let (RunEvent::AttemptExited(before), RunEvent::AttemptExited(now)) =
        (&recorded.event, &expected.event)
    else {
        return false;
    };
    before.heard.is_none() && recorded.at == expected.at && {
        let now = AttemptExited { heard: None, ..(**now).clone() };
        **before == now
    }
}

/// The command that a cause records.
fn ask_of(state: &RunState, event: &RunEvent) -> Result<Ask, String> {
    Ok(match event {
        RunEvent::Submitted(e) => Ask::Submit(e.clone()),
        RunEvent::Admitted(_) => Ask::Admit,
        RunEvent::Finished(e) if e.status == RunStatus::Rejected => Ask::Refuse,
        RunEvent::Paused(e) => Ask::Pause { comment: e.comment.clone() },
        RunEvent::Resumed(e) => Ask::Resume { comment: e.comment.clone() },
        RunEvent::CancelRequested(e) => match e.cause {
            StopCause::Timeout => Ask::Timer(TimerKind::Run),
            cause => Ask::Cancel { cause, reason: e.reason.clone(), force: e.force },
        },
        RunEvent::Signaled(e) => Ask::Signal { name: e.name.clone() },
        RunEvent::TimerFired(e) => Ask::Timer(e.timer.clone()),
        RunEvent::CacheMissed(e) => Ask::CacheAnswer { step: e.step.clone(), hit: None },
        RunEvent::StepReused(e) => {
            Ask::CacheAnswer { step: e.step.clone(), hit: Some(Box::new(e.result.clone())) }
        }
        RunEvent::ApprovalGiven(e) => {
            Ask::Approve { step: e.step.clone(), approved: e.approved, comment: e.comment.clone() }
        }
        RunEvent::ChildFinished(e) => Ask::ChildFinished {
            step: e.step.clone(),
            run: e.run,
            status: e.status,
            outputs: e.outputs.clone(),
            reason: e.reason.clone(),
        },
        RunEvent::AttemptPlanned(e) => {
            let (place, class, hold) = (e.place.clone(), e.class.clone(), e.hold);
            plan(state, &e.step, Planning { place, class, hold })?
        }
        // A step whose expressions have no value fails where an attempt would be planned.
        RunEvent::StepFailed(e) => plan(state, &e.step, Planning::default())?,
        other => Ask::Observe(Box::new(report_of(state, other)?)),
    })
}

fn plan(state: &RunState, step: &crate::ids::StepKey, planning: Planning) -> Result<Ask, String> {
    let unit = state.find(step).ok_or_else(|| format!("there is no step `{step}`"))?;
    Ok(Ask::Plan(unit, planning))
}

fn report_of(state: &RunState, event: &RunEvent) -> Result<AttemptReport, String> {
    let (step, attempt, at, body) = match event {
        RunEvent::AttemptPending(e) => {
            let reason = e.reason.clone();
            (&e.step, e.attempt, None, ReportBody::Pending { reason })
        }
        RunEvent::AttemptStarted(e) => {
            let (node, pid, handle) = (e.node.clone(), e.pid, e.handle.clone());
            let body = ReportBody::Started { node, pid, handle };
            (&e.step, e.attempt, Some(e.started_at), body)
        }
        RunEvent::AttemptStopping(e) => (&e.step, e.attempt, None, ReportBody::Stopping),
        RunEvent::AttemptSuspected(e) => (&e.step, e.attempt, None, ReportBody::Suspect),
        RunEvent::AttemptRecovered(e) => (&e.step, e.attempt, None, ReportBody::Recovered),
        RunEvent::UsageCheckpoint(e) => {
            let body = ReportBody::Usage(Box::new(e.usage.clone()));
            (&e.step, e.attempt, Some(e.usage.released_ms), body)
        }
        RunEvent::AttemptExited(e) => {
            (&e.step, e.attempt, Some(e.exited_at), ReportBody::Exited(Box::new(e.exit.clone())))
        }
        other => return Err(format!("`{}` stands where a command should", other.kind())),
    };
    let epoch = state
        .live
        .get(&attempt)
        .map(|unit| state.unit(*unit).epoch)
        .ok_or_else(|| format!("attempt {attempt} is not live"))?;
    let (run, at) = (state.id(), at.unwrap_or(state.updated_at));
    Ok(AttemptReport { run, step: step.clone(), attempt, epoch, at, body })
}
