//! Which spans end with a fact, and what is told of them.

use super::{Span, SpanKind, Spans, words};
use crate::ids::StepKey;
use crate::run::event::{RunStatus, TimerFired, TimerKind};
use crate::run::{RunEvent, RunFact, StepBody, UnitStatus};
use crate::time::Timestamp;
use crate::trace::SpanId;

impl Spans {
    /// Tells the steps that are done. What a fact says of one step can end others only where it
    /// stops them; then all that are open are looked at.
    pub(super) fn close_steps(&mut self, fact: &RunFact, ended: &mut Vec<Span>) {
        let at = fact.at;
        let named = step_of(&fact.event);
        match (&fact.event, named) {
            (
                RunEvent::CancelRequested(_)
                | RunEvent::TimerFired(TimerFired { timer: TimerKind::Run })
                | RunEvent::Signaled(_)
                | RunEvent::Finished(_),
                _,
            ) => {
                let over = matches!(fact.event, RunEvent::Finished(_));
                // Children go before the step that holds them.
                let open: Vec<StepKey> = self.steps.keys().rev().cloned().collect();
                for key in open {
                    self.close(&key, at, over, ended);
                }
            }
            (_, Some(key)) => {
                let key = key.clone();
                self.close(&key, at, false, ended);
                if key.split().1.is_some() {
                    self.close_whole(&StepKey::new(key.split().0), at, ended);
                } else {
                    // An empty fan-out is over as soon as it is known.
                    self.close_whole(&key, at, ended);
                }
            }
            _ => {}
        }
    }

    /// A step that fans out is done when its children are; those that were cancelled with it
    /// have no fact of their own.
    fn close_whole(&mut self, key: &StepKey, at: Timestamp, ended: &mut Vec<Span>) {
        if !self.status(key).is_some_and(UnitStatus::is_done) {
            return;
        }
        let first = StepKey::new(&format!("{key}["));
        let children: Vec<StepKey> = self
            .steps
            .range(first.clone()..)
            .map(|(child, _)| child)
            .take_while(|child| child.as_str().starts_with(first.as_str()))
            .cloned()
            .collect();
        for child in children {
            self.close(&child, at, true, ended);
        }
        self.close(key, at, false, ended);
    }

    /// Tells a step if it is done, or in any case where the run is `over`.
    fn close(&mut self, key: &StepKey, at: Timestamp, over: bool, ended: &mut Vec<Span>) {
        let status = self.status(key).unwrap_or(UnitStatus::Canceled);
        if !status.is_done() && !over {
            return;
        }
        let Some(mut step) = self.steps.remove(key) else { return };
        if step.reason.is_empty() {
            step.reason = self.reason(key).unwrap_or_default();
        }
        if let Some(wait) = step.wait.take() {
            ended.push(wait.ended(key, at, self.span(), self.run(), Vec::new()));
        }
        let (name, child) = key.split();
        let parent = match child {
            None => self.span().span,
            Some(_) => SpanId::of_step(self.run(), &StepKey::new(name)),
        };
        ended.push(step.ended(key, status, at, self.span(), self.run(), parent));
    }

    pub(super) fn run_span(&mut self, at: Timestamp, status: RunStatus, reason: &str) -> Span {
        let facts = self.state.facts().clone();
        let above = facts.asked_within();
        let mut attributes = vec![
            ("dagbook.run", words::text(&facts.run.to_string())),
            ("dagbook.run.number", words::count(facts.number)),
            ("dagbook.run.status", words::text(status.as_str())),
            ("dagbook.run.trigger", words::text(&facts.trigger)),
            ("dagbook.run.steps", words::count(self.state.steps.len() as u64)),
            ("dagbook.run.attempts", words::count(u64::from(self.attempts_told))),
            ("dagbook.tenant", words::text(facts.tenant.as_str())),
            ("dagbook.pipeline", words::text(&facts.pipeline)),
        ];
        if let Some(earlier) = facts.retry_of {
            attributes.push(("dagbook.run.retry_of", words::text(&earlier.to_string())));
        }
        if let Some(parent) = &facts.parent {
            attributes.push(("dagbook.parent_run", words::text(&parent.run.to_string())));
        }
        Span {
            kind: SpanKind::Run,
            context: facts.span(),
            parent: above.map(|above| above.span),
            parent_is_remote: above.is_some() && facts.parent.is_none(),
            name: format!("run {}", facts.pipeline),
            start: self.state.submitted_at,
            end: at.max(self.state.submitted_at),
            status: words::run_status(status, reason),
            attributes,
            events: std::mem::take(&mut self.events),
            dropped_events: self.dropped_events,
        }
    }

    fn status(&self, key: &StepKey) -> Option<UnitStatus> {
        let (name, child) = key.split();
        if child.is_none()
            && let Some(step) = self.state.find_step(name)
            && let StepBody::FanOut(fan) = &self.state.step(step).body
        {
            // A look through the children is not needed to know that it goes on.
            return Some(fan.result.unwrap_or(UnitStatus::Due));
        }
        self.state.find(key).map(|at| self.state.unit(at).status)
    }

    /// What the run itself knows of why the unit ended as it did, where no fact said it in words:
    /// an answer of a person, or a time that was over.
    fn reason(&self, key: &StepKey) -> Option<String> {
        let unit = self.state.unit(self.state.find(key)?);
        unit.result.as_ref().map(|result| result.reason.clone())
    }
}

/// The step or child that a fact is about.
fn step_of(event: &RunEvent) -> Option<&StepKey> {
    match event {
        RunEvent::StepExpanded(e) => Some(&e.step),
        RunEvent::StepSkipped(e) => Some(&e.step),
        RunEvent::StepFailed(e) => Some(&e.step),
        RunEvent::StepReused(e) => Some(&e.step),
        RunEvent::ApprovalGiven(e) => Some(&e.step),
        RunEvent::ChildFinished(e) => Some(&e.step),
        RunEvent::AttemptExited(e) => Some(&e.step),
        RunEvent::TimerFired(e) => match &e.timer {
            TimerKind::Queue(step)
            | TimerKind::Total(step)
            | TimerKind::Approval(step)
            | TimerKind::Sleep(step) => Some(step),
            _ => None,
        },
        _ => None,
    }
}
