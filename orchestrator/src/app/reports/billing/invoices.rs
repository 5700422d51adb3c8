//! Invoices, their lines, what those are made of, and credit notes.

use std::collections::BTreeMap;

use dagbook_events::billing::{
    CreditNote, CreditNoteIssued, Period, PeriodClosed, RateCard, format_decimal, format_price,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::rating::{Closed, Fact, Line, LineClass, Statement, fault_word};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::error::AppError;

/// An invoice of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceRow {
    /// Its number.
    pub number: String,
    /// Its period.
    pub period: String,
    /// When it was issued.
    pub issued_at: String,
    /// ISO 4217.
    pub currency: String,
    /// What it asks for, as a decimal number.
    pub total: String,
    /// The same in minor units.
    pub total_minor: String,
    /// What credit notes took back, in minor units.
    pub credited_minor: String,
}

fn credited(notes: &[CreditNoteReport]) -> i128 {
    notes.iter().filter_map(|note| note.total_minor.parse::<i128>().ok()).sum()
}

impl InvoiceRow {
    /// Of a closed period.
    ///
    /// # Errors
    /// None; it is one of a list that may fail.
    pub fn of(
        period: &Period,
        closed: &PeriodClosed,
        notes: &[CreditNoteReport],
    ) -> Result<Self, AppError> {
        Ok(Self {
            number: closed.number.clone(),
            period: closed.period.clone(),
            issued_at: period.closed_at.map(Timestamp::to_rfc3339).unwrap_or_default(),
            currency: period.opened.currency.clone(),
            total: format_decimal(closed.total_minor.0, period.opened.exponent),
            total_minor: closed.total_minor.to_string(),
            credited_minor: credited(notes).to_string(),
        })
    }
}

/// An invoice, or the draft of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceReport {
    /// `issued`, or `draft` while the period is not closed: then everything may still change.
    pub status: String,
    /// Whose.
    pub tenant: String,
    /// Its number, or the one that it would have.
    pub number: String,
    /// Its period.
    pub period: PeriodOfInvoice,
    /// When it was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// Leaves of the log that count.
    pub size: u64,
    /// The root of the log at that size.
    pub root: String,
    /// Of `invoice.json`.
    pub sha256: String,
    /// Lines in their order.
    pub lines: Vec<LineReport>,
    /// What is to be paid, as a decimal number.
    pub total: String,
    /// The same in minor units.
    pub total_minor: String,
    /// What was odd, by name, and how often.
    pub anomalies: BTreeMap<String, u64>,
    /// Credit notes on it.
    pub credit_notes: Vec<CreditNoteReport>,
    /// What is left to be paid behind credit notes, in minor units.
    pub left_minor: String,
    /// What it would be with another rate card, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIfReport>,
    /// `invoice.json`, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_json: Option<String>,
    /// `lines.csv`, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines_csv: Option<String>,
    /// Its rows for the tools of others (FOCUS 1.2), where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus_csv: Option<String>,
}

/// The period of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeriodOfInvoice {
    /// Its name.
    pub name: String,
    /// From this instant on.
    pub start: String,
    /// To before this one.
    pub end: String,
    /// The zone that it was computed in.
    pub zone: String,
}

impl InvoiceReport {
    /// Of a statement and its documents.
    pub fn of(
        (period, _now): (&Period, Timestamp),
        statement: &Statement,
        documents: &Closed,
        credit_notes: Vec<CreditNoteReport>,
    ) -> Self {
        let exponent = statement.period.exponent;
        let of = &statement.period;
        Self {
            status: if period.closed.is_some() { "issued" } else { "draft" }.to_string(),
            tenant: statement.tenant.clone(),
            number: statement.number.clone(),
            period: PeriodOfInvoice {
                name: of.name.to_string(),
                start: Timestamp(of.start).to_rfc3339(),
                end: Timestamp(of.end).to_rfc3339(),
                zone: of.zone.to_string(),
            },
            issued_at: period.closed_at.map(Timestamp::to_rfc3339),
            currency: of.currency.to_string(),
            exponent,
            size: statement.size,
            root: documents.event.root.to_hex(),
            sha256: documents.event.invoice.to_hex(),
            lines: statement.lines.iter().map(|line| LineReport::of(line, exponent)).collect(),
            total: format_decimal(statement.total_minor, exponent),
            total_minor: statement.total_minor.to_string(),
            anomalies: statement.anomalies.counts.clone(),
            left_minor: (statement.total_minor - credited(&credit_notes)).to_string(),
            credit_notes,
            what_if: None,
            invoice_json: None,
            lines_csv: None,
            focus_csv: None,
        }
    }
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineReport {
    /// Its id.
    pub line_id: String,
    /// `usage`, `correction`, `discount` or `credit`.
    pub class: String,
    /// The charge period.
    pub period: String,
    /// Of what.
    pub sku: String,
    /// What priced it.
    pub rate_card: String,
    /// Which version.
    pub rate_card_version: String,
    /// Which step of the price.
    pub tier: u32,
    /// How much.
    pub quantity: String,
    /// So many cost the price.
    pub per: String,
    /// The price, as a decimal number.
    pub price: String,
    /// The amount, as a decimal number.
    pub amount: String,
    /// The same in minor units.
    pub amount_minor: String,
    /// The exact amount in billionths, rounded once.
    pub amount_nanos: String,
    /// Facts that it was made from.
    pub usage_count: u64,
    /// The root over their ids.
    pub usage_root: String,
}

fn class_word(class: LineClass) -> &'static str {
    match class {
        LineClass::Usage => "usage",
        LineClass::Correction => "correction",
        LineClass::Discount => "discount",
        LineClass::Credit => "credit",
    }
}

impl LineReport {
    /// Of a line.
    pub fn of(line: &Line, exponent: u8) -> Self {
        Self {
            line_id: line.line_id.clone(),
            class: class_word(line.class).to_string(),
            period: line.period.to_string(),
            sku: line.sku.to_string(),
            rate_card: line.rate_card.to_string(),
            rate_card_version: line.rate_card_version.to_string(),
            tier: line.tier,
            quantity: line.quantity.to_string(),
            per: line.per.to_string(),
            price: format_price(line.price_nanos),
            amount: format_decimal(line.amount_minor, exponent),
            amount_minor: line.amount_minor.to_string(),
            amount_nanos: line.amount_nanos.to_string(),
            usage_count: line.usage_count,
            usage_root: line.usage_root.to_hex(),
        }
    }
}

/// What an invoice would be with another rate card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhatIfReport {
    /// The other card.
    pub rate_card: String,
    /// Line by line.
    pub lines: Vec<Difference>,
    /// What would be to be paid, as a decimal number.
    pub total: String,
    /// The same in minor units.
    pub total_minor: String,
    /// How much more that is, in minor units.
    pub difference_minor: String,
}

/// A line here and there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// `usage`, `correction`, `discount` or `credit`.
    pub class: String,
    /// The charge period.
    pub period: String,
    /// Of what.
    pub sku: String,
    /// Which step of the price.
    pub tier: u32,
    /// As it is, in minor units.
    pub before_minor: String,
    /// As it would be.
    pub after_minor: String,
    /// How much more that is.
    pub difference_minor: String,
}

impl WhatIfReport {
    /// What the one statement has, and the other.
    pub fn of(card: &RateCard, real: &Statement, other: &Statement) -> Self {
        type Key = (LineClass, String, String, u32);
        let mut lines: BTreeMap<Key, (i128, i128)> = BTreeMap::new();
        let key =
            |line: &Line| (line.class, line.period.to_string(), line.sku.to_string(), line.tier);
        for line in &real.lines {
            lines.entry(key(line)).or_default().0 += line.amount_minor;
        }
        for line in &other.lines {
            lines.entry(key(line)).or_default().1 += line.amount_minor;
        }
        let row = |((class, period, sku, tier), (before, after)): (Key, (i128, i128))| Difference {
            class: class_word(class).to_string(),
            period,
            sku,
            tier,
            before_minor: before.to_string(),
            after_minor: after.to_string(),
            difference_minor: (after - before).to_string(),
        };
        Self {
            rate_card: card.name.clone(),
            lines: lines.into_iter().map(row).collect(),
            total: format_decimal(other.total_minor, other.period.exponent),
            total_minor: other.total_minor.to_string(),
            difference_minor: (other.total_minor - real.total_minor).to_string(),
        }
    }
}

/// A credit note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreditNoteReport {
    /// Its number.
    pub number: String,
    /// Number of the invoice.
    pub invoice: String,
    /// When it was issued.
    pub issued_at: String,
    /// Why.
    pub reason: String,
    /// ISO 4217.
    pub currency: String,
    /// What it takes back, as a decimal number.
    pub total: String,
    /// The same in minor units.
    pub total_minor: String,
    /// Of which lines.
    pub lines: Vec<CreditedLine>,
    /// Of the document.
    pub sha256: String,
    /// The document: canonical JSON.
    pub document: String,
}

/// What a credit note takes back of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreditedLine {
    /// Of which line.
    pub line_id: String,
    /// Of what that was.
    pub sku: String,
    /// How much, in minor units.
    pub amount_minor: String,
}

impl CreditNoteReport {
    /// Of a document as it was issued.
    pub fn of_note(note: &CreditNote, issued: &CreditNoteIssued) -> Self {
        let line = |line: &dagbook_events::billing::CreditNoteLine| CreditedLine {
            line_id: line.line_id.clone(),
            sku: line.sku.clone(),
            amount_minor: line.amount_minor.to_string(),
        };
        Self {
            number: note.number.clone(),
            invoice: note.invoice.clone(),
            issued_at: note.issued_ms.to_rfc3339(),
            reason: note.reason.clone(),
            currency: note.currency.clone(),
            total: format_decimal(note.total_minor.0, note.exponent),
            total_minor: note.total_minor.to_string(),
            lines: note.lines.iter().map(line).collect(),
            sha256: issued.sha256.to_hex(),
            document: issued.document.clone(),
        }
    }
}

/// A line, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineEventsReport {
    /// Whose.
    pub tenant: String,
    /// The period of the invoice.
    pub period: String,
    /// Its number.
    pub number: String,
    /// The log.
    pub origin: String,
    /// Leaves that count.
    pub size: u64,
    /// The root at that size: what each proof leads to.
    pub root: String,
    /// The line.
    pub line: LineReport,
    /// Its usage, by id.
    pub facts: Vec<FactReport>,
    /// The id behind which there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Usage, and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactReport {
    /// Of run, step, attempt, meter and slice.
    pub usage_id: String,
    /// The run.
    pub run: String,
    /// The step.
    pub step: String,
    /// The attempt.
    pub attempt: String,
    /// What was counted.
    pub meter: String,
    /// How much.
    pub quantity: String,
    /// Beginning of the slice.
    pub start: String,
    /// Its end.
    pub end: String,
    /// Whose fault the end was.
    pub fault: String,
    /// The leaf that it follows from.
    pub leaf_index: u64,
    /// RFC 6962 hash of that leaf.
    pub leaf_hash: String,
    /// The hashes beside the way from it to the root, lowest first.
    pub proof: Vec<String>,
}

impl FactReport {
    /// A fact with the proof of its leaf.
    pub fn proven(fact: &Fact, leaf: Sha256Digest, proof: &[Sha256Digest]) -> Self {
        Self {
            usage_id: fact.id.to_hex(),
            run: fact.run.to_string(),
            step: fact.step.to_string(),
            attempt: fact.attempt.to_string(),
            meter: fact.meter.to_string(),
            quantity: fact.quantity.to_string(),
            start: Timestamp(fact.start).to_rfc3339(),
            end: Timestamp(fact.end).to_rfc3339(),
            fault: fault_word(fact.fault).to_string(),
            leaf_index: fact.leaf_index,
            leaf_hash: leaf.to_hex(),
            proof: proof.iter().map(|hash| hash.to_hex()).collect(),
        }
    }
}
