//! What people ask about retention, and who may.

use std::sync::Arc;

use dagbook_events::access::Permission;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Archive, Clock, EventStore, Rng};
use dagbook_events::retention::RetentionCommand;
use dagbook_events::time::Timestamp;

use super::settings::{change, load, of};
use crate::app::error::AppError;
use crate::app::principal::{Principal, SITE_TENANT};
use crate::app::reports::RetentionReport;
use dagbook_events::ids::StreamName;

/// What is kept for how long in the asker's tenant, what is held, and what went last.
///
/// # Errors
/// As [`Principal::require`]; the store's errors.
pub async fn show(
    store: &dyn EventStore,
    archive: Option<&Arc<dyn Archive>>,
    by: &Principal,
) -> Result<RetentionReport, AppError> {
    by.require(Permission::ReadRuns)?;
    let policies = load(store).await?;
    let archived_below = match archive {
        Some(archive) => Some(archive.gone_until().await?.0),
        None => None,
    };
    Ok(RetentionReport::of(&by.tenant, &policies, archived_below))
}

/// Changes what the asker's tenant wants, or the site where `of_site`.
///
/// # Errors
/// As [`Principal::require`]; [`AppError::NotFound`] for a hold on a run that is not there;
/// otherwise as [`change`].
pub async fn change_by(
    (store, clock, rng): (&dyn EventStore, &dyn Clock, &dyn Rng),
    by: &Principal,
    of_site: bool,
    command: &RetentionCommand,
) -> Result<(), AppError> {
    by.require(match of_site {
        true => Permission::ManageSite,
        false => Permission::ManageTenant,
    })?;
    let site = || TenantId::new(SITE_TENANT).map_err(|e| AppError::Internal(e.to_string()));
    let tenant = if of_site { site()? } else { by.tenant.clone() };
    // A hold on a run that nobody has would hold nothing, and nobody would know.
    if let RetentionCommand::Place(placed) = command
        && let Some(run) = placed.run
        && store.read_stream(&tenant, &StreamName::run(run), 0, 1).await?.is_empty()
    {
        return Err(AppError::not_found("run", run));
    }
    change((store, clock, rng), &tenant, &by.actor, command).await.map(drop)
}

/// When logs of a run that ended then went by policy, if they did.
///
/// # Errors
/// The store's errors.
pub async fn logs_went(
    store: &dyn EventStore,
    tenant: &TenantId,
    ended_at: Timestamp,
) -> Result<Option<Timestamp>, AppError> {
    Ok(of(store, tenant).await?.state.logs_went(ended_at))
}
