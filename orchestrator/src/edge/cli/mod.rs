//! The command line: one file per subcommand, all of the same shape (`Args` and `run`).
//! Data go to standard output, talk to standard error.

pub mod args;
pub mod context;
pub mod error;
pub mod output;

mod acting;
mod entry;
mod progress;
mod record;
mod select;

mod approve;
mod cancel;
mod completions;
mod doctor;
mod events;
mod graph;
mod lint;
mod logs;
mod pause;
mod plan;
mod replay;
mod retry;
mod run;
mod runs;
mod schema;
mod secret;
mod show;
mod signal;
mod version;
mod why;

pub use context::Context;
pub use entry::main;
pub use error::{CliError, ExitCode};
pub use record::OpenRecord;
