//! What tenants may use, told to the engine where it runs, and asked at each submission.

use std::collections::BTreeMap;
use std::time::Duration;

use dagbook_events::admission::{Quota, accepts};
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::EventStore;
use dagbook_events::time::Millis;
use tokio::sync::watch;

use super::directory::Directory;
use super::error::AppError;
use crate::runtime::Runtime;

/// How often the directory is looked at for quotas that were set.
const LOOK: Duration = Duration::from_millis(500);
/// Open runs that are listed at a time.
const PAGE: usize = 500;
/// Open runs that are looked through, at most, where the engine does not run: with more of them
/// the site has other troubles than one too many.
const LOOKED_AT_MAX: usize = 20_000;
/// When to come again to a tenant or a site that has too many runs.
const LATER: Millis = Millis(5_000);

/// Tells an engine that has just begun what every tenant may use.
pub fn tell_all(directory: &Directory, runtime: &Runtime) -> BTreeMap<TenantId, Quota> {
    let mut told = BTreeMap::new();
    tell_new(directory, runtime, &mut told);
    told
}

/// Tells what differs from what was told.
fn tell_new(directory: &Directory, runtime: &Runtime, told: &mut BTreeMap<TenantId, Quota>) {
    for tenant in directory.tenants() {
        let quota = directory.settings(&tenant).map(|it| it.quota).unwrap_or_default();
        if told.get(&tenant).copied().unwrap_or_default() != quota {
            runtime.set_quota(&tenant, quota);
            told.insert(tenant, quota);
        }
    }
}

/// Tells the engine, while it runs here, of every quota that is set, as long as the process lives.
pub async fn feed(directory: Directory, mut engine: watch::Receiver<Option<Runtime>>) {
    loop {
        let runtime = engine.borrow_and_update().clone();
        if let Some(runtime) = runtime {
            let mut told = tell_all(&directory, &runtime);
            loop {
                tokio::select! {
                    changed = engine.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = tokio::time::sleep(LOOK) => tell_new(&directory, &runtime, &mut told),
                }
            }
        } else if engine.changed().await.is_err() {
            return;
        }
    }
}

/// Whether one more run of the tenant is accepted: back-pressure, not a promise, for what is
/// submitted at the same moment elsewhere is not seen.
///
/// # Errors
/// [`AppError::Exhausted`] with the numbers; the store's errors.
pub async fn check_submission(
    store: &dyn EventStore,
    engine: Option<&Runtime>,
    tenant: &TenantId,
    quota: &Quota,
    site: &Quota,
) -> Result<(), AppError> {
    if quota.open_runs.is_none() && site.open_runs.is_none() {
        return Ok(());
    }
    let here = match engine {
        Some(runtime) => runtime.open_runs(tenant).await.ok(),
        None => None,
    };
    let (own, all) = match here {
        Some(counts) => counts,
        None => count(store, tenant, quota.open_runs, site.open_runs).await?,
    };
    accepts(tenant, quota, site, own, all).map_err(|refused| AppError::Exhausted {
        limit: refused.code,
        reason: refused.to_string(),
        retry_after: LATER,
    })
}

/// Runs that are not over, of the tenant and of all, counted until a limit is reached.
async fn count(
    store: &dyn EventStore,
    tenant: &TenantId,
    most_own: Option<u32>,
    most_all: Option<u32>,
) -> Result<(u64, u64), AppError> {
    let reached = |n: u64, most: Option<u32>| most.is_some_and(|most| n >= u64::from(most));
    let (mut own, mut all) = (0u64, 0u64);
    let mut after: Option<(TenantId, StreamName)> = None;
    loop {
        let cursor = after.as_ref().map(|(tenant, stream)| (tenant, stream));
        let page = store.open_streams("run/", cursor, PAGE).await?;
        for (whose, _) in &page {
            all += 1;
            own += u64::from(whose == tenant);
        }
        let is_last = page.len() < PAGE;
        let is_enough = reached(own, most_own) || reached(all, most_all);
        if is_last || is_enough || all >= LOOKED_AT_MAX as u64 {
            return Ok((own, all));
        }
        after = page.into_iter().last();
    }
}
