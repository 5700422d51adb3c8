//! What an attempt used so far is measured while it lives, later each time, and never decreases.

use std::collections::BTreeMap;

use super::{Violation, violation};
use crate::run::{RunEvent, RunFact};
use crate::step::Usage;

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last: BTreeMap<_, &Usage> = BTreeMap::new();
    let mut ended = BTreeMap::new();
    for (version, fact) in facts.iter().enumerate() {
        match &fact.event {
            RunEvent::UsageCheckpoint(e) => {
                let mut wrong = |what: &str| {
                    let message = format!("attempt {} of `{}` {what}", e.attempt, e.step);
                    found.push(violation("checkpoints", version, message));
                };
                if ended.contains_key(&e.attempt) {
                    wrong("is measured after its end");
                }
                if let Some(before) = last.insert(e.attempt, &e.usage) {
                    if e.usage.released_ms <= before.released_ms {
                        wrong("is measured at an instant before the last one");
                    }
                    let (now, then) = (&e.usage.used, &before.used);
                    if now.cpu_ms < then.cpu_ms
                        || now.mem_peak_mib < then.mem_peak_mib
                        || now.mem_mib_ms < then.mem_mib_ms
                        || now.egress_bytes < then.egress_bytes
                    {
                        wrong("used less than before");
                    }
                }
            }
            RunEvent::AttemptExited(e) => drop(ended.insert(e.attempt, ())),
            _ => {}
        }
    }
    found
}
