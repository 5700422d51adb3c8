//! The trace of a run: its steps, attempts and waits as spans, made from recorded facts alone.
//!
//! A span is told when it ends, and not before. Its ids are derived from what is recorded
//! ([`crate::trace`]), so whoever folds the same history tells the same spans; one that takes a
//! run over folds what came before without telling it again.

mod close;
mod open;
mod words;

use std::collections::BTreeMap;

use self::open::{OpenAttempt, OpenStep};
use crate::ids::{AttemptId, RunId, StepKey};
use crate::run::event::{TimerKind, Verdict};
use crate::run::{RunEvent, RunFact, RunState, evolve};
use crate::time::Timestamp;
use crate::trace::{SpanId, TraceContext};

/// Events that one span keeps; what comes after is counted.
const MOST_EVENTS: usize = 64;

/// Characters of a text in an attribute.
const MOST_TEXT: usize = 1_000;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it is of.
    pub kind: SpanKind,
    /// Itself.
    pub context: TraceContext,
    /// The span that it belongs to.
    pub parent: Option<SpanId>,
    /// Whether that one was told by somebody else.
    pub parent_is_remote: bool,
    /// Such as `step train`.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended; never before it began.
    pub end: Timestamp,
    /// How.
    pub status: SpanStatus,
    /// Facts about it, by name.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// Events that it did not keep.
    pub dropped_events: u32,
}

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanKind {
    /// A whole run.
    Run,
    /// A step, or one child of a step that fans out.
    Step,
    /// An attempt.
    Attempt,
    /// A wait for a person, a time, an event, or another run.
    Wait,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanStatus {
    /// Neither well nor badly: it was cancelled or skipped.
    Unset,
    /// As it should.
    Ok,
    /// Badly, and why.
    Error(String),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

/// Something that happened within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanEvent {
    /// What.
    pub name: &'static str,
    /// When.
    pub at: Timestamp,
    /// Facts about it.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Folds the facts of one run into spans.
#[derive(Debug)]
pub struct Spans {
    state: RunState,
    events: Vec<SpanEvent>,
    dropped_events: u32,
    steps: BTreeMap<StepKey, OpenStep>,
    attempts: BTreeMap<AttemptId, OpenAttempt>,
    attempts_told: u32,
}

impl Default for Spans {
    fn default() -> Self {
        Self::new()
    }
}

impl Spans {
    /// Before the first fact.
    pub fn new() -> Self {
        Self {
            state: RunState::unborn(),
            events: Vec::new(),
            dropped_events: 0,
            steps: BTreeMap::new(),
            attempts: BTreeMap::new(),
            attempts_told: 0,
        }
    }

    /// Goes on behind a history whose spans were told already, or are lost.
    pub fn behind<'a>(history: impl IntoIterator<Item = &'a RunFact>) -> Self {
        let mut spans = Self::new();
        for fact in history {
            spans.apply(fact);
        }
        spans
    }

    /// All spans of a history, in the order in which they end.
    pub fn of<'a>(history: impl IntoIterator<Item = &'a RunFact>) -> Vec<Span> {
        let mut spans = Self::new();
        history.into_iter().flat_map(|fact| spans.apply(fact)).collect()
    }

    /// The run as far as it was folded.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Takes one fact, and tells the spans that end with it.
    pub fn apply(&mut self, fact: &RunFact) -> Vec<Span> {
        self.before(fact);
        let state = std::mem::replace(&mut self.state, RunState::unborn());
        self.state = evolve(state, fact);
        let mut ended = Vec::new();
        if self.state.submitted.is_some() {
            self.after(fact, &mut ended);
        }
        ended
    }

    /// What is known of a fact before the state has changed.
    fn before(&mut self, fact: &RunFact) {
        let at = fact.at;
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                let due = self.since(&e.step, at);
                self.open_step(&e.step, due).attempts += 1;
                self.attempts.insert(e.attempt, OpenAttempt::planned(e, at, due));
            }
            RunEvent::StepExpanded(e) => drop(self.open_step(&e.step, at)),
            RunEvent::CacheAsked(e) => {
                let due = self.since(&e.step, at);
                self.open_step(&e.step, due).event("cache.asked", at, Vec::new());
            }
            RunEvent::StepReused(e) => {
                let due = self.since(&e.step, at);
                let from = words::text(&e.result.from_run.to_string());
                self.open_step(&e.step, due).attributes.push(("dagbook.reused_from", from));
            }
            RunEvent::StepSkipped(e) => {
                self.open_step(&e.step, at).reason.clone_from(&e.reason);
            }
            RunEvent::StepFailed(e) => {
                let due = self.since(&e.step, at);
                self.open_step(&e.step, due).reason.clone_from(&e.reason);
            }
            RunEvent::ApprovalRequested(e) => {
                let role = ("dagbook.approval.role", words::text(&e.role));
                self.wait(&e.step, at, "approval", vec![role]);
            }
            RunEvent::WaitStarted(e) => {
                let kind = if e.until.is_some() { "sleep" } else { "signal" };
                let until = e.until.map(|until| words::text(&until.to_rfc3339()));
                let until = until.map(|until| ("dagbook.wait.until", until));
                self.wait(&e.step, at, kind, until.into_iter().collect());
            }
            RunEvent::ChildRequested(e) => {
                let run = ("dagbook.child_run", words::text(&e.run.to_string()));
                let due = self.since(&e.step, at);
                self.open_step(&e.step, due).attributes.push(run);
            }
            _ => {}
        }
    }

    fn after(&mut self, fact: &RunFact, ended: &mut Vec<Span>) {
        let at = fact.at;
        match &fact.event {
            RunEvent::AttemptPending(e) => {
                let about = vec![
                    ("code", words::text(&e.reason.code)),
                    ("message", words::text(&e.reason.message)),
                ];
                self.attempt_event(e.attempt, "pending", at, about);
            }
            RunEvent::AttemptStarted(e) => {
                if let Some(attempt) = self.attempts.get_mut(&e.attempt) {
                    attempt.started(e);
                }
            }
            RunEvent::AttemptStopping(e) => self.attempt_event(e.attempt, "stopping", at, vec![]),
            RunEvent::AttemptSuspected(e) => {
                self.attempt_event(e.attempt, "suspected", at, vec![]);
            }
            RunEvent::AttemptRecovered(e) => {
                self.attempt_event(e.attempt, "recovered", at, vec![]);
            }
            RunEvent::AttemptExited(e) => {
                if let Some(attempt) = self.attempts.remove(&e.attempt) {
                    self.attempts_told += 1;
                    ended.push(attempt.ended(e, self.span(), self.run()));
                }
                if let Some(step) = self.steps.get_mut(&e.step) {
                    match &e.verdict {
                        Verdict::Retry { at: again, infra, reason } => {
                            let about = vec![
                                ("reason", words::text(reason)),
                                ("at", words::text(&again.to_rfc3339())),
                                ("infra", Attribute::Bool(*infra)),
                            ];
                            step.event("retry", at, about);
                        }
                        Verdict::Failed { reason } => step.reason.clone_from(reason),
                        Verdict::Succeeded | Verdict::Canceled => {}
                    }
                }
            }
            RunEvent::ApprovalGiven(e) => {
                let about = vec![("dagbook.approval.approved", Attribute::Bool(e.approved))];
                self.waited(&e.step, at, about, ended);
            }
            RunEvent::TimerFired(e) => {
                if let TimerKind::Sleep(step) | TimerKind::Approval(step) = &e.timer {
                    self.waited(step, at, Vec::new(), ended);
                }
                if e.timer == TimerKind::Run {
                    self.event("timeout", at, Vec::new());
                }
            }
            RunEvent::ChildFinished(e) => {
                if let Some(step) = self.steps.get_mut(&e.step) {
                    step.reason.clone_from(&e.reason);
                }
            }
            RunEvent::Admitted(e) => {
                self.event("admitted", at, vec![("group", words::text(&e.group))]);
            }
            RunEvent::Paused(_) => self.event("paused", at, Vec::new()),
            RunEvent::Resumed(_) => self.event("resumed", at, Vec::new()),
            RunEvent::Signaled(e) => {
                self.event("signaled", at, vec![("name", words::text(&e.name))])
            }
            RunEvent::CancelRequested(e) => {
                let about =
                    vec![("reason", words::text(&e.reason)), ("force", Attribute::Bool(e.force))];
                self.event("cancel_requested", at, about);
            }
            RunEvent::ReportStale(e) => {
                let about = vec![("step", words::text(e.step.as_str()))];
                self.event("report.stale", at, about);
            }
            _ => {}
        }
        self.close_steps(fact, ended);
        if let RunEvent::Finished(e) = &fact.event {
            ended.push(self.run_span(at, e.status, &e.reason));
        }
    }

    fn span(&self) -> TraceContext {
        self.state.facts().span()
    }

    fn run(&self) -> RunId {
        self.state.facts().run
    }

    /// Since when the unit could have gone on.
    fn since(&self, key: &StepKey, now: Timestamp) -> Timestamp {
        self.state.find(key).map_or(now, |at| self.state.unit(at).since.min(now))
    }

    fn open_step(&mut self, key: &StepKey, since: Timestamp) -> &mut OpenStep {
        if let (name, Some(_)) = key.split() {
            self.steps.entry(StepKey::new(name)).or_insert_with(|| OpenStep::since(since));
        }
        self.steps.entry(key.clone()).or_insert_with(|| OpenStep::since(since))
    }

    fn wait(
        &mut self,
        key: &StepKey,
        at: Timestamp,
        kind: &'static str,
        attributes: Vec<(&'static str, Attribute)>,
    ) {
        let due = self.since(key, at);
        self.open_step(key, due).wait = Some(open::OpenWait { since: at, kind, attributes });
    }

    fn waited(
        &mut self,
        key: &StepKey,
        at: Timestamp,
        about: Vec<(&'static str, Attribute)>,
        ended: &mut Vec<Span>,
    ) {
        if let Some(wait) = self.steps.get_mut(key).and_then(|step| step.wait.take()) {
            ended.push(wait.ended(key, at, self.span(), self.run(), about));
        }
    }

    fn event(&mut self, name: &'static str, at: Timestamp, about: Vec<(&'static str, Attribute)>) {
        keep(&mut self.events, &mut self.dropped_events, name, at, about);
    }

    fn attempt_event(
        &mut self,
        attempt: AttemptId,
        name: &'static str,
        at: Timestamp,
        about: Vec<(&'static str, Attribute)>,
    ) {
        if let Some(open) = self.attempts.get_mut(&attempt) {
            keep(&mut open.events, &mut open.dropped_events, name, at, about);
        }
    }
}

fn keep(
    events: &mut Vec<SpanEvent>,
    dropped: &mut u32,
    name: &'static str,
    at: Timestamp,
    attributes: Vec<(&'static str, Attribute)>,
) {
    if events.len() < MOST_EVENTS {
        events.push(SpanEvent { name, at, attributes });
    } else {
        *dropped = dropped.saturating_add(1);
    }
}
