//! Reconciliation: what is kept twice, or follows from something else, was compared, and this is
//! what was found. Each report is an event, so that it can be shown later that it was looked at.
//!
//! What concerns a tenant stands in the tenant's stream `reconciliation`; what concerns the site
//! (its store, its copy, its machines) in the same stream of the site's own tenant.

use serde::{Deserialize, Serialize};

use crate::recorded::recorded_events;

/// The stream of reports.
pub const RECONCILIATION_STREAM: &str = "reconciliation";

/// Findings that one report lists; of more it says how many.
pub const MAX_LISTED: usize = 20;
/// Characters of one finding.
const MAX_TEXT: usize = 400;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The store with its own hashes, numbers and signed heads.
    Store,
    /// The store with its second copy, or with the published tiles.
    Copy,
    /// Attempts of the record with what the executors of a place kept of them.
    Executors,
    /// Closed periods with what follows from the leaves now; the sum of postings with nothing, and
    /// the sum of billed costs with what is to be paid.
    Periods,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Store, Self::Copy, Self::Executors, Self::Periods];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Copy => "copy",
            Self::Executors => "executors",
            Self::Periods => "periods",
        }
    }
}

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discrepancy {
    /// A word for programs, such as `missing`.
    pub kind: String,
    /// Which thing: an attempt, a period, a position.
    pub subject: String,
    /// What does not agree.
    pub detail: String,
}

impl Discrepancy {
    /// One, with texts cut to what a report holds.
    pub fn new(kind: &str, subject: impl ToString, detail: impl ToString) -> Self {
        let cut = |text: String| text.chars().take(MAX_TEXT).collect();
        Self {
            kind: kind.to_string(),
            subject: cut(subject.to_string()),
            detail: cut(detail.to_string()),
        }
    }
}

/// What a reconciliation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationReported {
    /// What was compared.
    pub comparison: Comparison,
    /// With what: `jetstream`, `tiles`, the place of executors; none where that says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The position up to which the record was looked at.
    pub head: u64,
    /// Things that were compared: events, attempts, periods.
    pub compared: u64,
    /// Whether everything agrees.
    pub agrees: bool,
    /// What does not, the first of it.
    pub findings: Vec<Discrepancy>,
    /// Findings that are not listed.
    pub further: u64,
}

impl ReconciliationReported {
    /// A report on these findings.
    pub fn of(
        comparison: Comparison,
        with: Option<String>,
        (head, compared): (u64, u64),
        findings: &[Discrepancy],
        further: u64,
    ) -> Self {
        let listed = findings.len().min(MAX_LISTED);
        Self {
            comparison,
            with,
            head,
            compared,
            agrees: findings.is_empty() && further == 0,
            findings: findings[..listed].to_vec(),
            further: further + (findings.len() - listed) as u64,
        }
    }

    /// How many findings there were.
    pub fn found(&self) -> u64 {
        self.findings.len() as u64 + self.further
    }
}

recorded_events!(
    /// What can happen in a stream of reports.
    ReconciliationEvent {
        /// Something was compared.
        Reported(ReconciliationReported) = "reconciliation.reported",
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::AggregateEvent as _;

    #[test]
    fn a_report_fits_into_a_leaf_however_much_was_found() {
        let long = "é".repeat(5_000);
        let findings: Vec<Discrepancy> =
            (0..500).map(|n| Discrepancy::new("missing", format!("{n} {long}"), &long)).collect();
        let report = ReconciliationReported::of(
            Comparison::Executors,
            Some("0011223344556677".to_string()),
            (1, 500),
            &findings,
            7,
        );
        assert_eq!((report.findings.len(), report.further, report.found()), (20, 487, 507));
        let event = ReconciliationEvent::Reported(report.clone());
        let bytes = crate::canonical::to_vec(&event.to_data()).expect("canonical");
        assert!(bytes.len() < 40 * 1_024, "{}", bytes.len());
        let read = ReconciliationEvent::read("reconciliation.reported", &event.to_data());
        assert_eq!(read, Ok(Some(event)));
    }
}
