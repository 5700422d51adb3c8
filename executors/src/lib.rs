//! How to make an attempt run somewhere, and tell the truth about it.
//!
//! An executor starts attempts, stops them and reports what happened. It never decides about
//! retries, order or money.
//!
//! Reading order: [`port`] (the contract), [`scripted`] (an executor that does as it is told,
//! for tests and benchmarks), then [`local`] (processes of this machine). The law book of the
//! contract is `conformance`.

pub mod archive;
pub mod capability;
pub mod clock;
mod hub;
pub mod port;
pub mod registry;
pub mod request;
pub mod scripted;
pub mod secrets;

#[cfg(feature = "local")]
pub mod local;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use capability::Capabilities;
pub use clock::SystemClock;
pub use hub::Reports;
pub use port::{
    AttemptState, CancelAnswer, CancelMode, Executor, ExecutorError, Handle, LogChunk, LogError,
    LogQuery, Recovery, StartError,
};
pub use registry::Registry;
pub use scripted::{Behavior, Script, ScriptedExecutor};
pub use secrets::{NoSecrets, SecretError, SecretSource};
