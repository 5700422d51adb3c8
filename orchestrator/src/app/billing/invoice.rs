//! Invoices: of closed periods as they were issued, computed again from the log; of open ones as
//! drafts; and what they would be with another rate card.

use std::sync::Arc;

use dagbook_events::access::Permission;
use dagbook_events::billing::file::read_card;
use dagbook_events::billing::{Billing, Period, RateCard};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::LogHead;
use dagbook_events::rating::{Statement, focus_csv};

use super::Accounts;
use super::close::closed;
use super::rate::{How, Rated, What, apart, rate};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::Principal;
use crate::app::reports::{CreditNoteReport, InvoiceReport, InvoiceRow, WhatIfReport};

/// Which invoice, and what beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InvoiceAsk {
    /// The name of the period, or the number of the invoice.
    pub period: String,
    /// A rate card to compare with: its bytes, and the path it was read from.
    pub what_if: Option<(Vec<u8>, String)>,
    /// With the documents themselves.
    pub documents: bool,
    /// With its rows for the tools of others (FOCUS 1.2).
    pub focus: bool,
}

/// Issued invoices and drafts of the tenant, newest first.
///
/// # Errors
/// As [`Principal::require`], or where the record cannot be read.
pub async fn invoices(accounts: &Accounts, by: &Principal) -> Result<Vec<InvoiceRow>, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let closed = state.periods.iter().rev().filter_map(|it| Some((it, it.closed.as_ref()?)));
    closed
        .map(|(period, closed)| InvoiceRow::of(period, closed, &notes(&state, &closed.number)?))
        .collect()
}

fn notes(state: &Billing, number: &str) -> Result<Vec<CreditNoteReport>, AppError> {
    state.credit_notes.iter().filter(|it| it.invoice == number).map(CreditNoteReport::of).collect()
}

/// The period that is named, by its name or by its invoice's number.
pub(super) fn named<'a>(state: &'a Billing, name: &str) -> Result<&'a Period, AppError> {
    let by_number = || state.invoiced(name).map(|(period, _)| period);
    state
        .period(name)
        .or_else(by_number)
        .ok_or_else(|| AppError::not_found("period", shorten(name)))
}

/// The log as the closing counts it; none: the period is open.
pub(super) fn head_of(period: &Period) -> Option<LogHead> {
    period.closed.as_ref().map(|closed| LogHead { size: closed.size, root: closed.root })
}

/// An invoice.
///
/// # Errors
/// [`AppError::NotFound`] where there is no such period; [`AppError::Damaged`] where what is
/// computed is not what was issued.
pub async fn invoice(
    accounts: &Accounts,
    by: &Principal,
    ask: &InvoiceAsk,
) -> Result<InvoiceReport, AppError> {
    by.require(Permission::ReadAudit)?;
    let card = ask.what_if.as_ref().map(|(bytes, path)| other_card(bytes, path)).transpose()?;
    let state = accounts.billing(&by.tenant).await?.state;
    let period = named(&state, &ask.period)?;
    let what = What::Period(period.opened.period.clone());
    let how = How { head: head_of(period), ..How::default() };
    let rated = rate(accounts, &by.tenant, what.clone(), how).await?;
    let head = rated.head.clone();
    let statement = rated.statement.clone();
    let documents = closed(rated).await?;
    if let Some(issued) = period.closed.as_ref().filter(|it| it.invoice != documents.event.invoice)
    {
        return Err(AppError::Damaged(format!(
            "the invoice {} was issued with the digest {}, and what follows from the log has {}: \
             see the runbook billing-stuck",
            issued.number, issued.invoice, documents.event.invoice
        )));
    }
    let notes = match &period.closed {
        Some(closed) => notes(&state, &closed.number)?,
        None => Vec::new(),
    };
    let now = accounts.services.clock.now();
    let mut report = InvoiceReport::of((period, now), &statement, &documents, notes);
    let statement = Arc::new(statement);
    if ask.focus {
        report.focus_csv = Some(focus(&state, Arc::clone(&statement), head.root).await?);
    }
    if let Some(card) = card {
        let how = How { head: Some(head), what_if: Some(card.clone()), keep_hashes: false };
        let Rated { statement: other, .. } = rate(accounts, &by.tenant, what, how).await?;
        report.what_if = Some(WhatIfReport::of(&card, &statement, &other));
    }
    if ask.documents {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
        report.invoice_json = Some(text(documents.invoice_json));
        report.lines_csv = Some(text(documents.lines_csv));
    }
    Ok(report)
}

async fn focus(
    state: &Billing,
    statement: Arc<Statement>,
    root: Sha256Digest,
) -> Result<String, AppError> {
    let period =
        |it: &Period| (Arc::from(it.opened.period.as_str()), (it.opened.start.0, it.opened.end.0));
    let periods = state.periods.iter().map(period).collect();
    apart(move || {
        let internal = |error: String| AppError::Internal(error);
        let csv = focus_csv(&statement, periods, root).map_err(|e| internal(e.to_string()))?;
        String::from_utf8(csv).map_err(|e| internal(e.to_string()))
    })
    .await
}

/// A card that is not published, only looked at.
fn other_card(bytes: &[u8], path: &str) -> Result<RateCard, AppError> {
    let (file, _) = read_card(bytes, path).map_err(AppError::Findings)?;
    Ok(file.what)
}
