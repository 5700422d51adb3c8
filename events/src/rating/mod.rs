//! From leaves to money: one fold, and what it says of a period.
//!
//! The rule is sections 5 to 9 of `ops/audit/VERIFY.md`; this follows it to the letter. Nothing
//! here reads a clock, uses a float or depends on the order of a hash map.
//!
//! [`Ledger`] takes the leaves of one tenant's log and keeps what may still matter. For a period
//! at a size of the log it tells the facts to a [`FactSink`] and returns a [`Draft`]; the facts,
//! given back in the order of `usage.csv` ([`Row`], [`merge`], [`Roots`]), make it a
//! [`Statement`] with lines, postings and an invoice. [`Ledger::statement`] does all of it in
//! memory.
//!
//! Reading order: `leaf` and `usage` (what is read), `attempt` (what counts), `book` (what holds when),
//! `prices` and `slices` (facts), `draft` (sums), `amount` and `lines` (money), `statement`.

mod amount;
mod attempt;
mod attempts;
mod book;
mod corrections;
mod csv;
mod currency;
mod draft;
mod error;
mod fact;
mod focus;
mod index;
mod invoice;
mod leaf;
mod ledger;
mod lines;
mod names;
mod notes;
mod prices;
mod recall;
mod records;
mod rows;
mod slices;
mod statement;
mod usage;

pub use attempt::CLOCK_WINDOW_MS;
pub use book::Period;
pub use csv::{LINES_HEADER, lines_csv};
pub use currency::NO_CURRENCY;
pub use draft::Draft;
pub use error::RatingError;
pub use fact::{Fact, FactClass, FactSink, ToldFact, USAGE_HEADER, fault_word};
pub use focus::{FocusWriter, NoUsage, focus_csv};
pub use invoice::{INVOICE_FORMAT, Invoice, InvoiceLine, InvoiceLog, InvoicePeriod, Posting};
pub use leaf::LeafParts;
pub use ledger::{Ledger, Options, Span};
pub use lines::{Line, LineClass};
pub use notes::{Anomaly, MOST_NAMED, Notes};
pub use rows::{Merge, Roots, Row, RowRef, Rows, merge};
pub use statement::{Closed, Statement};

/// Version of the rule, recorded in closings.
pub const RATING: u64 = 1;
