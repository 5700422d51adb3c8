//! The invoice as a document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lines::{Line, LineClass};
use super::statement::Statement;
use super::{RATING, RatingError};
use crate::billing::Whole;
use crate::canonical;
use crate::digest::Sha256Digest;

/// The format that is written.
pub const INVOICE_FORMAT: &str = "dagbook.invoice/1";

/// One side of a double entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Posting {
    /// `receivable/<tenant>`, `revenue/<sku>`, `discount/<name>` or `credit/<name>`.
    pub account: String,
    /// Minor units.
    pub minor: Whole,
}

/// `invoice.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invoice {
    /// What was odd, by name, and how often.
    pub anomalies: BTreeMap<String, u64>,
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// Rows of `usage.csv`.
    pub facts: u64,
    /// [`INVOICE_FORMAT`].
    pub format: &'static str,
    /// The site.
    pub issuer: String,
    /// Lines in their order.
    pub lines: Vec<InvoiceLine>,
    /// The log that it follows from.
    pub log: InvoiceLog,
    /// Its number.
    pub number: String,
    /// The period.
    pub period: InvoicePeriod,
    /// Double entries, which add up to nothing.
    pub postings: Vec<Posting>,
    /// Version of the rule.
    pub rating: u64,
    /// Whose.
    pub tenant: String,
    /// What is to be paid.
    pub total_minor: Whole,
}

/// A line of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as in `Line`")]
pub struct InvoiceLine {
    pub amount_minor: Whole,
    pub amount_nanos: Whole,
    pub class: LineClass,
    pub line_id: String,
    pub per: Whole,
    pub period: String,
    pub price_nanos: Whole,
    pub quantity: Whole,
    pub rate_card: String,
    pub rate_card_version: String,
    pub sku: String,
    pub tier: u32,
    pub usage_count: u64,
    pub usage_root: Sha256Digest,
}

/// The log that an invoice follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceLog {
    /// Its name.
    pub origin: String,
    /// Its root at this size.
    pub root: Sha256Digest,
    /// Leaves that count.
    pub size: u64,
}

/// The period of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoicePeriod {
    /// To before this instant, ms.
    pub end: i64,
    /// Its name.
    pub name: String,
    /// From this instant on, ms.
    pub start: i64,
    /// The zone that it was computed in.
    pub zone: String,
}

impl Invoice {
    pub(super) fn of(statement: &Statement, root: Sha256Digest) -> Self {
        let Statement { origin, period, .. } = statement;
        let issuer = origin.split_once("/t/").map_or(origin.as_str(), |(issuer, _)| issuer);
        Self {
            anomalies: statement.anomalies.counts.clone(),
            currency: period.currency.to_string(),
            exponent: period.exponent,
            facts: statement.fact_count,
            format: INVOICE_FORMAT,
            issuer: issuer.to_string(),
            lines: statement.lines.iter().map(InvoiceLine::of).collect(),
            log: InvoiceLog { origin: origin.clone(), root, size: statement.size },
            number: statement.number.clone(),
            period: InvoicePeriod {
                end: period.end,
                name: period.name.to_string(),
                start: period.start,
                zone: period.zone.to_string(),
            },
            postings: statement.postings.clone(),
            rating: RATING,
            tenant: statement.tenant.clone(),
            total_minor: Whole(statement.total_minor),
        }
    }

    /// The document: canonical JSON and one LF.
    ///
    /// # Errors
    /// Where a number is larger than every reader of JSON keeps.
    pub fn to_json(&self) -> Result<Vec<u8>, RatingError> {
        let mut bytes =
            canonical::to_vec(self).map_err(|error| RatingError::Document(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl InvoiceLine {
    fn of(line: &Line) -> Self {
        Self {
            amount_minor: Whole(line.amount_minor),
            amount_nanos: Whole(line.amount_nanos),
            class: line.class,
            line_id: line.line_id.clone(),
            per: Whole(line.per),
            period: line.period.to_string(),
            price_nanos: Whole(line.price_nanos),
            quantity: Whole(line.quantity),
            rate_card: line.rate_card.to_string(),
            rate_card_version: line.rate_card_version.to_string(),
            sku: line.sku.to_string(),
            tier: line.tier,
            usage_count: line.usage_count,
            usage_root: line.usage_root,
        }
    }
}

/// Two postings for each line with an amount, in the order of lines.
pub(super) fn postings(tenant: &str, lines: &[Line]) -> Vec<Posting> {
    let mut postings = Vec::new();
    for line in lines.iter().filter(|line| line.amount_minor != 0) {
        let other = match line.class {
            LineClass::Usage | LineClass::Correction => format!("revenue/{}", line.sku),
            LineClass::Discount | LineClass::Credit => line.sku.replacen(':', "/", 1),
        };
        let receivable = format!("receivable/{tenant}");
        postings.push(Posting { account: receivable, minor: Whole(line.amount_minor) });
        postings.push(Posting { account: other, minor: Whole(-line.amount_minor) });
    }
    postings
}
