//! Where events are kept: the adapters of the ports.
//!
//! This module knows envelopes, streams and numbers; it does not know what a run is.
//!
//! Reading order: [`book`] decides one batch, [`committer`] asks a [`backend`] for what it
//! touches and has it written; [`group_commit`] queues callers in front of it; `store` holds the
//! stores. Then the second copy: the [`relay`] keeps it, [`reconcile`] compares with it,
//! [`recovery`] gets back from it what a store has lost. Then what is proven: `checkpoints`
//! signs heads and publishes them with their `tiles` as [`objects`], and the `witness` checks
//! them against the [`copy`]. What is old may leave the store for the tiles: `archive`.

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
mod shelf;
mod wake;

#[cfg(feature = "keys")]
pub mod archive;
pub mod blobs;
#[cfg(feature = "keys")]
pub mod bundle;
pub mod bus;
#[cfg(feature = "keys")]
pub mod checkpoints;
pub mod clock;
pub mod copy;
#[cfg(feature = "keys")]
pub mod keys;
pub mod objects;
pub mod recent;
pub mod reconcile;
pub mod recovery;
pub mod relay;
pub mod scratch;
pub mod store;
#[cfg(feature = "keys")]
pub mod tiles;
pub mod verify;
#[cfg(feature = "keys")]
pub mod witness;

pub use fault::{Fault, Faults};
pub use guard::{Guard, GuardState};
