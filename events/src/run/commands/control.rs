//! Admission to the concurrency group, pause, resume, signals.

use super::open;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{Admitted, ByPerson, Finished, RunEvent, RunStatus, Signaled};
use crate::run::state::Phase;

pub(in crate::run) fn admit(append: &mut Append<'_>) -> Result<(), Rejection> {
    if append.state.phase != Phase::Queued {
        return Err(Rejection::Settled("it is not queued"));
    }
    let group = append.state.plan.concurrency.as_ref().map(|c| c.group.clone());
    append.emit(RunEvent::Admitted(Admitted { group: group.unwrap_or_default() }));
    Ok(())
}

pub(in crate::run) fn refuse(append: &mut Append<'_>) -> Result<(), Rejection> {
    if append.state.phase != Phase::Queued {
        return Err(Rejection::Settled("it is not queued"));
    }
    let group = append.state.plan.concurrency.as_ref().map(|c| c.group.as_str());
    let reason = format!("concurrency group `{}` is full", group.unwrap_or_default());
    append.emit(RunEvent::Finished(Finished { status: RunStatus::Rejected, reason }));
    Ok(())
}

pub(in crate::run) fn pause(append: &mut Append<'_>, comment: &str) -> Result<(), Rejection> {
    open(append.state)?;
    if append.state.paused {
        return Err(Rejection::Settled("it is paused already"));
    }
    append.emit(RunEvent::Paused(ByPerson { comment: comment.to_string() }));
    Ok(())
}

pub(in crate::run) fn resume(append: &mut Append<'_>, comment: &str) -> Result<(), Rejection> {
    open(append.state)?;
    if !append.state.paused {
        return Err(Rejection::Settled("it is not paused"));
    }
    append.emit(RunEvent::Resumed(ByPerson { comment: comment.to_string() }));
    Ok(())
}

pub(in crate::run) fn signal(append: &mut Append<'_>, name: &str) -> Result<(), Rejection> {
    open(append.state)?;
    if append.state.signals.contains(name) {
        return Err(Rejection::Settled("that event arrived before"));
    }
    append.emit(RunEvent::Signaled(Signaled { name: name.to_string() }));
    Ok(())
}
