//! What is odd about a history: counted, and shown to people.

use std::collections::BTreeMap;

use super::attempt::Found;

/// How many are named; all are counted.
pub const MOST_NAMED: usize = 1_000;

/// Something odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// What: the word of the invoice.
    pub kind: &'static str,
    /// The leaf.
    pub leaf_index: u64,
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// The attempt.
    pub attempt: String,
}

/// What was odd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// How often, by kind.
    pub counts: BTreeMap<String, u64>,
    /// The first thousand.
    pub named: Vec<Anomaly>,
}

impl Notes {
    pub(super) fn add(
        &mut self,
        kind: Found,
        leaf_index: u64,
        run: &str,
        step: &str,
        attempt: &str,
    ) {
        *self.counts.entry(kind.name().to_string()).or_default() += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push(Anomaly {
                kind: kind.name(),
                leaf_index,
                run: run.to_string(),
                step: step.to_string(),
                attempt: attempt.to_string(),
            });
        }
    }
}
