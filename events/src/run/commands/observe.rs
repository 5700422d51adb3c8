//! What an executor reports of an attempt.

mod outputs;
mod verdict;

use crate::dag::Action;
use crate::ids::AttemptId;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{
    AttemptExited, AttemptMark, AttemptPending, AttemptStarted, ReportStale, RunEvent,
    UsageCheckpoint,
};
use crate::run::state::{UnitRef, UnitStatus};
use crate::step::{
    AttemptExit, AttemptReport, Fault, LogSummary, Observation, Outcome, ReportBody, Requested,
    Transition, Usage, UsageQuality, UsageSource, Used,
};
use crate::time::{Millis, Timestamp};

/// Between two measurements that are kept of one attempt, at least.
const APART: Millis = Millis::seconds(1);

pub(in crate::run) fn observe(
    append: &mut Append<'_>,
    report: &AttemptReport,
) -> Result<(), Rejection> {
    let Some(at) = append.state.live.get(&report.attempt).copied() else {
        return stale(append, report);
    };
    let unit = append.state.unit(at);
    let UnitStatus::Active(_, from) = unit.status else { return stale(append, report) };
    if unit.epoch != report.epoch || append.state.key(at) != report.step {
        return stale(append, report);
    }
    match from.on(observation(&report.body)) {
        Transition::Known => return Err(Rejection::Settled("that was known")),
        Transition::Stale => return stale(append, report),
        Transition::To(_) => {}
    }
    if let ReportBody::Exited(exit) = &report.body {
        return exited(append, at, report, (**exit).clone());
    }
    if let ReportBody::Usage(usage) = &report.body {
        return measured(append, report, usage);
    }
    append.emit(progress(report));
    Ok(())
}

fn observation(body: &ReportBody) -> Observation {
    match body {
        ReportBody::Pending { .. } => Observation::Pending,
        ReportBody::Started { .. } => Observation::Started,
        ReportBody::Stopping => Observation::Stopping,
        ReportBody::Suspect => Observation::Suspected,
        ReportBody::Recovered => Observation::Recovered,
        ReportBody::Usage(_) => Observation::Measured,
        ReportBody::Exited(_) => Observation::Exited,
    }
}

fn progress(report: &AttemptReport) -> RunEvent {
    let (step, attempt) = (report.step.clone(), report.attempt);
    match &report.body {
        ReportBody::Pending { reason } => {
            RunEvent::AttemptPending(AttemptPending { step, attempt, reason: reason.clone() })
        }
        ReportBody::Started { node, pid, handle } => RunEvent::AttemptStarted(AttemptStarted {
            step,
            attempt,
            node: node.clone(),
            pid: *pid,
            handle: handle.clone(),
            started_at: report.at,
        }),
        ReportBody::Stopping => RunEvent::AttemptStopping(AttemptMark { step, attempt }),
        ReportBody::Suspect => RunEvent::AttemptSuspected(AttemptMark { step, attempt }),
        ReportBody::Recovered | ReportBody::Usage(_) | ReportBody::Exited(_) => {
            RunEvent::AttemptRecovered(AttemptMark { step, attempt })
        }
    }
}

/// A measurement that is older than the one before it says nothing new.
fn measured(
    append: &mut Append<'_>,
    report: &AttemptReport,
    usage: &Usage,
) -> Result<(), Rejection> {
    let Some(note) = append.state.notes.get(&report.attempt) else {
        return Err(Rejection::Settled("the attempt is over"));
    };
    let before = note.measured.as_ref().map(|usage| usage.released_ms);
    if before.is_some_and(|before| usage.released_ms < before + APART) {
        return Err(Rejection::Settled("that was known"));
    }
    append.emit(RunEvent::UsageCheckpoint(Box::new(UsageCheckpoint {
        step: report.step.clone(),
        attempt: report.attempt,
        usage: usage.clone(),
        heard: note.heard(append.at),
    })));
    Ok(())
}

fn exited(
    append: &mut Append<'_>,
    at: UnitRef,
    report: &AttemptReport,
    mut exit: AttemptExit,
) -> Result<(), Rejection> {
    let state = &*append.state;
    let mut problem = exit.output_error.clone();
    if exit.outcome == Outcome::Succeeded && problem.is_none() {
        let Action::Task(task) = &state.planned(at.step).action else {
            return Err(Rejection::Settled("the step has no attempts"));
        };
        match outputs::typed(&task.outputs, &exit.outputs) {
            Ok(typed) => exit.outputs = typed,
            Err(reason) => problem = Some(reason),
        }
    }
    let verdict = verdict::verdict(state, at, &exit.outcome, problem, append.at);
    let heard = state.notes.get(&report.attempt).map(|note| note.heard(append.at));
    append.emit(RunEvent::AttemptExited(Box::new(AttemptExited {
        step: report.step.clone(),
        attempt: report.attempt,
        epoch: report.epoch,
        exited_at: report.at,
        exit,
        heard,
        verdict,
    })));
    Ok(())
}

/// Only the last word of an attempt that was given up as lost is worth keeping.
fn stale(append: &mut Append<'_>, report: &AttemptReport) -> Result<(), Rejection> {
    let ReportBody::Exited(exit) = &report.body else {
        return Err(Rejection::Settled("the attempt is over"));
    };
    let Some(note) = append.state.lost.get(&report.attempt) else {
        return Err(Rejection::Settled("the attempt is over"));
    };
    let heard = note.heard(append.at);
    append.emit(RunEvent::ReportStale(Box::new(ReportStale {
        step: report.step.clone(),
        attempt: report.attempt,
        epoch: report.epoch,
        said: exit.outcome.describe(),
        usage: Some(exit.usage.clone()),
        heard: Some(heard),
    })));
    Ok(())
}

/// Nothing was heard of the attempt for too long, even after a kill: it is lost.
pub(in crate::run) fn give_up(
    append: &mut Append<'_>,
    attempt: AttemptId,
) -> Result<(), Rejection> {
    let Some(at) = append.state.live.get(&attempt).copied() else {
        return Err(Rejection::Settled("the timer no longer matters"));
    };
    let (state, now) = (&*append.state, append.at);
    let unit = state.unit(at);
    let outcome = Outcome::Lost { detail: "no word from the executor".to_string() };
    let mut exit = silent_exit(outcome, now);
    if let Action::Task(task) = &state.planned(at.step).action {
        exit.usage.executor.clone_from(&task.executor);
        exit.usage.class.clone_from(&task.executor);
        exit.usage.requested = Requested::of(&task.resources);
    }
    if let Some(note) = state.notes.get(&attempt) {
        exit.usage.allocated_ms = note.planned.min(now);
        if let Some(class) = &note.class {
            exit.usage.class.clone_from(class);
        }
        // What was measured before says better where it was and since when.
        if let Some(seen) = &note.measured {
            exit.usage.node.clone_from(&seen.node);
            exit.usage.class.clone_from(&seen.class);
            (exit.usage.allocated_ms, exit.usage.started_ms) = (seen.allocated_ms, seen.started_ms);
        }
    }
    let report = AttemptReport {
        run: state.id(),
        step: state.key(at),
        attempt,
        epoch: unit.epoch,
        at: now,
        body: ReportBody::Exited(Box::new(exit.clone())),
    };
    exited(append, at, &report, exit)
}

/// An end of which nothing was measured.
fn silent_exit(outcome: Outcome, now: Timestamp) -> AttemptExit {
    let usage = Usage {
        executor: String::new(),
        class: "standard".to_string(),
        node: String::new(),
        allocated_ms: now,
        released_ms: now,
        started_ms: None,
        requested: Requested::default(),
        used: Used::default(),
        source: UsageSource::None,
        quality: UsageQuality::Estimated,
        outcome: outcome.name().to_string(),
        fault: Fault::Infra,
    };
    AttemptExit {
        outcome,
        usage,
        outputs: Default::default(),
        output_error: None,
        artifacts: Default::default(),
        log: LogSummary::default(),
        leftover_processes: 0,
    }
}
