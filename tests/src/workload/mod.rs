//! A load of appends that remembers what it was told, and an oracle that holds the record to it.
//!
//! Every caller follows a [`Script`]: the same seed gives the same requests in any process, so
//! that a load whose process was killed goes on with the very request that it was at. What was
//! answered stands in a [`Ledger`]. Events say in their data whose request they are part of, so
//! the [`Oracle`] also recognises what nobody was told about: it may be there once and whole, or
//! not at all.

mod callers;
mod ledger;
mod oracle;
mod process;
mod script;
mod tail;

pub use callers::Load;
pub use ledger::{Acknowledged, Entry, Ledger, Retries};
pub use oracle::{Oracle, compare_with_copy, judge};
pub use process::WriterProcess;
pub use script::{Planned, Script};
pub use tail::{Seen, Tail};
