//! What is to be exported, and how far it is.

use crate::ids::TenantId;
use crate::time::Timestamp;

/// Lines whose proofs one bundle may hold.
pub const MAX_PROVEN_LINES: usize = 100;

/// What is to be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whose.
    pub tenant: TenantId,
    /// Which part.
    pub what: Wanted,
    /// Leaves before the period that do not matter to it are left out.
    pub since_opening: bool,
    /// A checkpoint without the cosignatures of the witnesses will do.
    pub unwitnessed: bool,
    /// Ids of lines whose leaves are proven one by one.
    pub lines: Vec<String>,
}

/// Which part of a tenant's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A closed period with its invoice.
    Period(String),
    /// What was recorded between two instants; a closed period where they are exactly its bounds.
    Between {
        /// From this instant on; none: from the first leaf on.
        from: Option<Timestamp>,
        /// To before this one; none: to the newest leaf.
        to: Option<Timestamp>,
    },
}

/// How far an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many leaves were gone through.
    Leaves {
        /// So many.
        done: u64,
        /// Of so many.
        of: u64,
    },
    /// A file is complete.
    File {
        /// Its path in the bundle.
        path: String,
        /// How long it is.
        bytes: u64,
    },
}
