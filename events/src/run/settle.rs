//! Consequences: after the cause of an append has been folded, everything that follows from it
//! without asking the world is decided here, in the same append.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::Append;
use super::event::{
    ApprovalRequested, CacheAsked, CacheMissed, ChildRequested, Finished, RunEvent, RunStatus,
    StepExpanded, StepFailed, StepReused, StepSkipped, WaitStarted,
};
use super::state::{RunState, StepBody, UnitRef, UnitStatus};
use super::view;
use crate::dag::{Action, FanOut, Section, StepIndex, Template, WaitFor, When};
use crate::digest::Sha256Digest;
use crate::ids::{RunId, StepKey};
use crate::value::Value;

/// Children of one `for_each`, at most (`dag-format.md`, Limits).
const FAN_OUT_MAX: usize = 50_000;

pub(super) fn settle(append: &mut Append<'_>) {
    while let Some(step) = append.state.fresh.pop() {
        settle_step(append, step);
    }
    let state = &*append.state;
    let over = state.open_main == 0 && state.open_finally == 0;
    if over && !state.is_finished() && state.submitted.is_some() {
        let (status, reason) = ending(state);
        append.emit(RunEvent::Finished(Finished { status, reason }));
    }
}

fn settle_step(append: &mut Append<'_>, step: StepIndex) {
    if append.state.step(step).is_done() || append.state.is_finished() {
        return;
    }
    if let StepBody::FanOut(_) = append.state.step(step).body {
        return stage_children(append, step);
    }
    let state = &*append.state;
    if !matches!(state.step_status(step), UnitStatus::Waiting | UnitStatus::Due) {
        return;
    }
    let key = StepKey::step(&state.planned(step).name);
    if let Some(reason) = skip_reason(state, step) {
        return append.emit(RunEvent::StepSkipped(StepSkipped { step: key, reason }));
    }
    match condition(state, step) {
        Err(reason) => return append.emit(RunEvent::StepFailed(StepFailed { step: key, reason })),
        Ok(Some(reason)) => {
            return append.emit(RunEvent::StepSkipped(StepSkipped { step: key, reason }));
        }
        Ok(None) => {}
    }
    match expansion(state, step) {
        Err(reason) => append.emit(RunEvent::StepFailed(StepFailed { step: key, reason })),
        Ok(Some((count, items))) => {
            append.emit(RunEvent::StepExpanded(StepExpanded { step: key, count, items }));
            stage_children(append, step);
        }
        Ok(None) => stage(append, UnitRef { step, child: None }),
    }
}

/// Why `when` skips the step.
fn skip_reason(state: &RunState, step: StepIndex) -> Option<String> {
    let planned = state.planned(step);
    let statuses = || planned.needs.iter().map(|need| (*need, state.step_status(*need)));
    let name = |need: StepIndex| &state.planned(need).name;
    if planned.needs.is_empty() {
        return None;
    }
    match planned.when {
        When::AllDone => None,
        When::AllSucceeded => {
            let (need, status) = statuses().find(|(_, s)| *s != UnitStatus::Succeeded)?;
            Some(match status {
                UnitStatus::Skipped => format!("it needs `{}`, which was skipped", name(need)),
                UnitStatus::Canceled => format!("it needs `{}`, which was cancelled", name(need)),
                _ => format!("it needs `{}`, which failed", name(need)),
            })
        }
        When::AnyFailed => {
            let any = statuses().any(|(_, s)| s == UnitStatus::Failed);
            (!any).then(|| "`when: any_failed`, and nothing that it needs failed".to_string())
        }
        When::AnySucceeded => {
            let any = statuses().any(|(_, s)| s == UnitStatus::Succeeded);
            (!any).then(|| "`when: any_succeeded`, and nothing that it needs succeeded".to_string())
        }
    }
}

/// Why `if` skips the step, or why it has no value.
fn condition(state: &RunState, step: StepIndex) -> Result<Option<String>, String> {
    let Some(condition) = &state.planned(step).condition else { return Ok(None) };
    let run = view::run_facts(state);
    let unit = UnitRef { step, child: None };
    match view::with_scope(state, unit, &run, |scope| condition.holds(scope)) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(format!("`if: {}` is false", condition.source()))),
        Err(error) => Err(format!("`if`: {error}")),
    }
}

type Expansion = (u32, Option<Arc<[Value]>>);

fn expansion(state: &RunState, step: StepIndex) -> Result<Option<Expansion>, String> {
    let count = |n: usize| match u32::try_from(n) {
        Ok(count) if n <= FAN_OUT_MAX => Ok(count),
        _ => Err(format!("`for_each` over {n} items; at most {FAN_OUT_MAX} are possible")),
    };
    match &state.planned(step).fan_out {
        FanOut::None => Ok(None),
        FanOut::Matrix(cells) => Ok(Some((count(cells.len())?, None))),
        FanOut::ForEach(template) => match evaluate(state, step, template)? {
            Value::List(items) => Ok(Some((count(items.len())?, Some(items)))),
            other => Err(format!(
                "`for_each` needs a list, and `{}` is {} `{}`",
                template.source(),
                article(other.type_name()),
                other.to_text().chars().take(60).collect::<String>()
            )),
        },
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn evaluate(state: &RunState, step: StepIndex, template: &Template) -> Result<Value, String> {
    let run = view::run_facts(state);
    let unit = UnitRef { step, child: None };
    view::with_scope(state, unit, &run, |scope| template.evaluate(scope))
        .map_err(|error| error.to_string())
}

/// Starts as many untouched children of a staged fan-out as there is room for.
fn stage_children(append: &mut Append<'_>, step: StepIndex) {
    loop {
        let max = append.state.planned(step).max_parallel;
        let StepBody::FanOut(fan) = &append.state.step(step).body else { return };
        let room = max.is_none_or(|max| fan.busy < max);
        let Some(child) = fan.next_new().filter(|_| room && fan.staged) else { return };
        stage(append, UnitRef { step, child: Some(child) });
    }
}

/// What has to be found out or asked before (or instead of) an attempt at the unit.
fn stage(append: &mut Append<'_>, at: UnitRef) {
    let state = &*append.state;
    let step = state.key(at);
    let reusing = match &state.step(at.step).body {
        StepBody::Single(_) => true,
        StepBody::FanOut(fan) => fan.reusing,
    };
    if let Some(result) = state.reuse_for(&step).filter(|_| reusing) {
        let result = result.clone();
        return append.emit(RunEvent::StepReused(StepReused { step, result }));
    }
    let event = match &state.planned(at.step).action {
        Action::Task(task) => match &task.cache {
            Some(policy) if !state.unit(at).cache_checked => cache_key(state, at, &policy.key)
                .map(|key| RunEvent::CacheAsked(CacheAsked { step: step.clone(), key })),
            _ if at.child.is_some() => {
                Ok(RunEvent::CacheMissed(CacheMissed { step: step.clone() }))
            }
            _ => return,
        },
        Action::Approval(approval) => message(state, at, approval.message.as_ref()).map(|text| {
            let role = approval.role.clone();
            RunEvent::ApprovalRequested(ApprovalRequested {
                step: step.clone(),
                role,
                message: text,
            })
        }),
        Action::Wait(wait) => Ok(RunEvent::WaitStarted(WaitStarted {
            step: step.clone(),
            until: match wait {
                WaitFor::For(span) => Some(append.at + *span),
                WaitFor::Until(instant) => Some(*instant),
                WaitFor::Event(_) => None,
            },
        })),
        Action::SubDag(_) => child_params(state, at).map(|params| {
            let run = child_run(state.id(), &step, append.at);
            RunEvent::ChildRequested(ChildRequested { step: step.clone(), run, params })
        }),
    };
    append.emit(event.unwrap_or_else(|reason| RunEvent::StepFailed(StepFailed { step, reason })));
}

/// The parameters that a sub-DAG gets.
pub(super) fn child_params(
    state: &RunState,
    at: UnitRef,
) -> Result<BTreeMap<String, Value>, String> {
    let Action::SubDag(dag) = &state.planned(at.step).action else { return Ok(BTreeMap::new()) };
    let run = view::run_facts(state);
    let params = dag.params.iter().map(|(name, template)| {
        let value = view::with_scope(state, at, &run, |scope| template.evaluate(scope));
        Ok((name.clone(), value.map_err(|e| e.to_string())?))
    });
    params.collect()
}

fn message(state: &RunState, at: UnitRef, template: Option<&Template>) -> Result<String, String> {
    let Some(template) = template else { return Ok(String::new()) };
    let run = view::run_facts(state);
    view::with_scope(state, at, &run, |scope| template.render(scope)).map_err(|e| e.to_string())
}

/// Pipeline, step and evaluated key: what makes two results interchangeable.
pub(super) fn cache_key(
    state: &RunState,
    at: UnitRef,
    key: &[Template],
) -> Result<Sha256Digest, String> {
    let run = view::run_facts(state);
    let mut text = format!("{}\n{}\n", state.plan.name, state.planned(at.step).name);
    for template in key {
        let value = view::with_scope(state, at, &run, |scope| template.evaluate(scope));
        let value = value.map_err(|e| e.to_string())?.to_leaf().to_string();
        text.push_str(&format!("{}:{value}\n", value.len()));
    }
    Ok(Sha256Digest::of(text.as_bytes()))
}

/// The id of a sub-DAG's run, derived as attempts' ids are.
fn child_run(parent: RunId, step: &StepKey, at: crate::time::Timestamp) -> RunId {
    let epoch = crate::ids::Epoch(0);
    RunId(super::render::attempt_id(parent, step, epoch, at).0)
}

fn ending(state: &RunState) -> (RunStatus, String) {
    let main = state.main_status();
    let finally = state.worst(Section::Finally);
    let status = match (main, finally) {
        (RunStatus::Succeeded, RunStatus::Succeeded) => RunStatus::Succeeded,
        (RunStatus::Succeeded, RunStatus::Canceled) => {
            state.cancel.as_ref().map_or(RunStatus::Canceled, |cancel| cancel.status())
        }
        (RunStatus::Succeeded, _) => RunStatus::Failed,
        (other, _) => other,
    };
    let reason = match (&state.cancel, status) {
        (_, RunStatus::Succeeded) => String::new(),
        (Some(cancel), _) => cancel.reason.clone(),
        (None, _) => failures(state),
    };
    (status, reason)
}

fn failures(state: &RunState) -> String {
    let mut names = state
        .plan
        .steps
        .iter()
        .zip(0u32..)
        .filter(|(_, index)| state.step_status(StepIndex(*index)) == UnitStatus::Failed)
        .map(|(planned, index)| (planned.name.as_str(), StepIndex(index)));
    let Some((first, index)) = names.next() else { return String::new() };
    let why = match &state.step(index).body {
        StepBody::Single(unit) => unit.result.as_ref().map(|r| r.reason.clone()),
        StepBody::FanOut(fan) => Some(format!("{} of {} failed", fan.failed, fan.children.len())),
    };
    let why = why.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
    match names.count() {
        0 => format!("step `{first}` failed{why}"),
        more => format!("step `{first}` failed{why} (and {more} more)"),
    }
}
