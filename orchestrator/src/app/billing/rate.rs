//! From a tenant's log to a statement. Of a log of years only its end is folded, with the same
//! result: what can matter to the period, and what was recorded since the closing before it.

use std::ops::Range;
use std::sync::Arc;

use dagbook_events::billing::{BILLING_STREAM, Billing, PeriodClosed, RateCard};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{LogHead, Recorded};
use dagbook_events::rating::{CLOCK_WINDOW_MS, Options, RatingError, Span, Statement};
use dagbook_events::time::Timestamp;

use super::Accounts;
use super::fold::{Folded, Part, billing_leaves, fold};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;

/// What is rated.
#[derive(Debug, Clone)]
pub enum What {
    /// A period that was opened.
    Period(String),
    /// A span of time in the place of all periods.
    Span(Span),
}

/// A statement, and the log that it follows from.
#[derive(Debug)]
pub struct Rated {
    /// What follows.
    pub statement: Statement,
    /// The log at its size.
    pub head: LogHead,
    /// Hashes of all leaves, where they were asked for.
    pub hashes: Vec<Sha256Digest>,
}

/// How it is rated.
#[derive(Debug, Default)]
pub(super) struct How {
    /// The log as it was at this size; by default as it is.
    pub head: Option<LogHead>,
    /// This card in the place of all others.
    pub what_if: Option<RateCard>,
    /// Keep the hashes of all leaves.
    pub keep_hashes: bool,
}

/// Rates a period, or a span of time.
pub(super) async fn rate(
    accounts: &Accounts,
    tenant: &TenantId,
    what: What,
    how: How,
) -> Result<Rated, AppError> {
    let head = match how.head {
        Some(head) => head,
        None => accounts.services.store.log_head(tenant).await?,
    };
    let size = head.size;
    let from = match how.keep_hashes {
        true => 0,
        false => matters_from(accounts, tenant, &what, size).await?,
    };
    let billing = billing_leaves(accounts, tenant).await?;
    let (name, span) = match what {
        What::Period(name) => (name, None),
        What::Span(span) => (span.name.clone(), Some(span)),
    };
    // A span is looked at in a log that has nothing yet as well: there it begins before its end.
    let counted = if span.is_some() { size.max(1) } else { size };
    let timeline = closed_on(&billing, &name)?;
    let mut options = options(accounts, tenant, timeline).await?;
    (options.what_if, options.span) = (how.what_if, span);
    let part = Part { from, size, keep_hashes: how.keep_hashes };
    let folded = fold(accounts, tenant, options, part, billing).await?;
    let (statement, hashes) = apart(move || {
        let Folded { mut ledger, hashes } = folded;
        ledger.statement(&name, counted).map(|statement| (statement, hashes)).map_err(failed)
    })
    .await?;
    Ok(Rated { statement, head, hashes })
}

/// The first leaf that can matter, but for those of the stream `billing` and of runs that go on.
///
/// Usage reaches no further than a clock window behind the instant at which it was recorded, so
/// what was recorded earlier has none in the period. What came to be known behind the closing
/// before is corrected, however old it is.
async fn matters_from(
    accounts: &Accounts,
    tenant: &TenantId,
    what: &What,
    size: u64,
) -> Result<u64, AppError> {
    let state = accounts.billing(tenant).await?.state;
    let (start, since) = match what {
        // The bill of a span corrects nothing.
        What::Span(span) => (span.start, size),
        What::Period(name) => {
            let Some(period) = state.period(name) else { return Ok(0) };
            let others = state.periods.iter().take_while(|it| it.opened.period != *name);
            let closed = others.filter_map(|it| Some(it.closed.as_ref()?.size));
            let since = closed.filter(|closed| *closed <= size).max().unwrap_or(0);
            (period.opened.start.0, since)
        }
    };
    let within = begins_at(&state, start).min(since)..since;
    first_at(accounts, tenant, within, start.saturating_sub(CLOCK_WINDOW_MS)).await
}

/// The first leaf of these that was recorded at an instant or later, or the end of them.
/// Instants of recording do not descend within a log.
async fn first_at(
    accounts: &Accounts,
    tenant: &TenantId,
    within: Range<u64>,
    instant: i64,
) -> Result<u64, AppError> {
    let Range { mut start, mut end } = within;
    while start < end {
        let middle = start + (end - start) / 2;
        let page = accounts.services.store.read_log(tenant, middle, 1).await?;
        let missing = || AppError::Damaged(format!("leaf {middle} of {tenant} is missing"));
        let leaf = Envelope::parse(&page.first().ok_or_else(missing)?.leaf)
            .map_err(|error| AppError::Damaged(format!("leaf {middle} of {tenant}: {error}")))?;
        match leaf.recorded_at.0 < instant {
            true => start = middle + 1,
            false => end = middle,
        }
    }
    Ok(start)
}

/// From which leaf on the log matters to what begins at an instant, as openings say.
fn begins_at(state: &Billing, start: i64) -> u64 {
    let begun = state.periods.iter().filter(|it| it.opened.start.0 <= start);
    begun.map(|it| it.opened.needs_from).max().unwrap_or(0)
}

/// The index before which no leaf can matter to what begins at an instant.
pub(super) async fn needs_from(
    accounts: &Accounts,
    tenant: &TenantId,
    start: Timestamp,
) -> Result<u64, AppError> {
    let size = accounts.services.store.log_head(tenant).await?.size;
    let from = begins_at(&accounts.billing(tenant).await?.state, start.0);
    let billing = billing_leaves(accounts, tenant).await?;
    let options = options(accounts, tenant, None).await?;
    let part = Part { from, size, keep_hashes: false };
    let folded = fold(accounts, tenant, options, part, billing).await?;
    apart(move || Ok(folded.ledger.needs_from(start.0, size))).await
}

/// The timeline on which a period was closed: its invoice names the log as it was called then.
fn closed_on(billing: &[Recorded], period: &str) -> Result<Option<u64>, AppError> {
    let broken = |why: String| AppError::Damaged(format!("the stream {BILLING_STREAM}: {why}"));
    for recorded in billing.iter().rev() {
        let leaf = Envelope::parse(&recorded.leaf).map_err(|error| broken(error.to_string()))?;
        if &*leaf.kind != "period.closed" {
            continue;
        }
        let closed: PeriodClosed =
            serde_json::from_str(&leaf.data).map_err(|error| broken(error.to_string()))?;
        if closed.period == period {
            return Ok(Some(leaf.timeline));
        }
    }
    Ok(None)
}

async fn options(
    accounts: &Accounts,
    tenant: &TenantId,
    timeline: Option<u64>,
) -> Result<Options, AppError> {
    let timeline = match timeline {
        Some(timeline) => timeline,
        None => accounts.services.store.timeline().await?,
    };
    let origin = format!("{}/t/{tenant}/{timeline}", accounts.site);
    Ok(Options { tenant: tenant.to_string(), origin, ..Options::default() })
}

/// Computes something that may take long, off the async threads.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|lost| AppError::Internal(lost.to_string()))?
}

pub(super) fn failed(error: RatingError) -> AppError {
    match error {
        RatingError::UnknownPeriod { period, .. } => {
            AppError::not_found("period", shorten(&period))
        }
        RatingError::Currency { .. } => AppError::Conflict(error.to_string()),
        _ => AppError::Damaged(format!("the log cannot be rated: {error}")),
    }
}

/// Text that many may hold.
pub(super) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
