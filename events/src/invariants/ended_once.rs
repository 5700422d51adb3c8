//! Every attempt that was planned has one end at most, and one exactly once the run is over.

use std::collections::BTreeMap;

use super::{Violation, violation};
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut ends = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => drop(ends.entry(e.attempt).or_insert(0u32)),
            RunEvent::AttemptExited(e) => {
                let count = ends.entry(e.attempt).or_default();
                *count += 1;
                if *count > 1 {
                    let message = format!("attempt {} of `{}` ended again", e.attempt, e.step);
                    found.push(violation("ended_once", version, message));
                }
            }
            RunEvent::Finished(_) => {
                for (attempt, _) in ends.iter().filter(|(_, count)| **count == 0) {
                    let message = format!("the run is over and attempt {attempt} has no end");
                    found.push(violation("ended_once", version, message));
                }
            }
            _ => {}
        }
    }
    found
}
