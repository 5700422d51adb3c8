//! Every attempt ends at most once, and nothing is said of it after its end.

use std::collections::BTreeMap;

use super::{Violation, reported, violation};
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut ended = BTreeMap::new();
    let mut found = Vec::new();
    for (version, fact) in facts.iter().enumerate() {
        let Some((attempt, step)) = reported(&fact.event) else { continue };
        if let Some(first) = ended.get(&attempt) {
            let kind = fact.event.kind();
            let message =
                format!("`{kind}` of attempt {attempt} of `{step}`, which ended at event {first}");
            found.push(violation("one_outcome", version, message));
        }
        if matches!(fact.event, RunEvent::AttemptExited(_)) {
            ended.entry(attempt).or_insert(version);
        }
    }
    found
}
