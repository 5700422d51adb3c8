//! What the book is told, and what it tells.

use std::collections::BTreeSet;

use super::terms::Span;
use crate::billing::BudgetAction;
use crate::ids::AttemptId;
use crate::run::Hold;
use crate::time::{Millis, Timestamp};

/// Earlier attempts at a step that must be known before they say how long the next one takes.
pub const KNOWN_LEAST: u32 = 5;

/// How long attempts at a step took: all but one in twenty no longer than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Typical {
    /// So long.
    pub p95: Millis,
    /// Of so many.
    pub known: u32,
}

/// What the record was read to say of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spent {
    /// Where the span begins that it is about.
    pub since: Timestamp,
    /// Billionths of the currency's unit.
    pub nanos: i128,
    /// Ends that this process had recorded before the record was read: they are in it.
    pub seen: BTreeSet<AttemptId>,
    /// How long attempts at steps take, by pipeline and step, where that changed.
    pub typical: Vec<(String, String, Typical)>,
}

/// Why an attempt is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What would have been put aside for it.
    pub hold: Hold,
}

/// A budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetFigures {
    /// What it is called.
    pub name: String,
    /// What happens when it would be exceeded.
    pub on_exceed: BudgetAction,
    /// ISO 4217.
    pub currency: String,
    /// Digits of the minor unit.
    pub exponent: u8,
    /// Billionths that may be spent.
    pub budget: i128,
    /// Billionths that were; none: the record is being read.
    pub spent: Option<i128>,
    /// Billionths that are held for what runs.
    pub held: i128,
    /// The time that it is about.
    pub span: Span,
}

impl BudgetFigures {
    /// Whether more is spent and held than there is.
    pub fn is_exceeded(&self) -> bool {
        self.spent.is_some_and(|spent| spent.saturating_add(self.held) > self.budget)
    }

    /// Billionths that are left; none: nobody knows yet.
    pub fn left(&self) -> Option<i128> {
        Some(self.budget.saturating_sub(self.spent?).saturating_sub(self.held))
    }
}
