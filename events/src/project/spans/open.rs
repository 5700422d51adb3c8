//! Spans that have begun and not ended.

use super::{Attribute, Span, SpanEvent, SpanKind, keep, words};
use crate::ids::{Epoch, RunId, StepKey};
use crate::run::UnitStatus;
use crate::run::event::{AttemptExited, AttemptPlanned, AttemptStarted};
use crate::step::Outcome;
use crate::time::Timestamp;
use crate::trace::{SpanId, TraceContext};

type Attributes = Vec<(&'static str, Attribute)>;

/// A step or child that was due at least once.
#[derive(Debug)]
pub(super) struct OpenStep {
    since: Timestamp,
    pub(super) attempts: u32,
    pub(super) reason: String,
    pub(super) wait: Option<OpenWait>,
    pub(super) attributes: Attributes,
    events: Vec<SpanEvent>,
    dropped_events: u32,
}

/// A wait for something else than an attempt.
#[derive(Debug)]
pub(super) struct OpenWait {
    pub(super) since: Timestamp,
    pub(super) kind: &'static str,
    pub(super) attributes: Attributes,
}

/// An attempt that is planned.
#[derive(Debug)]
pub(super) struct OpenAttempt {
    step: StepKey,
    epoch: Epoch,
    executor: String,
    planned_at: Timestamp,
    due: Timestamp,
    node: Option<String>,
    pub(super) events: Vec<SpanEvent>,
    pub(super) dropped_events: u32,
}

impl OpenStep {
    pub(super) fn since(since: Timestamp) -> Self {
        Self {
            since,
            attempts: 0,
            reason: String::new(),
            wait: None,
            attributes: Vec::new(),
            events: Vec::new(),
            dropped_events: 0,
        }
    }

    pub(super) fn event(&mut self, name: &'static str, at: Timestamp, about: Attributes) {
        keep(&mut self.events, &mut self.dropped_events, name, at, about);
    }

    pub(super) fn ended(
        self,
        key: &StepKey,
        status: UnitStatus,
        at: Timestamp,
        run_span: TraceContext,
        run: RunId,
        parent: SpanId,
    ) -> Span {
        let mut attributes = vec![
            ("dagbook.run", words::text(&run.to_string())),
            ("dagbook.step", words::text(key.as_str())),
            ("dagbook.step.status", words::text(status.as_str())),
            ("dagbook.step.attempts", words::count(u64::from(self.attempts))),
        ];
        if !self.reason.is_empty() {
            attributes.push(("dagbook.step.reason", words::text(&self.reason)));
        }
        attributes.extend(self.attributes);
        Span {
            kind: SpanKind::Step,
            context: run_span.with_span(SpanId::of_step(run, key)),
            parent: Some(parent),
            parent_is_remote: false,
            name: format!("step {key}"),
            start: self.since,
            end: at.max(self.since),
            status: words::step_status(status, &self.reason),
            attributes,
            events: self.events,
            dropped_events: self.dropped_events,
        }
    }
}

impl OpenWait {
    pub(super) fn ended(
        self,
        key: &StepKey,
        at: Timestamp,
        run_span: TraceContext,
        run: RunId,
        about: Attributes,
    ) -> Span {
        let mut attributes = vec![
            ("dagbook.run", words::text(&run.to_string())),
            ("dagbook.step", words::text(key.as_str())),
            ("dagbook.wait", words::text(self.kind)),
        ];
        attributes.extend(self.attributes);
        attributes.extend(about);
        Span {
            kind: SpanKind::Wait,
            context: run_span.with_span(SpanId::of_wait(run, key)),
            parent: Some(SpanId::of_step(run, key)),
            parent_is_remote: false,
            name: format!("{} {key}", self.kind),
            start: self.since,
            end: at.max(self.since),
            status: super::SpanStatus::Unset,
            attributes,
            events: Vec::new(),
            dropped_events: 0,
        }
    }
}

impl OpenAttempt {
    pub(super) fn planned(event: &AttemptPlanned, at: Timestamp, due: Timestamp) -> Self {
        Self {
            step: event.step.clone(),
            epoch: event.epoch,
            executor: event.executor.clone(),
            planned_at: at,
            due,
            node: None,
            events: Vec::new(),
            dropped_events: 0,
        }
    }

    pub(super) fn started(&mut self, event: &AttemptStarted) {
        let mut about = vec![("node", words::text(&event.node))];
        about.extend(event.pid.map(|pid| ("pid", words::count(u64::from(pid)))));
        self.node = Some(event.node.clone());
        let at = event.started_at.max(self.planned_at);
        keep(&mut self.events, &mut self.dropped_events, "started", at, about);
    }

    pub(super) fn ended(self, event: &AttemptExited, run_span: TraceContext, run: RunId) -> Span {
        let outcome = &event.exit.outcome;
        let mut attributes = vec![
            ("dagbook.run", words::text(&run.to_string())),
            ("dagbook.step", words::text(self.step.as_str())),
            ("dagbook.attempt", words::text(&event.attempt.to_string())),
            ("dagbook.attempt.number", words::count(u64::from(self.epoch.0))),
            ("dagbook.attempt.outcome", words::text(outcome.name())),
            ("dagbook.attempt.waited_ms", words::count(self.planned_at.since(self.due).0)),
            ("dagbook.executor", words::text(&self.executor)),
            ("dagbook.usage.cpu_ms", words::count(event.exit.usage.used.cpu_ms)),
            ("dagbook.usage.mem_peak_mib", words::count(event.exit.usage.used.mem_peak_mib)),
            ("dagbook.log.bytes", words::count(event.exit.log.bytes)),
        ];
        if let Outcome::Failed { exit_code } = outcome {
            let code = Attribute::Int(i64::from(*exit_code));
            attributes.push(("process.exit.code", code));
        }
        attributes.extend(self.node.as_deref().map(|node| ("host.name", words::text(node))));
        Span {
            kind: SpanKind::Attempt,
            context: run_span.with_span(SpanId::of_attempt(event.attempt)),
            parent: Some(SpanId::of_step(run, &self.step)),
            parent_is_remote: false,
            name: format!("attempt {} of {}", self.epoch, self.step),
            start: self.planned_at,
            end: event.exited_at.max(self.planned_at),
            status: words::outcome(outcome),
            attributes,
            events: self.events,
            dropped_events: self.dropped_events,
        }
    }
}
