//! What must be true of every history, one property a file. The same functions serve unit
//! tests, the simulation, and `dagbook replay --verify`.
//!
//! A check reads a run's whole history, oldest first, and never panics on a damaged one.

mod after_end;
mod checkpoints;
mod ended_once;
mod epochs;
mod holds;
mod limits;
mod one_outcome;
mod planned_first;
mod planned_once;
mod replays;
mod slots;
mod steps_done;
mod when_rules;

use std::fmt;

use crate::ids::{AttemptId, StepKey};
use crate::run::{RunEvent, RunFact};

/// A history that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule: the name of its file here.
    pub rule: &'static str,
    /// Version of the event within the run's stream, from 0.
    pub version: u64,
    /// What is wrong, with the names and numbers that show it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (event {}): {}", self.rule, self.version, self.message)
    }
}

/// A property of a run's history.
pub type Check = fn(&[RunFact]) -> Vec<Violation>;

/// Every property with its name, cheapest first.
pub const ALL: [(&str, Check); 13] = [
    ("one_outcome", one_outcome::check),
    ("after_end", after_end::check),
    ("planned_once", planned_once::check),
    ("planned_first", planned_first::check),
    ("ended_once", ended_once::check),
    ("checkpoints", checkpoints::check),
    ("holds", holds::check),
    ("epochs", epochs::check),
    ("limits", limits::check),
    ("slots", slots::check),
    ("steps_done", steps_done::check),
    ("when_rules", when_rules::check),
    ("replays", replays::check),
];

/// Checks every property.
pub fn check_all(facts: &[RunFact]) -> Vec<Violation> {
    ALL.iter().flat_map(|(_, check)| check(facts)).collect()
}

fn violation(rule: &'static str, version: usize, message: String) -> Violation {
    Violation { rule, version: version as u64, message }
}

/// The attempt that an event speaks of, unless the event plans it or is a stale report.
fn reported(event: &RunEvent) -> Option<(AttemptId, &StepKey)> {
    Some(match event {
        RunEvent::AttemptPending(e) => (e.attempt, &e.step),
        RunEvent::AttemptStarted(e) => (e.attempt, &e.step),
        RunEvent::AttemptStopping(e)
        | RunEvent::AttemptSuspected(e)
        | RunEvent::AttemptRecovered(e) => (e.attempt, &e.step),
        RunEvent::UsageCheckpoint(e) => (e.attempt, &e.step),
        RunEvent::AttemptExited(e) => (e.attempt, &e.step),
        _ => return None,
    })
}
