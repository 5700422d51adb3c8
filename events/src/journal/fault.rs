//! Faults on order, so that tests can show what callers see when a commit goes wrong.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What goes wrong with one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store refuses before anything is written.
    Refuse,
    /// Everything is written, then the commit fails: nothing is kept.
    FailBeforeCommit,
    /// The commit succeeds and its answer is lost: the store must find out by itself.
    LoseAnswer,
    /// The commit succeeds, its answer is lost and the store cannot find out: callers hear
    /// that the outcome is unknown.
    UnknownCommitted,
    /// The same with a commit that failed.
    UnknownFailed,
}

/// Faults for the next batches, first in, first out.
#[derive(Debug, Default)]
pub struct Faults(Mutex<VecDeque<Fault>>);

impl Faults {
    /// Orders a fault for the next batch that has none yet.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    pub(super) fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
