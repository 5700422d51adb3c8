//! What a comparison found.

use std::collections::BTreeMap;

use super::look;
use super::source::KeptLeaf;
use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};

/// Findings on one side that are kept.
pub(super) const MAX_FINDINGS: usize = 100;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Something on one side that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Where it is kept, if it is kept by position.
    pub position: Option<Position>,
    /// What is wrong.
    pub reason: String,
}

/// What was read of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideReport {
    /// Its name.
    pub name: String,
    /// Leaves that were read.
    pub leaves: u64,
    /// What contradicts itself there; the first hundred.
    pub suspects: Vec<Suspect>,
    /// Further ones.
    pub further: u64,
}

/// The first leaf of a log that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Index in the log.
    pub index: u64,
    /// The position, by the first side that has the leaf.
    pub position: Option<Position>,
    /// Its hash on the first side; `None`: the leaf is not there.
    pub a: Option<Sha256Digest>,
    /// Its hash on the second side.
    pub b: Option<Sha256Digest>,
    /// Type and stream, as the first side that can be read has them.
    pub what: Option<String>,
}

impl Difference {
    pub(super) fn new(index: u64, a: Option<&KeptLeaf>, b: Option<&KeptLeaf>) -> Self {
        let (left, right) = (a.map(look), b.map(look));
        let envelope = [&left, &right].into_iter().flatten().find_map(|(e, _)| e.as_ref());
        let kept = a.or(b).and_then(|leaf| leaf.position);
        Self {
            index,
            position: kept.or(envelope.map(|envelope| envelope.position)),
            what: envelope.map(|e| format!("{} of {}", e.kind, e.stream)),
            a: left.map(|(_, hash)| hash),
            b: right.map(|(_, hash)| hash),
        }
    }

    /// A side gave other leaves when it was read again.
    pub(super) fn unsteady(index: u64, position: Position) -> Self {
        let what = "leaves that changed while they were compared".to_string();
        Self { index, position: Some(position), a: None, b: None, what: Some(what) }
    }
}

/// How two logs stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The same leaves.
    Equal,
    /// One has fewer; as far as it goes they are the same.
    Behind {
        /// Which.
        side: Side,
        /// Leaves that it does not have yet.
        missing: u64,
    },
    /// They are not the same.
    Differs(Box<Difference>),
}

/// One tenant's log on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// Leaves of the first.
    pub a_size: u64,
    /// Root of the first.
    pub a_root: Sha256Digest,
    /// Leaves of the second.
    pub b_size: u64,
    /// Root of the second.
    pub b_root: Sha256Digest,
    /// How they stand to each other.
    pub agreement: Agreement,
}

impl LogReport {
    fn swapped(self) -> Self {
        let agreement = match self.agreement {
            Agreement::Equal => Agreement::Equal,
            Agreement::Behind { side: Side::A, missing } => {
                Agreement::Behind { side: Side::B, missing }
            }
            Agreement::Behind { side: Side::B, missing } => {
                Agreement::Behind { side: Side::A, missing }
            }
            Agreement::Differs(mut difference) => {
                std::mem::swap(&mut difference.a, &mut difference.b);
                Agreement::Differs(difference)
            }
        };
        Self {
            a_size: self.b_size,
            a_root: self.b_root,
            b_size: self.a_size,
            b_root: self.a_root,
            agreement,
        }
    }
}

/// Everything that was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileReport {
    /// The first side.
    pub a: SideReport,
    /// The second side.
    pub b: SideReport,
    /// All logs by tenant.
    pub logs: BTreeMap<TenantId, LogReport>,
}

impl ReconcileReport {
    /// The smallest position where the sides differ, or where one contradicts itself.
    pub fn first_difference(&self) -> Option<Position> {
        let differing = self.logs.values().filter_map(|log| match &log.agreement {
            Agreement::Differs(difference) => difference.position,
            _ => None,
        });
        let suspects = self.a.suspects.iter().chain(&self.b.suspects);
        differing.chain(suspects.filter_map(|suspect| suspect.position)).min()
    }

    /// Whether all that both sides have is the same, and neither contradicts itself. A side
    /// may still be behind: see [`ReconcileReport::behind`].
    pub fn agrees(&self) -> bool {
        let differs = |log: &LogReport| matches!(log.agreement, Agreement::Differs(_));
        let suspicious = !self.a.suspects.is_empty() || !self.b.suspects.is_empty();
        !suspicious && !self.logs.values().any(differs)
    }

    /// The same comparison with its sides exchanged.
    pub fn swapped(self) -> Self {
        let logs = self.logs.into_iter().map(|(tenant, log)| (tenant, log.swapped()));
        Self { a: self.b, b: self.a, logs: logs.collect() }
    }

    /// Leaves that a side does not have yet.
    pub fn behind(&self, wanted: Side) -> u64 {
        let missing = |log: &LogReport| match log.agreement {
            Agreement::Behind { side, missing } if side == wanted => missing,
            _ => 0,
        };
        self.logs.values().map(missing).sum()
    }
}
