//! Where events are kept: the adapters of the ports.
//!
//! This module knows envelopes, streams and numbers; it does not know what a run is.
//!
//! Reading order: [`committer`] decides batches against a [`backend`]; [`group_commit`] queues
//! callers in front of it; `store` holds the two stores.

mod backend;
mod committer;
mod fault;
mod group_commit;
mod guard;
mod request;
mod wake;

pub mod blobs;
pub mod bus;
#[cfg(feature = "keys")]
pub mod checkpoints;
pub mod clock;
#[cfg(feature = "keys")]
pub mod keys;
pub mod reconcile;
pub mod store;
pub mod verify;

pub use fault::{Fault, Faults};
pub use guard::{Guard, GuardState};
