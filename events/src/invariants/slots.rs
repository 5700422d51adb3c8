//! No slot leaks: the fold's counts are those of the live attempts, and none is left at the end.

use std::collections::BTreeSet;

use super::{Violation, violation};
use crate::run::{RunEvent, RunFact, fold};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let mut live = BTreeSet::new();
    for fact in facts {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => drop(live.insert(e.attempt)),
            RunEvent::AttemptExited(e) => drop(live.remove(&e.attempt)),
            _ => {}
        }
    }
    let state = fold(facts);
    let last = facts.len().saturating_sub(1);
    let mut found = Vec::new();
    if state.is_finished() && !live.is_empty() {
        let message = format!("the run ended and {} attempts live", live.len());
        found.push(violation("slots", last, message));
    }
    if state.active_total() as usize != live.len() || state.live.len() != live.len() {
        let message = format!(
            "{} attempts live, {} slots are taken, {} attempts are known",
            live.len(),
            state.active_total(),
            state.live.len()
        );
        found.push(violation("slots", last, message));
    }
    found
}
