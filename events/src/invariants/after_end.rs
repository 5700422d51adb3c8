//! The first event is the submission, the end comes once, and only stale reports follow it.

use super::{Violation, violation};
use crate::run::{RunEvent, RunFact};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut end = None;
    for (version, fact) in facts.iter().enumerate() {
        let kind = fact.event.kind();
        let submission = matches!(fact.event, RunEvent::Submitted(_));
        if submission != (version == 0) {
            let message = format!("`{kind}` stands where it cannot");
            found.push(violation("after_end", version, message));
        }
        if let Some(end) = end
            && !matches!(fact.event, RunEvent::ReportStale(_))
        {
            let message = format!("`{kind}` after the run ended at event {end}");
            found.push(violation("after_end", version, message));
        }
        if matches!(fact.event, RunEvent::Finished(_)) {
            end.get_or_insert(version);
        }
    }
    found
}
