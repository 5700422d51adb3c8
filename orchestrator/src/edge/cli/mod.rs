//! The command line: one file per subcommand, all of the same shape (`Args` and `run`).
//! Data go to standard output, talk to standard error.

pub mod args;
pub mod context;
pub mod error;
pub mod output;

mod acting;
mod administering;
mod entry;
mod keeping;
mod progress;
mod record;
mod remote;
mod select;
mod source;

mod approve;
mod audit;
mod billing;
mod cancel;
mod completions;
mod doctor;
mod events;
mod graph;
mod lint;
mod logs;
mod migrate;
mod pause;
mod pipeline;
mod plan;
mod relay;
mod replay;
mod retention;
mod retry;
mod run;
mod runs;
mod schedule;
mod schema;
mod secret;
mod serve;
mod show;
mod signal;
mod submit;
mod tenant;
mod timeline;
mod token;
mod version;
mod why;
mod witness;

pub use context::Context;
pub use entry::main;
pub use error::{CliError, ExitCode};
pub use record::OpenRecord;
