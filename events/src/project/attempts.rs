//! A run with the history of its attempts, which its live state has no need to keep.

use std::collections::BTreeMap;

use crate::ids::{AttemptId, Epoch, StepKey};
use crate::run::event::Verdict;
use crate::run::{RunEvent, RunFact, RunState, evolve};
use crate::step::{LogSummary, Outcome, PendingReason, Usage};
use crate::time::Timestamp;

/// A run and all its attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// The run as it is.
    pub state: RunState,
    /// Attempts by step or child, oldest first.
    pub attempts: BTreeMap<StepKey, Vec<AttemptView>>,
    /// When the run ended.
    pub finished_at: Option<Timestamp>,
    /// Why it ended as it did; empty when it succeeded or goes on.
    pub reason: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptView {
    /// Its id.
    pub attempt: AttemptId,
    /// Its number within the step, from 1.
    pub epoch: Epoch,
    /// The executor's name.
    pub executor: String,
    /// When it was decided on.
    pub planned_at: Timestamp,
    /// What it waits for at its executor, while it does.
    pub pending: Option<PendingReason>,
    /// When it started, by the executor's clock.
    pub started_at: Option<Timestamp>,
    /// The machine.
    pub node: Option<String>,
    /// The process.
    pub pid: Option<u32>,
    /// How it ended.
    pub end: Option<AttemptEnd>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptEnd {
    /// When, by the executor's clock.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Its log.
    pub log: LogSummary,
    /// What followed for the step.
    pub verdict: Verdict,
}

impl RunView {
    /// A run before its first event.
    pub fn unborn() -> Self {
        Self {
            state: RunState::unborn(),
            attempts: BTreeMap::new(),
            finished_at: None,
            reason: String::new(),
        }
    }

    /// Folds a history.
    pub fn fold<'a>(facts: impl IntoIterator<Item = &'a RunFact>) -> Self {
        let mut view = Self::unborn();
        for fact in facts {
            view.apply(fact);
        }
        view
    }

    /// Adds one fact.
    pub fn apply(&mut self, fact: &RunFact) {
        self.note(fact);
        let before = std::mem::replace(&mut self.state, RunState::unborn());
        self.state = evolve(before, fact);
    }

    /// The attempts of a step or child, oldest first.
    pub fn attempts_of(&self, step: &StepKey) -> &[AttemptView] {
        self.attempts.get(step).map_or(&[], Vec::as_slice)
    }

    fn note(&mut self, fact: &RunFact) {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                self.attempts.entry(e.step.clone()).or_default().push(AttemptView {
                    attempt: e.attempt,
                    epoch: e.epoch,
                    executor: e.executor.clone(),
                    planned_at: fact.at,
                    pending: None,
                    started_at: None,
                    node: None,
                    pid: None,
                    end: None,
                });
            }
            RunEvent::AttemptPending(e) => {
                if let Some(attempt) = self.find(&e.step, e.attempt) {
                    attempt.pending = Some(e.reason.clone());
                }
            }
            RunEvent::AttemptStarted(e) => {
                if let Some(attempt) = self.find(&e.step, e.attempt) {
                    attempt.pending = None;
                    attempt.started_at = Some(e.started_at);
                    attempt.node = Some(e.node.clone());
                    attempt.pid = e.pid;
                }
            }
            RunEvent::AttemptExited(e) => {
                if let Some(attempt) = self.find(&e.step, e.attempt) {
                    attempt.pending = None;
                    attempt.end = Some(AttemptEnd {
                        at: e.exited_at,
                        outcome: e.exit.outcome.clone(),
                        usage: e.exit.usage.clone(),
                        log: e.exit.log.clone(),
                        verdict: e.verdict.clone(),
                    });
                }
            }
            RunEvent::Finished(e) => {
                self.finished_at = Some(fact.at);
                self.reason.clone_from(&e.reason);
            }
            _ => {}
        }
    }

    fn find(&mut self, step: &StepKey, attempt: AttemptId) -> Option<&mut AttemptView> {
        self.attempts.get_mut(step)?.iter_mut().rev().find(|view| view.attempt == attempt)
    }
}
