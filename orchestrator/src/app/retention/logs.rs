//! Logs of runs that ended long ago.

use std::collections::BTreeMap;

use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::ReadError;
use dagbook_events::retention::logs_may_go;
use dagbook_events::time::Timestamp;

use super::{Keeping, Policies, unavailable};
use crate::app::error::AppError;
use crate::app::listing;

/// Runs that are looked at in one turn.
const LOOKED_AT: usize = 500;

/// What went of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) runs: u64,
    pub(super) bytes: u64,
}

/// Lets logs go, from the run behind `cursor` on; the next turn goes on where this one ended.
pub(super) async fn sweep(
    keeping: &Keeping,
    policies: &Policies,
    cursor: &mut Option<RunId>,
    now: Timestamp,
    count_only: bool,
) -> Result<BTreeMap<TenantId, Gone>, AppError> {
    let mut gone: BTreeMap<TenantId, Gone> = BTreeMap::new();
    let has_policy = policies.tenants.keys().any(|it| policies.of(it).0.logs().is_some());
    if !has_policy {
        return Ok(gone);
    }
    let runs =
        keeping.files.runs_with_logs(*cursor, LOOKED_AT).await.map_err(|e| unavailable(&e))?;
    *cursor = if runs.len() < LOOKED_AT { None } else { runs.last().copied() };
    let mut last: Option<TenantId> = None;
    for run in runs {
        // Logs of a run that the record does not know are left alone.
        let Some(tenant) = owner(keeping, policies, last.as_ref(), run).await? else { continue };
        last = Some(tenant.clone());
        let (policy, own) = policies.of(&tenant);
        if policy.logs().is_none() {
            continue;
        }
        let end = listing::end(&keeping.recorder, &tenant, run).await;
        let end = end.map_err(|error| AppError::Internal(error.to_string()))?;
        if logs_may_go(&policy, &own, run, end.map(|end| end.at), now).is_err() {
            continue;
        }
        let bytes = match count_only {
            true => keeping.files.logs_bytes(run).await,
            false => keeping.files.remove_logs(run).await,
        };
        let bytes = bytes.map_err(|error| unavailable(&error))?;
        let of_tenant = gone.entry(tenant).or_default();
        of_tenant.runs += 1;
        of_tenant.bytes += bytes;
    }
    Ok(gone)
}

/// The tenant of a run: mostly that of the run before.
async fn owner(
    keeping: &Keeping,
    policies: &Policies,
    last: Option<&TenantId>,
    run: RunId,
) -> Result<Option<TenantId>, ReadError> {
    let stream = StreamName::run(run);
    for tenant in last.into_iter().chain(policies.tenants.keys()) {
        if !keeping.store.read_stream(tenant, &stream, 0, 1).await?.is_empty() {
            return Ok(Some(tenant.clone()));
        }
    }
    Ok(None)
}
