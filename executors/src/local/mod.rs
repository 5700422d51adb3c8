//! Attempts as processes of this machine.
//!
//! A small supervisor process, the *shim*, stands between the orchestrator and each step. It
//! starts the step in a session and cgroup of its own, copies its output to the log, enforces
//! its bounds, and leaves a record of its end. So the orchestrator may come and go: a running
//! step notices nothing, and whoever comes next reads the record or adopts the shim.
//!
//! What an attempt has on disk, below the root folder:
//!
//! ```text
//! <attempt id>/            exists from the moment the attempt may run: the fence
//!   attempt.json           the spec and where everything is; written before anything starts
//!   lock                   held by the living shim; its content tells who that is
//!   cancel                 a request to stop, for the shim
//!   started, exit          what the shim saw
//!   report.json            the exit as it was reported, where it cannot be derived again
//!   output artifacts/ scratch/ work/ script secrets/      the step's own
//! .prepare-<attempt id>-<pid>   one that is not complete yet
//! .spare-<number>-<pid>         an empty one, to be taken again
//! ```
//!
//! Logs lie apart, `<logs>/<run>/<attempt>.log`, and stay. So does the journal of ended attempts,
//! `attempts.journal`, beside the root folder.

mod artifacts;
mod attempt;
pub mod cgroup;
mod config;
mod environment;
mod executor;
mod finish;
mod inputs;
pub mod inspection;
pub mod journal;
mod logs;
mod outputs;
mod paths;
mod place;
mod prepare;
mod process;
mod records;
mod recover;
pub mod shim;
mod source;
mod spare;
mod watcher;

pub use config::{Cgroups, LocalConfig, MEASURE_EVERY, ShimProgram};
pub use executor::LocalExecutor;
pub use logs::{index_path, log_path, read_log};
pub use shim::shim_main;
