//! Deciding: what a command makes happen, or why it is refused. Only the dispatch is here;
//! each command has its own file, and what follows from it is in `settle`.

use super::command::{Ask, Rejection, RunCommand};
use super::commands;
use super::event::{RunEvent, RunFact};
use super::evolve::apply;
use super::settle;
use super::state::RunState;
use crate::time::Timestamp;

/// What the command makes happen. Pure: the state is not touched.
pub fn decide(state: &RunState, command: &RunCommand) -> Result<Vec<RunFact>, Rejection> {
    handle(&mut state.clone(), command)
}

/// Decides and folds in one go, so that a run of any size is updated in place. When it is
/// refused, the state is unchanged.
pub fn handle(state: &mut RunState, command: &RunCommand) -> Result<Vec<RunFact>, Rejection> {
    let mut append = Append { state, at: command.at, facts: Vec::new() };
    match &command.ask {
        Ask::Submit(submitted) => commands::submit::submit(&mut append, submitted)?,
        _ if append.state.submitted.is_none() => return Err(Rejection::Unborn),
        Ask::Admit => commands::control::admit(&mut append)?,
        Ask::Refuse => commands::control::refuse(&mut append)?,
        Ask::Pause { comment } => commands::control::pause(&mut append, comment)?,
        Ask::Resume { comment } => commands::control::resume(&mut append, comment)?,
        Ask::Cancel { cause, reason, force } => {
            commands::cancel::cancel(&mut append, *cause, reason, *force)?;
        }
        Ask::Signal { name } => commands::control::signal(&mut append, name)?,
        Ask::Approve { step, approved, comment } => {
            commands::approve::approve(&mut append, step, *approved, comment)?;
        }
        Ask::Timer(timer) => commands::timer::timer(&mut append, timer)?,
        Ask::Plan(unit, planning) => commands::plan::plan(&mut append, *unit, planning)?,
        Ask::Observe(report) => commands::observe::observe(&mut append, report)?,
        Ask::CacheAnswer { step, hit } => commands::cache::answer(&mut append, step, hit)?,
        Ask::ChildFinished { step, run, status, outputs, reason } => {
            let finished = super::event::ChildFinished {
                step: step.clone(),
                run: *run,
                status: *status,
                outputs: outputs.clone(),
                reason: reason.clone(),
            };
            commands::child::finished(&mut append, finished)?;
        }
    }
    settle::settle(&mut append);
    Ok(append.facts)
}

/// The events of one command, each folded as it is decided.
pub(super) struct Append<'a> {
    /// The run, up to date with the events.
    pub(super) state: &'a mut RunState,
    /// The command's stamp.
    pub(super) at: Timestamp,
    facts: Vec<RunFact>,
}

impl Append<'_> {
    /// Decides that this happens.
    pub(super) fn emit(&mut self, event: RunEvent) {
        let fact = RunFact { at: self.at, event };
        apply(self.state, &fact);
        self.facts.push(fact);
    }
}
