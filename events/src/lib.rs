//! What can happen in a pipeline, what it means, and where it is kept.
//!
//! The default build of this crate does no input or output and reads no clock, no randomness
//! and no environment: time, ids and chance arrive as data. The adapters of the ports are
//! behind features (`in-process`, `sqlite`, `keys`).
//!
//! Reading order: [`ids`], [`time`], [`value`], then [`dag`] (what an author wrote),
//! [`step`] (one attempt), [`run`] (a whole run), then [`ports`] and the journal.

pub mod digest;
pub mod ids;
pub mod time;
pub mod trace;
pub mod value;

pub mod access;
pub mod admission;
pub mod aggregate;
pub mod billing;
pub mod dag;
pub mod effect;
pub mod invariants;
pub mod pipeline;
pub mod project;
pub mod rating;
pub mod reconciliation;
mod recorded;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod step;
pub mod tenant;

pub mod canonical;
pub mod codec;
pub mod envelope;
pub mod tlog;

pub mod ports;

#[cfg(feature = "in-process")]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "adapters read the clock, and their look-up tables are never walked"
)]
pub mod journal;

#[cfg(feature = "conformance")]
#[allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it measures deadlines of real adapters"
)]
pub mod conformance;
