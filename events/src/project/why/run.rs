//! Reasons of a whole run.

use super::{Explanation, Reason, Surroundings, unit_said, waiting};
use crate::project::attempts::RunView;
use crate::project::summary::run_status;
use crate::run::{Phase, UnitStatus};

/// Units that are named one by one.
const SHOWN: usize = 20;

/// Explains a run as a whole.
///
/// # Panics
/// Before the run's first event.
pub fn why_run(view: &RunView, around: &Surroundings) -> Explanation {
    let state = &view.state;
    let (reasons, commands) = match state.phase {
        Phase::Finished(_) => ended(view, around),
        Phase::Queued => (queued(view, around), Vec::new()),
        _ => goes_on(view, around),
    };
    Explanation { step: None, status: run_status(state), reasons, commands }
}

fn ended(view: &RunView, around: &Surroundings) -> (Vec<Reason>, Vec<String>) {
    let state = &view.state;
    let run = state.id();
    if view.reason.is_empty() {
        return (vec![Reason::new("succeeded", "every step succeeded or was skipped")], vec![]);
    }
    let mut reasons = vec![Reason::new("ended", view.reason.clone())];
    let mut commands = Vec::new();
    for (at, unit) in state.units().filter(|(_, u)| u.status == UnitStatus::Failed).take(SHOWN) {
        let key = state.key(at);
        let said = unit_said(view, at, unit, around);
        for reason in said.reasons {
            let text = format!("`{key}`: {}", reason.text);
            reasons.push(Reason { text, ..reason }.of_step(key.clone()));
        }
        if commands.is_empty() {
            commands = said.commands;
        }
    }
    commands.push(format!("dagbook retry {run} --from-failed"));
    (reasons, commands)
}

fn queued(view: &RunView, around: &Surroundings) -> Vec<Reason> {
    let Some(group) = &view.state.plan.concurrency else {
        return vec![Reason::new("queue", "it waits for its place")];
    };
    if let Some(wait) = around.waits.get(&0) {
        let text = format!("its concurrency group `{}` has room, but ", group.group);
        return vec![Reason::of_place(&text, wait)];
    }
    let (name, limit) = (&group.group, group.limit);
    let text = format!("its concurrency group `{name}` takes {limit} at one time");
    let mut reasons = vec![Reason::new("concurrency_group", text)];
    for holder in around.holders.iter().take(SHOWN) {
        let text = format!("run {holder} holds a place");
        reasons.push(Reason::new("holder", text).of_run(*holder));
    }
    reasons
}

fn goes_on(view: &RunView, around: &Surroundings) -> (Vec<Reason>, Vec<String>) {
    let state = &view.state;
    let run = state.id();
    let mut reasons = Vec::new();
    let mut commands = Vec::new();
    if let Some(cancel) = &state.cancel {
        let why = match cancel.reason.is_empty() {
            true => String::new(),
            false => format!(": {}", cancel.reason),
        };
        reasons.push(Reason::new("canceling", format!("it is being cancelled{why}")));
    }
    if state.paused {
        reasons.push(Reason::new("paused", "it is paused: no more steps start"));
        commands.push(format!("dagbook resume {run}"));
    }
    if around.is_driven == Some(false) {
        reasons.push(waiting::interrupted());
        commands.push(format!("dagbook run --resume {run}"));
    }
    let acting = |status: UnitStatus| !status.is_done() && status != UnitStatus::Waiting;
    for (at, unit) in state.units().filter(|(_, unit)| acting(unit.status)).take(SHOWN) {
        let key = state.key(at);
        let said = unit_said(view, at, unit, around);
        if let Some(first) = said.reasons.into_iter().next() {
            let text = format!("`{key}` is {}: {}", unit.status.as_str(), first.text);
            reasons.push(Reason { text, ..first }.of_step(key));
        }
        if matches!(unit.status, UnitStatus::Held(_)) {
            commands.extend(said.commands);
        }
    }
    if reasons.is_empty() {
        reasons.push(Reason::new("running", "its next step is about to start"));
    }
    (reasons, commands)
}
