//! Tenants: made, changed, suspended and resumed by people of the site; looked at by their own.

use std::collections::BTreeMap;

use dagbook_events::access::Permission;
use dagbook_events::admission::Quota;
use dagbook_events::ids::TenantId;
use dagbook_events::tenant::{
    TENANT_STREAM, Tenant, TenantChanged, TenantCommand, TenantCreated, decide_tenant,
};

use super::administration::Administration;
use super::error::AppError;
use super::principal::Principal;
use super::reports::TenantReport;

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantChange {
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its zone.
    pub timezone: Option<String>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The whole of what it may use at one time.
    pub quota: Option<Quota>,
}

/// Tenants that the asker may know of, behind `after`, by name.
///
/// # Errors
/// As [`Principal::require`].
pub fn list(
    admin: &Administration,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<TenantReport>, AppError> {
    by.require(Permission::ReadRuns)?;
    let all = match is_manager(by) {
        true => admin.directory.tenants(),
        false => vec![by.tenant.clone()],
    };
    let behind = all.into_iter().filter(|tenant| after.is_none_or(|after| tenant.as_str() > after));
    let rows = behind.filter_map(|tenant| {
        let settings = admin.directory.settings(&tenant)?;
        Some(TenantReport::of(&tenant, &settings))
    });
    Ok(rows.take(limit).collect())
}

fn is_manager(by: &Principal) -> bool {
    by.of_site && by.require(Permission::ManageSite).is_ok()
}

/// The tenant that is asked about, if the asker may know of it: a stranger's is not there, like
/// one that does not exist.
fn named(by: &Principal, name: &str) -> Result<TenantId, AppError> {
    let missing = || AppError::not_found("tenant", name);
    let tenant = TenantId::new(name).map_err(|_| missing())?;
    match is_manager(by) || tenant == by.tenant {
        true => Ok(tenant),
        false => Err(missing()),
    }
}

/// One tenant.
///
/// # Errors
/// [`AppError::NotFound`], also for one that the asker may not know of.
pub fn show(admin: &Administration, by: &Principal, name: &str) -> Result<TenantReport, AppError> {
    by.require(Permission::ReadRuns)?;
    let tenant = named(by, name)?;
    let settings = admin.directory.settings(&tenant);
    let settings = settings.ok_or_else(|| AppError::not_found("tenant", name))?;
    Ok(TenantReport::of(&tenant, &settings))
}

/// Makes a tenant.
///
/// # Errors
/// [`AppError::Conflict`] where there is one of this name.
pub async fn create(
    admin: &Administration,
    by: &Principal,
    name: &str,
    created: TenantCreated,
) -> Result<TenantReport, AppError> {
    by.require(Permission::ManageSite)?;
    let tenant = TenantId::new(name).map_err(|error| AppError::Invalid(error.to_string()))?;
    decide(admin, by, &tenant, &[TenantCommand::Create(created)]).await
}

/// Changes a tenant. Its owner may change what it is called; the site what it may use.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::Forbidden`] or [`AppError::Invalid`].
pub async fn change(
    admin: &Administration,
    by: &Principal,
    name: &str,
    change: TenantChange,
) -> Result<TenantReport, AppError> {
    by.require(Permission::ManageTenant)?;
    if change.quota.is_some() {
        by.require(Permission::ManageSite)?;
    }
    let tenant = named(by, name)?;
    let TenantChange { display_name, timezone, labels, quota } = change;
    let words = TenantChanged { display_name, timezone, labels };
    let mut commands = vec![TenantCommand::Change(words)];
    commands.extend(quota.map(TenantCommand::SetQuota));
    decide(admin, by, &tenant, &commands).await
}

/// Lets nobody of a tenant do anything until it is resumed.
///
/// # Errors
/// As [`create`].
pub async fn suspend(
    admin: &Administration,
    by: &Principal,
    name: &str,
    reason: Option<String>,
) -> Result<TenantReport, AppError> {
    by.require(Permission::ManageSite)?;
    decide(admin, by, &named(by, name)?, &[TenantCommand::Suspend(reason)]).await
}

/// Lets a tenant go on.
///
/// # Errors
/// As [`create`].
pub async fn resume(
    admin: &Administration,
    by: &Principal,
    name: &str,
) -> Result<TenantReport, AppError> {
    by.require(Permission::ManageSite)?;
    decide(admin, by, &named(by, name)?, &[TenantCommand::Resume]).await
}

async fn decide(
    admin: &Administration,
    by: &Principal,
    tenant: &TenantId,
    commands: &[TenantCommand],
) -> Result<TenantReport, AppError> {
    let is_implied = admin.directory.is_implied(tenant);
    let (state, _) = admin
        .decide::<Tenant>(tenant, TENANT_STREAM, &by.actor, |state, _| {
            let mut events = Vec::new();
            for command in commands {
                events.extend(decide_tenant(state, tenant.as_str(), is_implied, command)?);
            }
            Ok(events)
        })
        .await?;
    Ok(TenantReport::of(tenant, &state))
}
