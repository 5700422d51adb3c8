//! Credit notes: documents of their own, which take back at most what an invoice asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::check_reason;
use crate::billing::card_versions::fits;
use crate::billing::{
    Billing, BillingEvent, CREDIT_NOTE_FORMAT, CreditNote, CreditNoteIssued, CreditNoteLine,
    CreditNotePosting, InvoicedLine, Whole,
};
use crate::canonical;
use crate::digest::Sha256Digest;
use crate::tenant::Refusal;
use crate::time::Timestamp;

/// Lines of one credit note.
const MAX_LINES: usize = 256;

/// What is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditAsk {
    /// Number of the invoice.
    pub invoice: String,
    /// So much of these lines; none of an amount: all that is left. No lines: all of them.
    pub lines: Vec<(String, Option<Whole>)>,
    /// Why.
    pub reason: String,
}

impl Billing {
    /// Issues a credit note on an invoice with these lines.
    ///
    /// # Errors
    /// Where there is no such invoice or line, or more would be taken back than was asked for.
    pub fn credit(
        &self,
        (issuer, tenant): (&str, &str),
        ask: &CreditAsk,
        invoiced: &[InvoicedLine],
        now: Timestamp,
    ) -> Result<Vec<BillingEvent>, Refusal> {
        check_reason(&ask.reason)?;
        let (period, closed) = self.invoiced(&ask.invoice).ok_or_else(|| Refusal::Missing {
            what: "invoice",
            name: ask.invoice.chars().take(80).collect(),
        })?;
        if ask.lines.len() > MAX_LINES {
            let text = format!("a credit note has at most {MAX_LINES} lines");
            return Err(Refusal::Invalid(text));
        }
        let taken = self.taken_back(&ask.invoice);
        let (lines, postings) = chosen(tenant, ask, invoiced, &taken)?;
        let total: i128 = lines.iter().map(|line| line.amount_minor.0).sum();
        let before: i128 = taken.values().sum();
        if before + total > closed.total_minor.0 {
            return Err(Refusal::Conflict(format!(
                "the invoice {} asks for {} in minor units, of which {before} were taken back: {} \
                 cannot be",
                ask.invoice, closed.total_minor, total
            )));
        }
        let number = format!("{tenant}-CN-{:06}", self.credit_notes.len() + 1);
        let note = CreditNote {
            currency: period.opened.currency.clone(),
            exponent: period.opened.exponent,
            format: CREDIT_NOTE_FORMAT.to_string(),
            invoice: ask.invoice.clone(),
            issued_ms: now,
            issuer: issuer.to_string(),
            lines,
            number: number.clone(),
            period: period.opened.period.clone(),
            postings,
            reason: ask.reason.clone(),
            tenant: tenant.to_string(),
            total_minor: Whole(total),
        };
        let bytes = canonical::to_vec(&note).map_err(|e| Refusal::Invalid(e.to_string()))?;
        let document =
            String::from_utf8(bytes).map_err(|error| Refusal::Invalid(error.to_string()))?;
        let sha256 = Sha256Digest::of(document.as_bytes());
        let issued = CreditNoteIssued { number, invoice: ask.invoice.clone(), sha256, document };
        Ok(vec![fits(BillingEvent::CreditNoteIssued(issued), "the credit note")?])
    }

    /// What earlier credit notes took back of an invoice, by line.
    fn taken_back(&self, invoice: &str) -> BTreeMap<String, i128> {
        let mut taken = BTreeMap::new();
        for issued in self.credit_notes.iter().filter(|it| it.invoice == invoice) {
            let note: Option<CreditNote> = serde_json::from_str(&issued.document).ok();
            for line in note.into_iter().flat_map(|note| note.lines) {
                *taken.entry(line.line_id).or_default() += line.amount_minor.0;
            }
        }
        taken
    }
}

type Chosen = (Vec<CreditNoteLine>, Vec<CreditNotePosting>);

fn chosen(
    tenant: &str,
    ask: &CreditAsk,
    invoiced: &[InvoicedLine],
    taken: &BTreeMap<String, i128>,
) -> Result<Chosen, Refusal> {
    let mut wanted: Vec<(&InvoicedLine, Option<Whole>)> = Vec::new();
    let mut named = BTreeSet::new();
    for (line_id, amount) in &ask.lines {
        let line = invoiced.iter().find(|line| line.line_id == *line_id);
        let line = line.ok_or_else(|| Refusal::Missing {
            what: "line of the invoice",
            name: line_id.chars().take(80).collect(),
        })?;
        if !named.insert(line_id) {
            return Err(Refusal::Invalid(format!("the line {line_id} is named twice")));
        }
        wanted.push((line, *amount));
    }
    if wanted.is_empty() {
        wanted = invoiced.iter().map(|line| (line, None)).collect();
    }
    let (mut lines, mut postings) = (Vec::new(), Vec::new());
    for (line, amount) in wanted {
        let before = taken.get(&line.line_id).copied().unwrap_or(0);
        let left = line.amount_minor.0 - before;
        let amount = match amount {
            // All that is left: of what an invoice gave, that is negative.
            None => left,
            Some(amount) if amount.0 >= 1 && amount.0 <= left => amount.0,
            Some(amount) => {
                return Err(Refusal::Conflict(format!(
                    "{} cannot be taken back of line {}: {left} are left of it, in minor units",
                    amount, line.line_id
                )));
            }
        };
        if amount == 0 {
            continue;
        }
        lines.push(CreditNoteLine {
            amount_minor: Whole(amount),
            line_id: line.line_id.clone(),
            sku: line.sku.clone(),
        });
        let posting =
            |account: String, minor: i128| CreditNotePosting { account, minor: Whole(minor) };
        postings.push(posting(format!("receivable/{tenant}"), -amount));
        postings.push(posting(line.account.clone(), amount));
    }
    if lines.iter().map(|line| line.amount_minor.0).sum::<i128>() <= 0 {
        return Err(Refusal::Conflict("nothing is left that could be taken back".to_string()));
    }
    Ok((lines, postings))
}
