//! Reasons of what has not ended.

use super::{Reason, Said, Surroundings, quoted};
use crate::dag::{Action, Section, WaitFor};
use crate::ids::{AttemptId, StepKey};
use crate::project::attempts::RunView;
use crate::run::{HoldKind, Phase, RunState, StepBody, UnitRef};
use crate::step::AttemptState;

/// Its needs are not done.
pub(super) fn needs(view: &RunView, at: UnitRef) -> Said {
    let state = &view.state;
    let planned = state.planned(at.step);
    let open = planned.needs.iter().filter(|need| !state.step_status(**need).is_done());
    let mut reasons: Vec<Reason> = open
        .map(|need| {
            let name = StepKey::step(&state.planned(*need).name);
            let status = state.step_status(*need).as_str();
            Reason::new("needs", format!("it needs `{name}`, which is {status}")).of_step(name)
        })
        .collect();
    if planned.section == Section::Finally && state.phase == Phase::Running {
        let open = state.open_main;
        let text = format!("`finally` starts when the main part is over; {open} steps are left");
        reasons.push(Reason::new("main_part", text));
    }
    if reasons.is_empty() {
        let why = state.blocked().unwrap_or("its needs have just ended");
        reasons.push(Reason::new("run", format!("of the run: {why}")));
    }
    let mut said = Said { reasons, commands: Vec::new() };
    if let Some(step) = said.reasons.first().and_then(|reason| reason.step.clone()) {
        said.commands.push(format!("dagbook why {} {}", state.id(), quoted(&step)));
    }
    said
}

/// It may start, and has no place.
pub(super) fn place(view: &RunView, at: UnitRef, around: &Surroundings) -> Said {
    let state = &view.state;
    if let Some(why) = state.blocked() {
        let said = Said::one(Reason::new("run", format!("of the run: {why}")));
        return match state.paused {
            true => said.command(format!("dagbook resume {}", state.id())),
            false => said,
        };
    }
    if let Some(reason) = limit(state, at) {
        return Said::one(reason);
    }
    if let Some(wait) = around.waits.get(&state.step(at.step).pool) {
        return Said::one(Reason::of_place("it waits for a place: ", wait));
    }
    let pool = usize::from(state.step(at.step).pool);
    let name = state.pools.get(pool).map_or("", |demand| &*demand.executor);
    let held = state.pools.iter().zip(&state.active);
    let taken: u32 = held.filter(|(demand, _)| *demand.executor == *name).map(|(_, n)| n).sum();
    let text = match around.slots.get(name) {
        Some(slots) => format!(
            "it waits for a place: executor `{name}` has {slots}, this run holds {taken} of them"
        ),
        None => {
            format!("it waits for a place at executor `{name}`, where this run holds {taken}")
        }
    };
    let mut said = Said::one(Reason::new("place", text));
    if around.is_driven == Some(false) {
        said.reasons.insert(0, interrupted());
        said.commands.push(format!("dagbook run --resume {}", state.id()));
    }
    said
}

/// The run's or the fan-out's own bound.
fn limit(state: &RunState, at: UnitRef) -> Option<Reason> {
    let active = state.active_total();
    if let Some(max) = state.plan.max_parallel.filter(|max| active >= *max) {
        let text = format!("the run's `max_parallel` is {max}, and {active} attempts are live");
        return Some(Reason::new("max_parallel", text));
    }
    let max = state.planned(at.step).max_parallel?;
    let StepBody::FanOut(fan) = &state.step(at.step).body else {
        return None;
    };
    let busy = fan.busy;
    (busy >= max).then(|| {
        let text = format!("the step's `max_parallel` is {max}, and {busy} children are busy");
        Reason::new("max_parallel", text)
    })
}

pub(super) fn interrupted() -> Reason {
    Reason::new("interrupted", "no process drives the run: the one that did has gone")
}

/// An attempt is planned or runs.
pub(super) fn attempt(
    view: &RunView,
    at: UnitRef,
    attempt: AttemptId,
    seen: AttemptState,
    around: &Surroundings,
) -> Said {
    let state = &view.state;
    let key = state.key(at);
    let found = view.attempts_of(&key).iter().rev().find(|a| a.attempt == attempt);
    let number = state.unit(at).epoch;
    let since = found.and_then(|a| a.started_at).map(|started| around.now.since(started));
    let node = found.and_then(|a| a.node.as_deref()).unwrap_or("its executor");
    let reason = match seen {
        AttemptState::Running => {
            let span = since.map(|s| format!(" for {s}")).unwrap_or_default();
            Reason::new("running", format!("attempt {number} has been running on {node}{span}"))
        }
        AttemptState::Stopping => {
            Reason::new("stopping", format!("attempt {number} was told to stop and is stopping"))
        }
        AttemptState::Suspect => {
            Reason::new("suspect", format!("contact with attempt {number} on {node} is lost"))
        }
        _ => match found.and_then(|a| a.pending.as_ref()) {
            Some(pending) => Reason::new(
                "pending",
                format!("attempt {number} waits at its executor: {}", pending.message),
            ),
            None => Reason::new("starting", format!("attempt {number} is being started")),
        },
    };
    let mut said = Said::one(reason);
    if around.is_driven == Some(false) {
        said.reasons.push(interrupted());
        said.commands.push(format!("dagbook run --resume {}", state.id()));
    }
    said.command(format!("dagbook logs {} {} --follow", state.id(), quoted(&key)))
}

/// It waits for something else than an attempt.
pub(super) fn hold(view: &RunView, at: UnitRef, hold: HoldKind, around: &Surroundings) -> Said {
    let state = &view.state;
    let (run, key) = (state.id(), state.key(at));
    match hold {
        HoldKind::Approval => {
            let Action::Approval(approval) = &state.planned(at.step).action else {
                return Said::one(Reason::new("approval", "it waits for an answer"));
            };
            let waited = around.now.since(state.unit(at).span.0);
            let until = match approval.timeout {
                None => String::new(),
                Some(limit) => format!(" of at most {limit}"),
            };
            let text =
                format!("it waits for the approval of a {} (since {waited}{until})", approval.role);
            Said::one(Reason::new("approval", text))
                .command(format!("dagbook approve {run} {}", quoted(&key)))
                .command(format!("dagbook reject {run} {}", quoted(&key)))
        }
        HoldKind::Wait(Some(until)) => {
            let left = until.since(around.now);
            Said::one(Reason::new("wait", format!("it waits until {until}, {left} from now")))
        }
        HoldKind::Wait(None) => match &state.planned(at.step).action {
            Action::Wait(WaitFor::Event(name)) => {
                Said::one(Reason::new("event", format!("it waits for the event `{name}`")))
                    .command(format!("dagbook signal {run} {name}"))
            }
            _ => Said::one(Reason::new("wait", "it waits")),
        },
        HoldKind::Child(child) => {
            let text = format!("its sub-DAG goes on as run {child}");
            Said::one(Reason::new("sub_dag", text).of_run(child))
                .command(format!("dagbook why {child}"))
        }
        HoldKind::Cache => Said::one(Reason::new("cache", "earlier results are being looked for")),
    }
}
