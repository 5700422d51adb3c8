//! The command line against a server, both the real programs: the same output as here, sources,
//! following through cut connections, exit codes, and no token anywhere.

mod budgets;
mod codes;
mod follow;
mod limits;
mod output;
mod retention;
mod source;
