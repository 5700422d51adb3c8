//! Credit notes on issued invoices.

use dagbook_events::access::Permission;
use dagbook_events::billing::{Billing, CreditAsk, CreditNote, InvoicedLine, Whole, parse_decimal};
use dagbook_events::ports::LogHead;
use dagbook_events::rating::{Line, LineClass};
use dagbook_events::time::Timestamp;

use super::rate::{How, What, rate};
use super::{Accounts, billing_stream};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::Principal;
use crate::app::reports::CreditNoteReport;

/// What is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreditRequest {
    /// Number of the invoice, or the name of its period.
    pub invoice: String,
    /// Lines, each with a decimal amount, or with none for all that is left of it. None: all.
    pub lines: Vec<(String, Option<String>)>,
    /// Why.
    pub reason: String,
    /// When it was asked for first; a note of that instant is the one that was asked for.
    pub at: Option<Timestamp>,
}

/// Issues a credit note.
///
/// # Errors
/// [`AppError::NotFound`] where there is no such invoice or line; [`AppError::Conflict`] where
/// more would be taken back than was asked for.
pub async fn issue(
    accounts: &Accounts,
    by: &Principal,
    request: &CreditRequest,
) -> Result<CreditNoteReport, AppError> {
    by.require(Permission::ManageSite)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let missing = || AppError::not_found("invoice", shorten(&request.invoice));
    let by_number = state.invoiced(&request.invoice);
    let by_period = state.period(&request.invoice).and_then(|it| Some((it, it.closed.as_ref()?)));
    let (period, closed) = by_number.or(by_period).ok_or_else(missing)?;
    let head = LogHead { size: closed.size, root: closed.root };
    let what = What::Period(period.opened.period.clone());
    let how = How { head: Some(head), ..How::default() };
    let rated = rate(accounts, &by.tenant, what, how).await?;
    let lines: Vec<InvoicedLine> = rated.statement.lines.iter().map(invoiced).collect();
    let mut ask = CreditAsk {
        invoice: closed.number.clone(),
        lines: Vec::with_capacity(request.lines.len()),
        reason: request.reason.clone(),
    };
    for (line, amount) in &request.lines {
        let minor = |text: &String| {
            parse_decimal(text, period.opened.exponent)
                .map_err(|why| AppError::Invalid(format!("the amount `{}` {why}", shorten(text))))
        };
        ask.lines.push((line.clone(), amount.as_ref().map(minor).transpose()?));
    }
    if let Some(at) = request.at {
        for note in &state.credit_notes {
            let note = CreditNoteReport::of(note)?;
            let same = (&note.invoice, &note.reason) == (&ask.invoice, &ask.reason);
            if same && note.issued_at == at.to_rfc3339() {
                return Ok(note);
            }
        }
    }
    let place = (&by.tenant, &billing_stream()?);
    let parties = (&*accounts.site, by.tenant.as_str());
    let decide = |state: &Billing, now: Timestamp| {
        state.credit(parties, &ask, &lines, request.at.unwrap_or(now))
    };
    let (state, _) = accounts.decide::<Billing>(place, &by.actor, decide).await?;
    let issued = state.credit_notes.last();
    let report = issued.map(CreditNoteReport::of).transpose()?;
    report.ok_or_else(|| AppError::Internal("the credit note is not there".to_string()))
}

fn invoiced(line: &Line) -> InvoicedLine {
    let account = match line.class {
        LineClass::Usage | LineClass::Correction => format!("revenue/{}", line.sku),
        LineClass::Discount | LineClass::Credit => line.sku.replacen(':', "/", 1),
    };
    InvoicedLine {
        line_id: line.line_id.clone(),
        sku: line.sku.to_string(),
        account,
        amount_minor: Whole(line.amount_minor),
    }
}

impl CreditNoteReport {
    /// Of a note as it is recorded.
    ///
    /// # Errors
    /// Where its document is none.
    pub fn of(issued: &dagbook_events::billing::CreditNoteIssued) -> Result<Self, AppError> {
        let note: CreditNote = serde_json::from_str(&issued.document)
            .map_err(|error| AppError::Damaged(format!("{}: {error}", issued.number)))?;
        Ok(Self::of_note(&note, issued))
    }
}
