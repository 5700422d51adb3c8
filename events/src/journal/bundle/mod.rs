//! Bundles: a part of a tenant's log with all that a stranger needs to check it, and, for a closed
//! period, the bill that follows from it. The rule is `ops/audit/VERIFY.md`.
//!
//! Reading order: [`layout`] (which files there are), [`manifest`] (what holds them together),
//! [`verify`] (what a stranger checks).

#[cfg(feature = "keys")]
pub mod export;
pub mod layout;
pub mod manifest;
mod verify;

use std::fmt;

pub use verify::{Heard, Step, Verified, verify};

/// The rule by which a bundle is checked; every bundle has it.
pub const VERIFY_TEXT: &str = include_str!("../../../../ops/audit/VERIFY.md");

/// The second program that checks bundles; every bundle has it.
pub const VERIFY_PROGRAM: &str = include_str!("../../../../ops/audit/verify.py");

/// The check that failed. Checks are made in this order, and the first that fails is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The files are not what the manifest says.
    Manifest,
    /// Nobody who is believed has signed it.
    Signature,
    /// The tiles do not lead to the signed root.
    Root,
    /// The log does not extend what was signed before.
    Consistency,
    /// A leaf is no event of this tenant.
    Leaf,
    /// Numbers have gaps.
    Sequence,
    /// The usage does not follow from the leaves.
    Usage,
    /// The lines do not follow from the usage and the prices.
    Rating,
    /// The invoice does not follow from the lines.
    Invoice,
}

impl Reason {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Manifest,
        Self::Signature,
        Self::Root,
        Self::Consistency,
        Self::Leaf,
        Self::Sequence,
        Self::Usage,
        Self::Rating,
        Self::Invoice,
    ];

    /// Its name, as both verifiers print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Signature => "signature",
            Self::Root => "root",
            Self::Consistency => "consistency",
            Self::Leaf => "leaf",
            Self::Sequence => "sequence",
            Self::Usage => "usage",
            Self::Rating => "rating",
            Self::Invoice => "invoice",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a bundle is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {what}")]
pub struct Failure {
    /// The check that failed.
    pub reason: Reason,
    /// What does not hold, and where.
    pub what: String,
}

impl Failure {
    /// A failed check.
    pub fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self { reason, what: what.into() }
    }
}
