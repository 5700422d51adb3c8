//! What a person sees while a run goes on: moving lines on a terminal, plain lines elsewhere,
//! and a summary at the end. It folds the run from what became durable, as anyone could.

mod live;
mod plain;
mod summary;
mod words;

use dagbook_events::run::{RunFact, RunState};
use dagbook_events::time::Timestamp;

pub use live::Live;
pub use plain::Plain;
pub use summary::print as print_summary;

/// A display of one run.
pub trait Progress {
    /// Facts became durable; the state is the one after them.
    fn facts(&mut self, state: &RunState, facts: &[RunFact]);
    /// Time passed.
    fn tick(&mut self, state: &RunState, now: Timestamp);
    /// Something to say beside the run's own facts.
    fn note(&mut self, text: &str);
    /// The run is over, or will not be watched any longer.
    fn close(&mut self);
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn facts(&mut self, _state: &RunState, _facts: &[RunFact]) {}
    fn tick(&mut self, _state: &RunState, _now: Timestamp) {}
    fn note(&mut self, _text: &str) {}
    fn close(&mut self) {}
}
