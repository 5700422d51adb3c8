//! Reasons of what did not succeed, or not at the first attempt.

use super::{Reason, Said, Surroundings, quoted};
use crate::project::attempts::{AttemptEnd, RunView};
use crate::run::{RunState, StepBody, Unit, UnitRef};
use crate::step::{Fault, StopCause};
use crate::time::Timestamp;

/// It waits between attempts.
pub(super) fn retry(view: &RunView, at: UnitRef, until: Timestamp, around: &Surroundings) -> Said {
    let key = view.state.key(at);
    let policy = &view.state.planned(at.step).retry;
    let left = until.since(around.now);
    let last = last_end(view, at);
    let (ended, allowed) = match last {
        Some((n, end)) if end.outcome.fault() == Fault::Infra => (
            format!("attempt {n} ended with {}", end.outcome.describe()),
            format!("infrastructure faults may cost {} attempts", policy.infra_attempts),
        ),
        Some((n, end)) => (
            format!("attempt {n} ended with {}", end.outcome.describe()),
            format!("`retry` allows {} attempts", policy.max_attempts),
        ),
        None => ("an attempt failed".to_string(), "`retry` allows another".to_string()),
    };
    let text = format!("it is tried again in {left}, because {ended} and {allowed}");
    let said = Said::one(Reason::new("retry_wait", text));
    with_log(said, view, at, &key)
}

/// It failed.
pub(super) fn failed(view: &RunView, at: UnitRef, unit: &Unit) -> Said {
    let key = view.state.key(at);
    let recorded = unit.result.as_deref().map(|r| r.reason.clone()).unwrap_or_default();
    let Some((number, end)) = last_end(view, at) else {
        return Said::one(Reason::new(
            "failed",
            format!("it failed without an attempt: {recorded}"),
        ));
    };
    let outcome = end.outcome.describe();
    let mut text = format!("it failed because attempt {number} ended with {outcome}");
    if recorded != outcome && !recorded.is_empty() {
        text = format!("it failed: {recorded} (attempt {number}: {outcome})");
    }
    let mut said = Said::one(Reason::new("failed", text));
    said.reasons.push(Reason::new("no_retry", no_further(view, at, unit, end)));
    if end.log.bytes == 0 {
        said.reasons.push(Reason::new("log", "it wrote nothing to its log"));
    }
    with_log(said, view, at, &key)
}

/// Why there was no further attempt.
fn no_further(view: &RunView, at: UnitRef, unit: &Unit, end: &AttemptEnd) -> String {
    let policy = &view.state.planned(at.step).retry;
    if unit.exhausted {
        return "there was no further attempt: `timeout.total` is used up".to_string();
    }
    if view.state.cancel.is_some() {
        return "there was no further attempt: the run was being cancelled".to_string();
    }
    let key = view.state.key(at);
    let ends = view.attempts_of(&key).iter().filter_map(|a| a.end.as_ref());
    let (infra, own): (Vec<_>, Vec<_>) = ends.partition(|end| end.outcome.fault() == Fault::Infra);
    let (used, allowed, name) = match end.outcome.fault() {
        Fault::Infra => (infra.len(), policy.infra_attempts, "retry.infra_attempts"),
        _ => (own.len(), policy.max_attempts, "retry.max_attempts"),
    };
    if used >= allowed as usize {
        return match allowed {
            1 => format!("there was no further attempt: `{name}` is 1"),
            n => format!("there was no further attempt: all {n} of `{name}` are used"),
        };
    }
    if stopped_with_siblings(&view.state, at) {
        return "there was no further attempt: another child failed under `fail_fast`".to_string();
    }
    format!(
        "there was no further attempt: `retry` does not name this kind of end ({})",
        end.outcome.describe()
    )
}

/// It was cancelled, or never started because of a cancel.
pub(super) fn canceled(view: &RunView, at: UnitRef) -> Said {
    let state = &view.state;
    if stopped_with_siblings(state, at) && state.cancel.is_none() {
        let text = "it was stopped because another child failed under `fail_fast`";
        return Said::one(Reason::new("fail_fast", text));
    }
    let why = match &state.cancel {
        Some(cancel) if cancel.cause == StopCause::Timeout => {
            "the run took longer than its timeout".to_string()
        }
        Some(cancel) if !cancel.reason.is_empty() => {
            format!("the run was cancelled: {}", cancel.reason)
        }
        _ => "the run was cancelled".to_string(),
    };
    let started = state.unit(at).epoch.0 > 0;
    let what = if started { "it was stopped" } else { "it never started" };
    Said::one(Reason::new("canceled", format!("{what} because {why}")))
}

fn stopped_with_siblings(state: &RunState, at: UnitRef) -> bool {
    matches!(&state.step(at.step).body, StepBody::FanOut(fan) if fan.stopping)
}

/// The last attempt that ended, with its number.
fn last_end(view: &RunView, at: UnitRef) -> Option<(u32, &AttemptEnd)> {
    let attempts = view.attempts.get(&view.state.key(at))?;
    attempts.iter().rev().find_map(|a| Some((a.epoch.0, a.end.as_ref()?)))
}

fn with_log(said: Said, view: &RunView, at: UnitRef, key: &crate::ids::StepKey) -> Said {
    match last_end(view, at) {
        Some((number, end)) if end.log.bytes > 0 => said.command(format!(
            "dagbook logs {} {} --attempt {number} --tail 20",
            view.state.id(),
            quoted(key)
        )),
        _ => said,
    }
}
