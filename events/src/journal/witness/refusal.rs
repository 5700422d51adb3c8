//! Why a witness does not trust a log any more.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;

/// A log that is refused for ever, or all logs of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The timeline whose copy was read.
    pub timeline: u64,
    /// Name of the log; `None`: all logs of the timeline, because the copy itself is broken.
    pub origin: Option<String>,
    /// The tenant, where it is known.
    pub tenant: Option<String>,
    /// The event, where it is one.
    pub position: Option<u64>,
    /// Leaves below the roots.
    pub size: Option<u64>,
    /// The root, or the hash of the leaf, that the witness has.
    pub ours: Option<Sha256Digest>,
    /// The one that was given.
    pub theirs: Option<Sha256Digest>,
    /// What is wrong.
    pub reason: String,
    /// The note that contradicts the copy, with its signatures: evidence.
    pub note: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: String) -> Self {
        Self {
            timeline: 0,
            origin: None,
            tenant: None,
            position: None,
            size: None,
            ours: None,
            theirs: None,
            reason,
            note: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "the log {origin}")?,
            None => write!(f, "all logs of timeline {}", self.timeline)?,
        }
        if let Some(tenant) = &self.tenant {
            write!(f, ", tenant {tenant}")?;
        }
        if let Some(position) = self.position {
            write!(f, ", position {position}")?;
        }
        if let Some(size) = self.size {
            write!(f, ", size {size}")?;
        }
        write!(f, ": {}", self.reason)?;
        match (self.ours, self.theirs) {
            (Some(ours), Some(theirs)) => {
                write!(f, " (the witness has {ours}, given was {theirs})")
            }
            _ => Ok(()),
        }
    }
}
