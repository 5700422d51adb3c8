//! Usage, added up.

use dagbook_events::billing::format_decimal;
use dagbook_events::ports::LogHead;
use dagbook_events::rating::{LineClass, NO_CURRENCY, Statement};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Usage of a tenant in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// The tenant.
    pub tenant: String,
    /// The period.
    pub period: String,
    /// Whether that was opened; otherwise it is looked at as if it had been.
    pub is_opened: bool,
    /// From this instant on.
    pub start: String,
    /// To before this one.
    pub end: String,
    /// ISO 4217; empty where there is no rate card.
    pub currency: String,
    /// Leaves of the log that count.
    pub size: u64,
    /// Facts behind it.
    pub facts: u64,
    /// `sku`, `meter`, `run` or `pipeline`.
    pub by: String,
    /// Sums, sorted.
    pub rows: Vec<UsageRow>,
    /// What the usage costs, before discounts, credits and corrections, as a decimal number.
    pub amount: String,
    /// The same in minor units.
    pub amount_minor: String,
    /// `usage.csv`, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_csv: Option<String>,
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// What it is added up by.
    pub key: String,
    /// What it is on the invoice; empty without a price.
    pub sku: String,
    /// What was counted.
    pub meter: String,
    /// How much.
    pub quantity: String,
    /// How much of it is billed.
    pub billed: String,
    /// Facts behind it.
    pub facts: u64,
    /// What it costs, as a decimal number; left out where nothing of it is billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The same in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<String>,
}

impl UsageRow {
    /// A row of these names: key, sku and meter.
    pub fn of(
        (key, sku, meter): (String, String, String),
        facts: u64,
        (quantity, billed): (i128, i128),
        amount: Option<i128>,
        exponent: u8,
    ) -> Self {
        Self {
            key,
            sku,
            meter,
            quantity: quantity.to_string(),
            billed: billed.to_string(),
            facts,
            amount: amount.map(|minor| format_decimal(minor, exponent)),
            amount_minor: amount.map(|minor| minor.to_string()),
        }
    }
}

impl UsageReport {
    /// Of a statement.
    pub fn of(
        statement: &Statement,
        head: LogHead,
        (by, is_opened): (&str, bool),
        rows: Vec<UsageRow>,
    ) -> Self {
        let period = &statement.period;
        let usage = statement.lines.iter().filter(|line| line.class == LineClass::Usage);
        let amount: i128 = usage.map(|line| line.amount_minor).sum();
        Self {
            tenant: statement.tenant.clone(),
            period: period.name.to_string(),
            is_opened,
            start: Timestamp(period.start).to_rfc3339(),
            end: Timestamp(period.end).to_rfc3339(),
            currency: if *period.currency == *NO_CURRENCY { "" } else { &*period.currency }
                .to_string(),
            size: head.size,
            facts: statement.fact_count,
            by: by.to_string(),
            rows,
            amount: format_decimal(amount, period.exponent),
            amount_minor: amount.to_string(),
            usage_csv: None,
        }
    }
}
