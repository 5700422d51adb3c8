//! What can be wrong, and where.

use std::collections::BTreeMap;
use std::fmt;

use crate::ports::LogHead;

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The event, where it is one.
    pub position: Option<u64>,
    /// The tenant, where it is known.
    pub tenant: Option<String>,
    /// The stream, where it is known.
    pub stream: Option<String>,
    /// What is wrong.
    pub damage: Damage,
}

/// Kinds of damage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes are not those that were hashed.
    #[error("the leaf does not have the hash that was stored with it")]
    Hash,
    /// The bytes are not in canonical form.
    #[error("the leaf is {0}")]
    NotCanonical(String),
    /// The bytes are not an envelope.
    #[error("{0}")]
    Envelope(String),
    /// A column says something else than the leaf.
    #[error("the column `{column}` is {stored}, the leaf says {leaf}")]
    Column {
        /// Name of the column.
        column: &'static str,
        /// What the column holds.
        stored: String,
        /// What the leaf holds.
        leaf: String,
    },
    /// A number is not the next one.
    #[error("the {number} is {actual}, {expected} was expected")]
    Gap {
        /// Which number.
        number: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// `rt` went back.
    #[error("it was recorded at {actual}, before the event before it ({before})")]
    ClockWentBack {
        /// `rt` of the event before.
        before: i64,
        /// `rt` of this event.
        actual: i64,
    },
    /// The counters do not agree with the events.
    #[error("the counter `{counter}` is {stored}, the events say {actual}")]
    Counter {
        /// Which counter.
        counter: &'static str,
        /// What the store holds.
        stored: String,
        /// What the events say.
        actual: String,
    },
    /// The tree over the leaves has another root than the frontier.
    #[error("the root over {size} leaves is {actual}, the stored frontier has {stored}")]
    Root {
        /// Leaves.
        size: u64,
        /// The frontier's root.
        stored: String,
        /// The leaves' root.
        actual: String,
    },
    /// The frontier is not one.
    #[error("{0}")]
    Frontier(String),
    /// The tree does not have a root that was signed.
    #[error(
        "the root over {size} leaves is {actual}, the checkpoint signed {signed}: \
         something changed after leaf {intact} of the log"
    )]
    Checkpoint {
        /// Leaves.
        size: u64,
        /// The signed root.
        signed: String,
        /// The leaves' root.
        actual: String,
        /// Leaves that a smaller checkpoint proves to be intact.
        intact: u64,
    },
    /// More was signed than is there.
    #[error("a checkpoint signed {size} leaves, only {actual} are there")]
    Missing {
        /// Leaves that were signed.
        size: u64,
        /// Leaves that are there.
        actual: u64,
    },
    /// The store could not be read further.
    #[error("it cannot be read from here on: {0}")]
    Unreadable(String),
}

impl Damage {
    /// The word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::NotCanonical(_) => "not_canonical",
            Self::Envelope(_) => "envelope",
            Self::Column { .. } => "column",
            Self::Gap { .. } => "gap",
            Self::ClockWentBack { .. } => "clock",
            Self::Counter { .. } => "counter",
            Self::Root { .. } => "root",
            Self::Frontier(_) => "frontier",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Missing { .. } => "missing",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "position {position}, ")?;
        }
        if let Some(tenant) = &self.tenant {
            write!(f, "tenant {tenant}, ")?;
        }
        if let Some(stream) = &self.stream {
            write!(f, "stream {stream}, ")?;
        }
        self.damage.fmt(f)
    }
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Events that were looked at.
    pub events: u64,
    /// Roots that the leaves have, by tenant.
    pub logs: BTreeMap<String, LogHead>,
    /// Signed roots that the leaves were compared with and have.
    pub checkpoints: u64,
    /// What is wrong, in the order of positions; the first thousand.
    pub findings: Vec<Finding>,
    /// Findings beyond the first thousand.
    pub further: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}
