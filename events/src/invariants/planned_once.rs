//! An attempt id is planned once, and a step or child has one live attempt at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, violation};
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut live = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                if !seen.insert(e.attempt) {
                    let message = format!("attempt {} of `{}` is planned again", e.attempt, e.step);
                    found.push(violation("planned_once", version, message));
                }
                if let Some(other) = live.insert(e.step.clone(), e.attempt) {
                    let message = format!(
                        "attempt {} of `{}` is planned while attempt {other} lives",
                        e.attempt, e.step
                    );
                    found.push(violation("planned_once", version, message));
                }
            }
            RunEvent::AttemptExited(e) if live.get(&e.step) == Some(&e.attempt) => {
                live.remove(&e.step);
            }
            _ => {}
        }
    }
    found
}
