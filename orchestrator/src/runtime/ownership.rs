//! Which process drives a run. Correctness never rests on it (expected versions do that work);
//! it keeps two processes from asking executors for the same things.

use std::any::Any;

use dagbook_events::ids::RunId;

/// Proof that this process drives the run; dropping it gives the run up.
pub type Owned = Box<dyn Any + Send>;

/// Knows who drives what.
pub trait Ownership: Send + Sync {
    /// Takes the run, unless another living process has it.
    fn take(&self, run: RunId) -> std::io::Result<Option<Owned>>;
    /// The run is over: nobody needs to own it any more.
    fn over(&self, run: RunId);
    /// Whether some living process has it.
    fn is_taken(&self, run: RunId) -> bool;
}

/// For a store that only one process uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOwnership;

impl Ownership for NoOwnership {
    fn take(&self, _run: RunId) -> std::io::Result<Option<Owned>> {
        Ok(Some(Box::new(())))
    }

    fn over(&self, _run: RunId) {}

    fn is_taken(&self, _run: RunId) -> bool {
        false
    }
}
