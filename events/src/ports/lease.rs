//! Leases: who may act for a whole site now, and a number that proves it at every append.

use std::sync::Arc;

use async_trait::async_trait;

use super::ReadError;
use crate::time::{Millis, Timestamp};

/// A lease and the epoch under which it is held. An append that carries it is refused once
/// someone else holds the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Name of the lease, such as `engine`.
    pub lease: Arc<str>,
    /// The epoch, from 1; it grows whenever the lease is taken. A new one is at least the
    /// milliseconds of the store's clock, so that a store that was put back to an older state
    /// does not give the same one to somebody else; between two of them there are gaps.
    pub epoch: u64,
}

/// A lease as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name and epoch.
    pub fence: Fence,
    /// Who holds it.
    pub holder: String,
    /// Until when, by the store's clock, unless it is renewed.
    pub expires_at: Timestamp,
}

/// What became of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It is ours.
    Held(Lease),
    /// Someone else holds it.
    TakenBy(Lease),
}

/// Leases, kept in the store that they fence. Time is the store's, so that holders need not
/// agree about theirs.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease where it is free or has expired, with an epoch of its own. A holder
    /// that asks again under its own name takes it anew: its earlier life is fenced off.
    async fn acquire(
        &self,
        lease: &str,
        holder: &str,
        lasting: Millis,
    ) -> Result<LeaseAnswer, ReadError>;
    /// Holds on to it. `None`: it was lost, to a later epoch or, in a store that was put back to
    /// an older state, to another holder under the same one.
    async fn renew(&self, held: &Lease, lasting: Millis) -> Result<Option<Lease>, ReadError>;
    /// Gives it up early; does nothing where it was lost.
    async fn release(&self, fence: &Fence) -> Result<(), ReadError>;
    /// How it stands; `None`: nobody ever held it.
    async fn lease(&self, lease: &str) -> Result<Option<Lease>, ReadError>;
}
