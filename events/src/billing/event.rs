//! What is recorded of prices, contracts, periods and budgets.

use serde::{Deserialize, Serialize};

use super::{Contract, RateCard, Whole};
use crate::digest::Sha256Digest;
use crate::recorded::recorded_events;
use crate::time::{Millis, Timestamp};

/// The stream of a tenant's prices, contracts, periods and budgets.
pub const BILLING_STREAM: &str = "billing";
/// In the site's log: one stream for each rate card, named `rate-card/<name>`.
pub const RATE_CARD_STREAMS: &str = "rate-card/";

/// A version of a rate card was published for the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardPublished {
    /// The card.
    pub card: RateCard,
    /// From when on it holds for those who have it.
    pub effective_from: Timestamp,
    /// Of the canonical bytes of the card.
    pub sha256: Sha256Digest,
    /// The file that it was read from, byte for byte.
    pub source: String,
}

recorded_events!(
    /// What can happen to a rate card.
    CardStreamEvent {
        /// A version was published.
        Published(CardPublished) = "rate_card.published",
    }
);

/// A version of a rate card holds for this tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardAdopted {
    /// The card.
    pub card: RateCard,
    /// From when on.
    pub effective_from: Timestamp,
    /// Of the canonical bytes of the card.
    pub sha256: Sha256Digest,
    /// The file that it was read from, byte for byte.
    pub source: String,
}

/// A version of the tenant's contract was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractPublished {
    /// The contract.
    pub contract: Contract,
    /// From when on.
    pub effective_from: Timestamp,
    /// Of the canonical bytes of the contract.
    pub sha256: Sha256Digest,
    /// The file that it was read from, byte for byte.
    pub source: String,
}

/// How a period was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// A calendar month of the tenant's zone.
    Month,
    /// Monday to Sunday of the tenant's zone.
    Week,
    /// Two instants that somebody named.
    Custom,
}

/// A period of account began. Its instants were computed once and are never computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodOpened {
    /// What it is called: `2026-11`, `2026-W47`, or what was asked for.
    pub period: String,
    /// How it was cut.
    pub kind: PeriodKind,
    /// From this instant on.
    pub start: Timestamp,
    /// To before this one.
    pub end: Timestamp,
    /// The zone that it was computed in.
    pub zone: String,
    /// How long after its end usage is waited for.
    pub grace_ms: Millis,
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// No leaf of the log before this index can matter to what this period or a later one is
    /// billed, but those of the stream `billing`.
    pub needs_from: u64,
}

/// A sum that a period was billed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodTotal {
    /// The earlier period that was corrected; none: the one that was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// How much.
    pub quantity: Whole,
    /// What priced it: the card, with `+` and the contract where that had a price of its own.
    pub rate_card: String,
    /// Which version, likewise.
    pub rate_card_version: String,
    /// Of what.
    pub sku: String,
}

/// What an invoice took from a credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditTaken {
    /// Name of the contract.
    pub contract: String,
    /// Minor units.
    pub minor: Whole,
    /// Name of the credit.
    pub name: String,
}

/// A period was closed and its invoice issued: nothing changes it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodClosed {
    /// Which.
    pub period: String,
    /// Leaves of the tenant's log that count.
    pub size: u64,
    /// The root of the log at that size.
    pub root: Sha256Digest,
    /// Version of the rule by which it was rated.
    pub rating: u64,
    /// Number of the invoice.
    pub number: String,
    /// Of `usage.csv`.
    pub usage: Sha256Digest,
    /// Of `lines.csv`.
    pub lines: Sha256Digest,
    /// Of `invoice.json`.
    pub invoice: Sha256Digest,
    /// What is to be paid.
    pub total_minor: Whole,
    /// Sums that later corrections go on from.
    pub totals: Vec<PeriodTotal>,
    /// Sums of earlier periods that this invoice corrected, as they are now.
    pub corrected: Vec<PeriodTotal>,
    /// What it took from credits.
    pub credits: Vec<CreditTaken>,
}

/// The rest of the grace of a period was waived, so that it could be closed early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraceWaived {
    /// Which.
    pub period: String,
    /// Why.
    pub reason: String,
}

/// A credit note: a document of its own that takes back what an invoice asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteIssued {
    /// Its number.
    pub number: String,
    /// Number of the invoice.
    pub invoice: String,
    /// Of the document.
    pub sha256: Sha256Digest,
    /// The canonical JSON of the document.
    pub document: String,
}

/// What happens when a budget would be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetAction {
    /// It is said.
    Warn,
    /// Nothing that would exceed it is started; what runs goes on.
    HoldNew,
    /// Nothing is started, and what runs is cancelled.
    Stop,
}

/// Money that may be spent in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSet {
    /// What it is called.
    pub name: String,
    /// Minor units for each period.
    pub minor: Whole,
    /// ISO 4217.
    pub currency: String,
    /// What happens when it would be exceeded.
    pub on_exceed: BudgetAction,
}

/// A budget is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRemoved {
    /// Which.
    pub name: String,
}

recorded_events!(
    /// What can happen in a tenant's stream `billing`.
    BillingEvent {
        /// A rate card holds.
        CardAdopted(CardAdopted) = "rate_card.adopted",
        /// A contract was published.
        ContractPublished(ContractPublished) = "contract.published",
        /// A period began.
        PeriodOpened(PeriodOpened) = "period.opened",
        /// It is closed before its grace is over.
        GraceWaived(GraceWaived) = "period.grace_waived",
        /// A period was closed and its invoice issued.
        PeriodClosed(PeriodClosed) = "period.closed",
        /// A credit note was issued.
        CreditNoteIssued(CreditNoteIssued) = "credit_note.issued",
        /// A budget was set.
        BudgetSet(BudgetSet) = "budget.set",
        /// A budget was removed.
        BudgetRemoved(BudgetRemoved) = "budget.removed",
    }
);
