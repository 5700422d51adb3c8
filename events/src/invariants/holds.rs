//! Money is held for live attempts only: for each that was planned with a hold, until its end.

use std::collections::BTreeSet;

use super::{Violation, violation};
use crate::run::{RunFact, fold};

pub(super) fn check(facts: &[RunFact]) -> Vec<Violation> {
    let state = fold(facts);
    let last = facts.len().saturating_sub(1);
    let mut found = Vec::new();
    let noted: BTreeSet<_> = state.notes.keys().collect();
    let live: BTreeSet<_> = state.live.keys().collect();
    if noted != live {
        let message = format!("{} attempts live and {} are noted", live.len(), noted.len());
        found.push(violation("holds", last, message));
    }
    let held: i128 = state.notes.values().map(crate::run::AttemptNote::held).sum();
    if held != state.held_nanos {
        let message = format!("{} nano-units are held, the notes say {held}", state.held_nanos);
        found.push(violation("holds", last, message));
    }
    found
}
