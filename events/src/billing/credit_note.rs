//! The document of a credit note: canonical JSON, which is recorded as it is.

use serde::{Deserialize, Serialize};

use super::Whole;
use crate::time::Timestamp;

/// The format of the document.
pub const CREDIT_NOTE_FORMAT: &str = "dagbook.credit_note/1";

/// Takes back what lines of an invoice asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNote {
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// [`CREDIT_NOTE_FORMAT`].
    pub format: String,
    /// Number of the invoice.
    pub invoice: String,
    /// When it was issued.
    pub issued_ms: Timestamp,
    /// Who issued it: the site.
    pub issuer: String,
    /// What is taken back.
    pub lines: Vec<CreditNoteLine>,
    /// Its number.
    pub number: String,
    /// The period of the invoice.
    pub period: String,
    /// Double entry: the sum is zero.
    pub postings: Vec<CreditNotePosting>,
    /// Why.
    pub reason: String,
    /// To whom.
    pub tenant: String,
    /// What is taken back in all.
    pub total_minor: Whole,
}

/// What is taken back of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteLine {
    /// How much: above zero.
    pub amount_minor: Whole,
    /// Of which line of the invoice.
    pub line_id: String,
    /// Of what that was.
    pub sku: String,
}

/// One side of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNotePosting {
    /// Which account.
    pub account: String,
    /// How much.
    pub minor: Whole,
}

/// A line of an invoice, as far as it can be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoicedLine {
    /// Its id.
    pub line_id: String,
    /// Of what it is.
    pub sku: String,
    /// The account that it was posted to, beside the receivable.
    pub account: String,
    /// What it asks for.
    pub amount_minor: Whole,
}
