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
            Ask::Plan(..) => "plan",
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
        ReportBody::Usage(_) => "Measured",
        ReportBody::Exited(_) => "Exited",
    }
}

/// Cells that reports can reach. No report brings `Offered`, `Submitted` or `Preparing` yet, so
/// neither these states nor these observations are among them.
pub fn reachable() -> Vec<(AttemptState, &'static str)> {
    use AttemptState as S;
    let states = [S::Planned, S::Pending, S::Running, S::Stopping, S::Suspect, S::Exited];
    let hidden = [Observation::Offered, Observation::Submitted, Observation::Preparing];
    let words = ["Pending", "Started", "Stopping", "Suspected", "Recovered", "Measured", "Exited"];
    debug_assert_eq!(words.len() + hidden.len(), Observation::ALL.len());
    states.iter().flat_map(|state| words.iter().map(|word| (*state, *word))).collect()
}

/// Every type of event that a run's history can hold.
pub const EVENTS: [&str; 28] = [
    "run.submitted",
    "run.admitted",
    "run.paused",
    "run.resumed",
    "run.cancel_requested",
    "run.signaled",
    "timer.fired",
    "run.finished",
    "step.expanded",
    "step.skipped",
    "step.failed",
    "cache.asked",
    "cache.missed",
    "step.reused",
    "approval.requested",
    "approval.given",
    "wait.started",
    "child.requested",
    "child.finished",
    "attempt.planned",
    "attempt.pending",
    "attempt.started",
    "attempt.stopping",
    "attempt.suspected",
    "attempt.recovered",
    "usage.checkpoint",
    "attempt.exited",
    "report.stale",
];

/// Every command that comes from outside. The engine itself admits, refuses and plans, which
/// `run.admitted`, `run rejected` and `attempt.planned` show.
pub const ASKS: [&str; 10] = [
    "submit",
    "pause",
    "resume",
    "cancel",
    "signal",
    "approve",
    "timer",
    "observe",
    "cache answer",
    "child finished",
];

/// What the world does beside its business.
pub const MARKS: [&str; 21] = [
    "ambiguous",
    "answer lost",
    "append refused",
    "busy",
    "cache hit",
    "cache miss",
    "clock jump",
    "conflict",
    "crash",
    "early timer",
    "foreign append",
    "foreign holder",
    "held for money",
    "impossible",
    "report lost",
    "report repeated",
    "retry",
    "run rejected",
    "spending read",
    "stop forgotten",
    "stopped before start",
];
