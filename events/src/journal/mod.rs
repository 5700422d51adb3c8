//! Where events are kept: the adapters of the ports.
//!
//! This module knows envelopes, streams and numbers; it does not know what a run is.
//!
//! Reading order: [`book`] decides one batch, [`committer`] asks a [`backend`] for what it
//! touches and has it written; [`group_commit`] queues callers in front of it; `store` holds the
//! stores.

mod backend;
mod book;
mod committer;
mod fault;
mod group_commit;
mod guard;
mod lease;
mod memory;
mod request;
mod restore;
mod wake;

pub mod blobs;
pub mod bus;
#[cfg(feature = "keys")]
pub mod checkpoints;
pub mod clock;
pub mod copy;
#[cfg(feature = "keys")]
pub mod keys;
pub mod objects;
pub mod reconcile;
pub mod recovery;
pub mod relay;
pub mod store;
pub mod verify;

pub use fault::{Fault, Faults};
pub use guard::{Guard, GuardState};
