//! Whatever is said of an attempt, it was planned before, for the same step.

use std::collections::BTreeMap;

use super::{Violation, reported, violation};
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut planned = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        let (attempt, step) = match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                planned.insert(e.attempt, e.step.clone());
                continue;
            }
            RunEvent::ReportStale(e) => (e.attempt, &e.step),
            other => match reported(other) {
                Some(of) => of,
                None => continue,
            },
        };
        if planned.get(&attempt) != Some(step) {
            let kind = fact.event.kind();
            let message = format!("`{kind}` of attempt {attempt} of `{step}`, never planned");
            found.push(violation("planned_first", version, message));
        }
    }
    found
}
