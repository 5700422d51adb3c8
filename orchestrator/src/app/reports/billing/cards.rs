//! What prices follow from: cards, contracts, periods and budgets.

use dagbook_events::billing::{
    BudgetSet, CardAdopted, CardPublished, CardVersions, Contract, ContractPublished, Period,
    RateCard, exponent_of, format_decimal,
};
use dagbook_events::dag::FindingDto;
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A rate card of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateCardRow {
    /// What it is called.
    pub name: String,
    /// Its newest version.
    pub version: u32,
    /// ISO 4217.
    pub currency: String,
    /// From when on that holds.
    pub effective_from: String,
    /// Of the canonical bytes of the card.
    pub sha256: String,
    /// Prices that it has.
    pub prices: usize,
}

impl RateCardRow {
    /// The row of a card, if it has a version.
    pub fn of(card: &CardVersions) -> Option<Self> {
        let last = card.last()?;
        Some(Self {
            name: last.card.name.clone(),
            version: last.card.version,
            currency: last.card.currency.clone(),
            effective_from: last.effective_from.to_rfc3339(),
            sha256: last.sha256.to_hex(),
            prices: last.card.prices.len(),
        })
    }
}

/// A version of a rate card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateCardReport {
    /// The card as it is recorded.
    #[schema(value_type = Object)]
    pub card: RateCard,
    /// From when on it holds.
    pub effective_from: String,
    /// Of the canonical bytes of the card.
    pub sha256: String,
    /// The file that it was read from.
    pub source: String,
}

impl RateCardReport {
    /// As it was published.
    pub fn of(published: &CardPublished) -> Self {
        Self {
            card: published.card.clone(),
            effective_from: published.effective_from.to_rfc3339(),
            sha256: published.sha256.to_hex(),
            source: published.source.clone(),
        }
    }

    /// As a tenant has it.
    pub fn adopted(adopted: &CardAdopted) -> Self {
        Self {
            card: adopted.card.clone(),
            effective_from: adopted.effective_from.to_rfc3339(),
            sha256: adopted.sha256.to_hex(),
            source: adopted.source.clone(),
        }
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedReport {
    /// The version, new or as it was.
    pub published: RateCardReport,
    /// Whether it is new.
    pub is_new: bool,
    /// Tenants that adopted it.
    pub adopted_by: Vec<String>,
    /// What its author will want to know.
    #[schema(value_type = Vec<Object>)]
    pub warnings: Vec<FindingDto>,
}

/// A version of a tenant's contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContractReport {
    /// The contract as it is recorded.
    #[schema(value_type = Object)]
    pub contract: Contract,
    /// From when on it holds.
    pub effective_from: String,
    /// Of the canonical bytes of the contract.
    pub sha256: String,
    /// The file that it was read from.
    pub source: String,
}

impl ContractReport {
    /// As it was published.
    pub fn of(published: &ContractPublished) -> Self {
        Self {
            contract: published.contract.clone(),
            effective_from: published.effective_from.to_rfc3339(),
            sha256: published.sha256.to_hex(),
            source: published.source.clone(),
        }
    }
}

/// A period of account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeriodReport {
    /// What it is called.
    pub period: String,
    /// `open`, `ended` (late usage is waited for), `due` (it can be closed) or `closed`.
    pub status: String,
    /// `month`, `week` or `custom`.
    pub kind: String,
    /// From this instant on.
    pub start: String,
    /// To before this one.
    pub end: String,
    /// The zone that it was computed in.
    pub zone: String,
    /// How long after its end late usage is waited for.
    #[schema(value_type = u64)]
    pub grace_ms: Millis,
    /// When it can be closed.
    pub due: String,
    /// ISO 4217.
    pub currency: String,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Why it was closed before its grace was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
    /// Number of its invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// What that asks for, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// The same in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_minor: Option<String>,
}

impl PeriodReport {
    /// The report of a folded period.
    pub fn of(period: &Period, now: Timestamp) -> Self {
        let (opened, closed) = (&period.opened, period.closed.as_ref());
        let status = match closed {
            Some(_) => "closed",
            None if now < opened.end => "open",
            None if now < period.due() => "ended",
            None => "due",
        };
        let kind = serde_json::to_value(opened.kind).ok();
        Self {
            period: opened.period.clone(),
            status: status.to_string(),
            kind: kind.as_ref().and_then(|it| it.as_str()).unwrap_or_default().to_string(),
            start: opened.start.to_rfc3339(),
            end: opened.end.to_rfc3339(),
            zone: opened.zone.clone(),
            grace_ms: opened.grace_ms,
            due: period.due().to_rfc3339(),
            currency: opened.currency.clone(),
            closed_at: period.closed_at.map(Timestamp::to_rfc3339),
            forced: period.waived.clone(),
            invoice: closed.map(|closed| closed.number.clone()),
            total: closed.map(|it| format_decimal(it.total_minor.0, opened.exponent)),
            total_minor: closed.map(|closed| closed.total_minor.to_string()),
        }
    }
}

/// A budget: money that may be spent in each period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetReport {
    /// What it is called.
    pub name: String,
    /// How much, as a decimal number.
    pub amount: String,
    /// The same in minor units.
    pub minor: String,
    /// ISO 4217.
    pub currency: String,
    /// What happens when it would be exceeded: `warn`, `hold_new` or `stop`.
    pub on_exceed: String,
}

impl BudgetReport {
    /// The report of a budget.
    pub fn of(budget: &BudgetSet) -> Self {
        let exponent = exponent_of(&budget.currency).unwrap_or(2);
        let word = serde_json::to_value(budget.on_exceed).ok();
        Self {
            name: budget.name.clone(),
            amount: format_decimal(budget.minor.0, exponent),
            minor: budget.minor.to_string(),
            currency: budget.currency.clone(),
            on_exceed: word.as_ref().and_then(|it| it.as_str()).unwrap_or_default().to_string(),
        }
    }
}
