//! What is recorded of an attempt for the bill: measurements while it runs, the orchestrator's own
//! clock, and the money that was put aside before it was started.

use serde::{Deserialize, Serialize};

use crate::billing::Whole;
use crate::ids::{AttemptId, StepKey};
use crate::step::Usage;
use crate::time::{Millis, Timestamp};

/// When things happened by the orchestrator's clock. Executors say when by theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// It was decided on.
    pub planned: Timestamp,
    /// Its start was heard of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started: Option<Timestamp>,
    /// Its end was heard of; while it runs, the measurement.
    pub exited: Timestamp,
}

/// `usage.checkpoint`: what an attempt used so far. The last one counts, and only as long as
/// nothing is known of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCheckpoint {
    /// The step or child.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Cumulative; `released_ms` is the instant of measurement.
    pub usage: Usage,
    /// The same by the orchestrator's clock.
    pub heard: Heard,
}

/// Money that is put aside for an attempt when it is planned, in the currency of the tenant's
/// rate card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Billionths of the currency's unit.
    pub nanos: Whole,
    /// How long it was taken to run.
    pub ms: Millis,
    /// Why so long.
    pub basis: HoldBasis,
}

/// Why an attempt was taken to run so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldBasis {
    /// Its timeout: too little is known of earlier ones.
    Timeout,
    /// All but one in twenty of the earlier ones took no longer.
    Recorded,
}

/// What a run remembers of an attempt until its end is known.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptNote {
    /// When it was decided on.
    pub planned: Timestamp,
    /// When its start was heard of.
    pub started: Option<Timestamp>,
    /// Price class of its executor, where that is not the executor's name.
    pub class: Option<String>,
    /// What was put aside for it.
    pub hold: Option<Hold>,
    /// What it used when that was last measured.
    pub measured: Option<Box<Usage>>,
}

impl AttemptNote {
    /// The instants by the orchestrator's clock.
    pub fn heard(&self, exited: Timestamp) -> Heard {
        Heard { planned: self.planned, started: self.started, exited }
    }

    /// Billionths that are held for it: what was put aside, or what it came to so far where it
    /// runs longer than it was taken to.
    pub fn held(&self) -> i128 {
        let Some(hold) = &self.hold else { return 0 };
        let ran = self.measured.as_ref().map_or(0, |usage| {
            i128::from(usage.released_ms.0.saturating_sub(usage.allocated_ms.0).max(0))
        });
        match i128::from(hold.ms.0) {
            0 => hold.nanos.0,
            ms => hold.nanos.0.max(hold.nanos.0.saturating_mul(ran) / ms),
        }
    }
}
