//! Why a run or a step is where it is: every wait has a reason that can be asked for.

mod failed;
mod run;
mod waiting;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use run::why_run;

use super::attempts::RunView;
use super::rows::step_rows;
use crate::ids::{RunId, StepKey};
use crate::run::{StepBody, Unit, UnitRef, UnitStatus};
use crate::time::Timestamp;

/// Facts from outside the run that an explanation may rest on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Now.
    pub now: Timestamp,
    /// Runs that hold a place in the run's concurrency group, oldest first.
    pub holders: Vec<RunId>,
    /// Places of each executor, where they are known.
    pub slots: BTreeMap<String, u32>,
    /// Whether some process drives the run; none: not known.
    pub is_driven: Option<bool>,
    /// What admission says of the run's demands (by their index in its state) that wait for
    /// places; of a run that waits to begin, of the first.
    pub waits: BTreeMap<u16, PlaceWait>,
}

/// Why something waits for its place, as admission said it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceWait {
    /// A word for programs, such as `pool_full`.
    pub code: String,
    /// A sentence for people, without a full stop.
    pub text: String,
    /// The numbers, by name.
    pub figures: BTreeMap<String, u64>,
}

/// Why something is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The step; none for the run as a whole.
    pub step: Option<StepKey>,
    /// What it is now.
    pub status: &'static str,
    /// The reasons, the most important first. Never empty.
    pub reasons: Vec<Reason>,
    /// What can be typed about it.
    pub commands: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A word for programs, such as `needs` or `retry_wait`.
    pub code: Cow<'static, str>,
    /// A sentence for people, without a full stop.
    pub text: String,
    /// The numbers that it was decided on, by name.
    pub figures: BTreeMap<String, u64>,
    /// Another step that it rests on.
    pub step: Option<StepKey>,
    /// Another run that it rests on.
    pub run: Option<RunId>,
}

impl Reason {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        let figures = BTreeMap::new();
        Self { code: Cow::Borrowed(code), text: text.into(), figures, step: None, run: None }
    }

    /// What admission said, after some words that lead to it.
    fn of_place(before: &str, wait: &PlaceWait) -> Self {
        let code = Cow::Owned(wait.code.clone());
        let text = format!("{before}{}", wait.text);
        Self { code, text, figures: wait.figures.clone(), step: None, run: None }
    }

    fn of_step(mut self, step: StepKey) -> Self {
        self.step = Some(step);
        self
    }

    fn of_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }
}

/// What is said about one unit.
struct Said {
    reasons: Vec<Reason>,
    commands: Vec<String>,
}

impl Said {
    fn one(reason: Reason) -> Self {
        Self { reasons: vec![reason], commands: Vec::new() }
    }

    fn command(mut self, command: String) -> Self {
        self.commands.push(command);
        self
    }
}

/// Explains a step, one child of it, or (by the step's own key) all of its children together.
/// None: there is no such step.
pub fn why_step(view: &RunView, key: &StepKey, around: &Surroundings) -> Option<Explanation> {
    let state = &view.state;
    if let Some(at) = state.find(key) {
        let unit = state.unit(at);
        let said = unit_said(view, at, unit, around);
        return Some(Explanation {
            step: Some(key.clone()),
            status: unit.status.as_str(),
            reasons: said.reasons,
            commands: said.commands,
        });
    }
    why_fan_out(view, key, around)
}

fn unit_said(view: &RunView, at: UnitRef, unit: &Unit, around: &Surroundings) -> Said {
    match unit.status {
        UnitStatus::Waiting => waiting::needs(view, at),
        UnitStatus::Due => waiting::place(view, at, around),
        UnitStatus::Active(attempt, state) => waiting::attempt(view, at, attempt, state, around),
        UnitStatus::Backoff(until) => failed::retry(view, at, until, around),
        UnitStatus::Held(hold) => waiting::hold(view, at, hold, around),
        UnitStatus::Succeeded => succeeded(view, at, unit),
        UnitStatus::Failed => failed::failed(view, at, unit),
        UnitStatus::Skipped => {
            let why = unit.result.as_deref().map(|r| r.reason.clone()).unwrap_or_default();
            Said::one(Reason::new("skipped", format!("it was skipped: {why}")))
        }
        UnitStatus::Canceled => failed::canceled(view, at),
    }
}

fn succeeded(view: &RunView, at: UnitRef, unit: &Unit) -> Said {
    if let Some(run) = unit.result.as_deref().and_then(|r| r.reused_from) {
        let text = format!("it did not run: the result of run {run} was taken over");
        return Said::one(Reason::new("reused", text).of_run(run));
    }
    let attempts = view.attempts_of(&view.state.key(at)).len();
    let text = match attempts {
        0 => "it is done".to_string(),
        1 => "its first attempt succeeded".to_string(),
        n => format!("attempt {n} succeeded"),
    };
    Said::one(Reason::new("succeeded", text))
}

/// The whole of a fan-out: how its children stand, and the first ones that explain it.
fn why_fan_out(view: &RunView, key: &StepKey, around: &Surroundings) -> Option<Explanation> {
    const SHOWN: usize = 5;
    let state = &view.state;
    let step = state.find_step(key.as_str())?;
    let StepBody::FanOut(fan) = &state.step(step).body else { return None };
    let row = step_rows(view).into_iter().find(|row| row.step == *key)?;
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for child in &fan.children {
        *counts.entry(child.status.as_str()).or_default() += 1;
    }
    let counted: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let mut reasons = vec![Reason::new(
        "children",
        format!("of its {} children: {}", fan.children.len(), counted.join(", ")),
    )];
    let mut commands = Vec::new();
    let telling = (0u32..).zip(&fan.children).filter(|(_, child)| match fan.result {
        Some(_) => child.status == UnitStatus::Failed,
        None => !matches!(child.status, UnitStatus::Succeeded | UnitStatus::Due),
    });
    for (child, unit) in telling.take(SHOWN) {
        let at = UnitRef { step, child: Some(child) };
        let child = state.key(at);
        let said = unit_said(view, at, unit, around);
        if let Some(first) = said.reasons.into_iter().next() {
            let text = format!("`{child}`: {}", first.text);
            reasons.push(Reason { text, ..first }.of_step(child));
        }
        if commands.is_empty() {
            commands = said.commands;
        }
    }
    Some(Explanation { step: Some(key.clone()), status: row.status, reasons, commands })
}

/// A step key as a shell takes it.
fn quoted(key: &StepKey) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    match key.as_str().chars().all(plain) {
        true => key.to_string(),
        false => format!("'{}'", key.as_str().replace('\'', r"'\''")),
    }
}
