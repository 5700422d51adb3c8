//! Every recorded command decided again gives the recorded events.

use super::{Violation, violation};
use crate::run::{RunFact, fold, replay};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let (state, findings) = replay(facts);
    let mut found: Vec<Violation> = findings
        .into_iter()
        .map(|finding| Violation {
            rule: "replays",
            version: finding.version,
            message: finding.message,
        })
        .collect();
    if found.is_empty() && state != fold(facts) {
        let last = facts.len().saturating_sub(1);
        let message = "the state decided again is not the state folded".to_string();
        found.push(violation("replays", last, message));
    }
    found
}
