//! Fencing numbers of a step's attempts are 1, 2, 3, … and an end carries its attempt's.

use std::collections::BTreeMap;

use super::{Violation, violation};
use crate::ids::Epoch;
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last: BTreeMap<_, Epoch> = BTreeMap::new();
    let mut of = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                let next = last.get(&e.step).copied().unwrap_or_default().next();
                if e.epoch != next {
                    let message =
                        format!("attempt of `{}` has epoch {}, not {next}", e.step, e.epoch);
                    found.push(violation("epochs", version, message));
                }
                last.insert(e.step.clone(), e.epoch);
                of.insert(e.attempt, e.epoch);
            }
            RunEvent::AttemptExited(e) if of.get(&e.attempt) != Some(&e.epoch) => {
                let message = format!("the end of attempt {} has epoch {}", e.attempt, e.epoch);
                found.push(violation("epochs", version, message));
            }
            _ => {}
        }
    }
    found
}
