//! Events that have left the store for the published tiles, and are read from there.
//!
//! The store keeps names, sizes and heads of everything; only rows of events go. For each range
//! of positions that went there is an index object beside the tiles: whose leaf stands at each
//! position, its hash, and where the events of each stream are. The store remembers the hash of
//! the index, so nothing that is read here is believed without it.
//!
//! [`Archiver`] brings segments over; [`ArchivedStore`] and [`ArchivedAudit`] read as if nothing
//! had gone.

mod archiver;
mod audit;
mod index;
mod leaves;
mod store;

pub use archiver::{ArchiveError, ArchiveStep, ArchiveTurn, Archiver, ArchiverParts, Waits};
pub use audit::ArchivedAudit;
pub use index::{IndexedTenant, MAX_RANGE, RangeBuilder, RangeIndex};
pub use leaves::ArchivedLeaves;
pub use store::ArchivedStore;
