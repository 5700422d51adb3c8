//! Logs of runs that ended long ago. They are set aside first, then it is recorded that they went,
//! then they are removed: whoever dies in between leaves what the next turn goes on with.

use std::collections::BTreeMap;

use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::ReadError;
use dagbook_events::retention::logs_may_go;
use dagbook_events::time::Timestamp;

use super::{Keeping, Policies, load, unavailable};
use crate::app::error::AppError;
use crate::app::listing;

/// Runs that are looked at in one turn.
const LOOKED_AT: usize = 500;

/// What goes of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Going {
    /// Runs whose logs were set aside; of a look, those whose would be.
    pub(super) runs: Vec<RunId>,
    pub(super) bytes: u64,
}

/// Sets logs aside, from the run behind `cursor` on; the next turn goes on where this one ended.
pub(super) async fn sweep(
    keeping: &Keeping,
    policies: &Policies,
    cursor: &mut Option<RunId>,
    now: Timestamp,
    count_only: bool,
) -> Result<BTreeMap<TenantId, Going>, AppError> {
    let mut going: BTreeMap<TenantId, Going> = BTreeMap::new();
    if !count_only {
        left_behind(keeping, policies, now, &mut going).await?;
    }
    let has_policy = policies.tenants.keys().any(|it| policies.of(it).0.logs().is_some());
    if !has_policy {
        return Ok(going);
    }
    let from = *cursor;
    let runs = keeping.files.runs_with_logs(from, LOOKED_AT).await.map_err(|e| unavailable(&e))?;
    *cursor = if runs.len() < LOOKED_AT { None } else { runs.last().copied() };
    let (mut may_go, mut last) = (Vec::new(), None);
    for run in runs {
        // Logs of a run that the record does not know are left alone.
        let Some(tenant) = owner(keeping, policies, last.as_ref(), run).await? else { continue };
        if may(keeping, policies, &tenant, run, now).await? {
            may_go.push((tenant.clone(), run));
        }
        last = Some(tenant);
    }
    // Looking takes a while, in which somebody may have held something.
    if !may_go.is_empty() && !load(keeping.store.as_ref()).await?.wants_the_same(policies) {
        *cursor = from;
        return Ok(going);
    }
    for (tenant, run) in may_go {
        let bytes = match count_only {
            true => keeping.files.logs_bytes(run).await.map(Some),
            false => keeping.files.set_logs_aside(run).await,
        };
        if let Some(bytes) = bytes.map_err(|error| unavailable(&error))? {
            let of_tenant = going.entry(tenant).or_default();
            of_tenant.runs.push(run);
            of_tenant.bytes += bytes;
        }
    }
    Ok(going)
}

/// What somebody set aside who died before it was removed: it goes on its way, or back where it
/// may not go any more.
async fn left_behind(
    keeping: &Keeping,
    policies: &Policies,
    now: Timestamp,
    going: &mut BTreeMap<TenantId, Going>,
) -> Result<(), AppError> {
    let files = &keeping.files;
    for run in files.logs_set_aside().await.map_err(|error| unavailable(&error))? {
        let tenant = owner(keeping, policies, None, run).await?;
        let tenant = match tenant {
            Some(tenant) if may(keeping, policies, &tenant, run, now).await? => tenant,
            _ => {
                files.put_logs_back(run).await.map_err(|error| unavailable(&error))?;
                continue;
            }
        };
        let bytes = files.bytes_set_aside(run).await.map_err(|error| unavailable(&error))?;
        let of_tenant = going.entry(tenant).or_default();
        of_tenant.runs.push(run);
        of_tenant.bytes += bytes;
    }
    Ok(())
}

async fn may(
    keeping: &Keeping,
    policies: &Policies,
    tenant: &TenantId,
    run: RunId,
    now: Timestamp,
) -> Result<bool, AppError> {
    let (policy, own) = policies.of(tenant);
    if policy.logs().is_none() {
        return Ok(false);
    }
    let end = listing::end(&keeping.recorder, tenant, run).await;
    let end = end.map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(logs_may_go(&policy, &own, run, end.map(|end| end.at), now).is_ok())
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
