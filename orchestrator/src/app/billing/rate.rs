//! From a tenant's log to a statement. The log is read by async code and folded on a thread of
//! its own, a page at a time: however long it is, nothing else waits for it.

use std::sync::Arc;

use dagbook_events::billing::RateCard;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{LogHead, Recorded};
use dagbook_events::rating::{Ledger, Options, RatingError, Span, Statement};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::leaf_hash;
use tokio::sync::mpsc;

use super::{Accounts, billing_stream};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;

/// Leaves read at a time.
const PAGE: usize = 500;
/// Pages that may wait to be folded.
const AHEAD: usize = 4;

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

/// What the folding thread is told.
struct Folded {
    ledger: Ledger,
    hashes: Vec<Sha256Digest>,
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
    let (name, span) = match what {
        What::Period(name) => (name, None),
        What::Span(span) => (span.name.clone(), Some(span)),
    };
    let options = options(accounts, tenant, how.what_if, span).await?;
    let folded = fold(accounts, tenant, options, head.size, how.keep_hashes).await?;
    let size = head.size;
    let (statement, hashes) = apart(move || {
        let Folded { mut ledger, hashes } = folded;
        ledger.statement(&name, size).map(|statement| (statement, hashes)).map_err(failed)
    })
    .await?;
    Ok(Rated { statement, head, hashes })
}

/// The index before which no leaf can matter to what begins at an instant.
pub(super) async fn needs_from(
    accounts: &Accounts,
    tenant: &TenantId,
    start: Timestamp,
) -> Result<u64, AppError> {
    let size = accounts.services.store.log_head(tenant).await?.size;
    let options = options(accounts, tenant, None, None).await?;
    let folded = fold(accounts, tenant, options, size, false).await?;
    apart(move || Ok(folded.ledger.needs_from(start.0, size))).await
}

async fn options(
    accounts: &Accounts,
    tenant: &TenantId,
    what_if: Option<RateCard>,
    span: Option<Span>,
) -> Result<Options, AppError> {
    let timeline = accounts.services.store.timeline().await?;
    let origin = format!("{}/t/{tenant}/{timeline}", accounts.site);
    Ok(Options { tenant: tenant.to_string(), origin, what_if, span })
}

/// Folds the first leaves of a log.
async fn fold(
    accounts: &Accounts,
    tenant: &TenantId,
    options: Options,
    size: u64,
    keep_hashes: bool,
) -> Result<Folded, AppError> {
    let billing = billing_leaves(accounts, tenant).await?;
    let (pages, mut taken) = mpsc::channel::<Vec<Recorded>>(AHEAD);
    let folding = tokio::task::spawn_blocking(move || -> Result<Folded, AppError> {
        let mut ledger = Ledger::new(options).map_err(failed)?;
        for leaf in &billing {
            ledger.foresee(leaf.tenant_sequence, &leaf.leaf).map_err(failed)?;
        }
        let mut hashes = Vec::new();
        while let Some(page) = taken.blocking_recv() {
            for recorded in &page {
                ledger.push(recorded.tenant_sequence, &recorded.leaf).map_err(failed)?;
                if keep_hashes {
                    hashes.push(leaf_hash(&recorded.leaf));
                }
            }
        }
        Ok(Folded { ledger, hashes })
    });
    let read = read(accounts, tenant, size, &pages).await;
    drop(pages);
    let folded = folding.await.map_err(|lost| AppError::Internal(lost.to_string()))?;
    // What the fold says comes first: it is why reading stopped, where both fail.
    let folded = folded?;
    read?;
    Ok(folded)
}

async fn read(
    accounts: &Accounts,
    tenant: &TenantId,
    size: u64,
    pages: &mpsc::Sender<Vec<Recorded>>,
) -> Result<(), AppError> {
    let store = &accounts.services.store;
    let mut from = 0;
    while from < size {
        let most = usize::try_from(size - from).unwrap_or(PAGE).min(PAGE);
        let page = store.read_log(tenant, from, most).await?;
        if page.is_empty() {
            let reason = format!("leaf {from} of {tenant} is missing");
            return Err(AppError::Damaged(reason));
        }
        from += page.len() as u64;
        if let Some(progress) = &accounts.progress {
            progress(from, size);
        }
        if pages.send(page).await.is_err() {
            // The fold has given up, and says why.
            return Ok(());
        }
    }
    Ok(())
}

async fn billing_leaves(accounts: &Accounts, tenant: &TenantId) -> Result<Vec<Recorded>, AppError> {
    let stream = billing_stream()?;
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let from = all.len() as u64;
        let page = accounts.services.store.read_stream(tenant, &stream, from, PAGE).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
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
