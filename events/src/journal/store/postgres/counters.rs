//! What the writer has cost so far, as counts that do not depend on the machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PostgresCounters {
    /// Batches that were written from memory, in one round trip.
    pub fast: u64,
    /// Batches that were asked for under the lock and written then.
    pub slow: u64,
    /// Writes from memory that were refused because what was remembered did not hold; the same
    /// batch then counts as slow, too.
    pub stale: u64,
    /// Times that an answer of the server was waited for, without those for a new connection.
    pub round_trips: u64,
    /// Statements that were sent.
    pub statements: u64,
    /// Connections that were made.
    pub connections: u64,
}

/// The counts as the writer keeps them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) fast: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) stale: AtomicU64,
    round_trips: AtomicU64,
    statements: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl Counters {
    /// One round trip that carries so many statements.
    pub(super) fn trip(&self, statements: u64) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        self.statements.fetch_add(statements, Ordering::Relaxed);
    }

    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> PostgresCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PostgresCounters {
            fast: get(&self.fast),
            slow: get(&self.slow),
            stale: get(&self.stale),
            round_trips: get(&self.round_trips),
            statements: get(&self.statements),
            connections: get(&self.connections),
        }
    }
}
