//! Part of a tenant's log through a ledger. It is read by async code and folded on a thread of its
//! own, a page at a time: however long it is, nothing else waits for it.
//!
//! Of runs that were going on where the part begins, what was recorded before is read as well, by
//! their streams: a report may contradict what was said long ago.

use std::collections::HashSet;

use dagbook_events::billing::BILLING_STREAM;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::Recorded;
use dagbook_events::rating::{Ledger, Options};
use dagbook_events::tlog::leaf_hash;
use tokio::sync::mpsc;

use super::rate::failed;
use super::{Accounts, billing_stream};
use crate::app::error::AppError;

/// Leaves read at a time.
const PAGE: usize = 500;
/// Pages that may wait to be folded.
const AHEAD: usize = 4;

/// Part of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// From this leaf on.
    pub from: u64,
    /// To before this one.
    pub size: u64,
    /// Whether hashes of all leaves are kept.
    pub keep_hashes: bool,
}

/// What the folding thread is told.
enum Told {
    /// The next leaves.
    Next(Vec<Recorded>),
    /// Leaves before the first, of a run of which none was told yet.
    Before(Vec<Recorded>),
}

/// What the folding thread has.
pub(super) struct Folded {
    pub ledger: Ledger,
    pub hashes: Vec<Sha256Digest>,
}

/// Folds a part of a log.
pub(super) async fn fold(
    accounts: &Accounts,
    tenant: &TenantId,
    options: Options,
    part: Part,
    billing: Vec<Recorded>,
) -> Result<Folded, AppError> {
    let (tell, mut told) = mpsc::channel::<Told>(AHEAD);
    let folding = tokio::task::spawn_blocking(move || -> Result<Folded, AppError> {
        let mut ledger = Ledger::new(options).map_err(failed)?;
        for leaf in &billing {
            ledger.foresee(leaf.tenant_sequence, &leaf.leaf).map_err(failed)?;
        }
        let mut hashes = Vec::new();
        while let Some(told) = told.blocking_recv() {
            let page = match told {
                Told::Next(page) => page,
                Told::Before(page) => {
                    for it in &page {
                        ledger.recall(it.tenant_sequence, &it.leaf).map_err(failed)?;
                    }
                    continue;
                }
            };
            for recorded in &page {
                ledger.push(recorded.tenant_sequence, &recorded.leaf).map_err(failed)?;
                if part.keep_hashes {
                    hashes.push(leaf_hash(&recorded.leaf));
                }
            }
        }
        Ok(Folded { ledger, hashes })
    });
    let mut reading = Reading { accounts, tenant, part, met: HashSet::new(), tell };
    let read = reading.read().await;
    drop(reading);
    let folded = folding.await.map_err(|lost| AppError::Internal(lost.to_string()))?;
    // What the fold says comes first: it is why reading stopped, where both fail.
    let folded = folded?;
    read?;
    Ok(folded)
}

/// Reads a part of a log for the folding thread.
struct Reading<'a> {
    accounts: &'a Accounts,
    tenant: &'a TenantId,
    part: Part,
    /// Runs that appeared.
    met: HashSet<StreamName>,
    tell: mpsc::Sender<Told>,
}

impl Reading<'_> {
    async fn read(&mut self) -> Result<(), AppError> {
        let store = &self.accounts.services.store;
        let Part { from: first, size, .. } = self.part;
        let mut from = first;
        while from < size {
            let most = usize::try_from(size - from).unwrap_or(PAGE).min(PAGE);
            let page = store.read_log(self.tenant, from, most).await?;
            if page.is_empty() {
                let reason = format!("leaf {from} of {} is missing", self.tenant);
                return Err(AppError::Damaged(reason));
            }
            from += page.len() as u64;
            if let Some(progress) = &self.accounts.progress {
                progress(from - first, size - first);
            }
            if first > 0 {
                for recorded in &page {
                    let is_new = self.met.insert(recorded.stream.clone());
                    if is_new && recorded.version > 0 && recorded.stream.as_str() != BILLING_STREAM
                    {
                        self.before(&recorded.stream).await?;
                    }
                }
            }
            if self.tell.send(Told::Next(page)).await.is_err() {
                // The fold has given up, and says why.
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a stream has before the part.
    async fn before(&self, stream: &StreamName) -> Result<(), AppError> {
        let store = &self.accounts.services.store;
        let mut version = 0;
        loop {
            let mut page = store.read_stream(self.tenant, stream, version, PAGE).await?;
            version += page.len() as u64;
            page.retain(|recorded| recorded.tenant_sequence < self.part.from);
            let is_all = page.len() < PAGE;
            if self.tell.send(Told::Before(page)).await.is_err() || is_all {
                return Ok(());
            }
        }
    }
}

/// All leaves of the stream `billing`.
pub(super) async fn billing_leaves(
    accounts: &Accounts,
    tenant: &TenantId,
) -> Result<Vec<Recorded>, AppError> {
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
