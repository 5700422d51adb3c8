//! Bugs that can be put in on purpose, so that a test can show that the simulation finds them.
//!
//! Only [`Engine::with_planted`] sets one, nothing outside the tests calls it, and the code
//! that each changes is marked by a question to `self.planted`; without one, nothing differs.

use super::Engine;

/// A bug to put in.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// An attempt that ends while its run is being cancelled does not give its slot back.
    SlotKept,
    /// Effects leave before the events behind them are durable.
    EffectsEarly,
    /// A late report of an earlier attempt is applied to the step's current one.
    LateReportApplied,
}

impl Engine {
    /// An engine with a bug.
    #[doc(hidden)]
    pub fn with_planted(mut self, bug: Option<Planted>) -> Self {
        self.planted = bug;
        self
    }

    pub(super) fn has_planted(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }
}
