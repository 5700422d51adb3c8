//! What the simulation has walked through: cells of the attempt machine, kinds of events, kinds
//! of commands.

use std::collections::BTreeMap;

use dagbook_events::run::{Ask, RunFact};
use dagbook_events::step::{AttemptState, Observation, ReportBody};

/// Visits, by what was visited.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Reports by the state that they found the attempt in.
    pub cells: BTreeMap<(AttemptState, &'static str), u64>,
    /// Recorded events by type.
    pub events: BTreeMap<&'static str, u64>,
    /// Commands that came in from outside the engine.
    pub asks: BTreeMap<&'static str, u64>,
    /// Faults and other things that happened.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts what another saw too.
    pub fn add(&mut self, other: &Self) {
        for (key, n) in &other.cells {
            *self.cells.entry(*key).or_default() += n;
        }
        let pairs = [
            (&mut self.events, &other.events),
            (&mut self.asks, &other.asks),
            (&mut self.marks, &other.marks),
        ];
        for (mine, theirs) in pairs {
            for (key, n) in theirs {
                *mine.entry(key).or_default() += n;
            }
        }
    }

    /// Something happened.
    pub fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    pub(super) fn cell(&mut self, state: AttemptState, body: &ReportBody) {
        *self.cells.entry((state, word(body))).or_default() += 1;
    }

    pub(super) fn fact(&mut self, fact: &RunFact) {
        *self.events.entry(fact.event.kind()).or_default() += 1;
    }

    pub(super) fn ask(&mut self, ask: &Ask) {
        let word = match ask {
            Ask::Submit(_) => "submit",
            Ask::Admit => "admit",
            Ask::Refuse => "refuse",
            Ask::Pause { .. } => "pause",
            Ask::Resume { .. } => "resume",
            Ask::Cancel { .. } => "cancel",
            Ask::Signal { .. } => "signal",
            Ask::Approve { .. } => "approve",
            Ask::Timer(_) => "timer",
            Ask::Plan(_) => "plan",
            Ask::Observe(_) => "observe",
            Ask::CacheAnswer { .. } => "cache answer",
            Ask::ChildFinished { .. } => "child finished",
        };
        *self.asks.entry(word).or_default() += 1;
    }
}

/// The observation that a report brings, as the machine's table names it.
pub fn word(body: &ReportBody) -> &'static str {
    match body {
        ReportBody::Pending { .. } => "Pending",
        ReportBody::Started { .. } => "Started",
        ReportBody::Stopping => "Stopping",
        ReportBody::Suspect => "Suspected",
        ReportBody::Recovered => "Recovered",
        ReportBody::Exited(_) => "Exited",
    }
}

/// Cells that reports can reach. No report brings `Offered`, `Submitted` or `Preparing` yet, so
/// neither these states nor these observations are among them.
pub fn reachable() -> Vec<(AttemptState, &'static str)> {
    use AttemptState as S;
    let states = [S::Planned, S::Pending, S::Running, S::Stopping, S::Suspect, S::Exited];
    let hidden = [Observation::Offered, Observation::Submitted, Observation::Preparing];
    let words = ["Pending", "Started", "Stopping", "Suspected", "Recovered", "Exited"];
    debug_assert_eq!(words.len() + hidden.len(), Observation::ALL.len());
    states.iter().flat_map(|state| words.iter().map(|word| (*state, *word))).collect()
}
