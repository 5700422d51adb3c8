//! Secrets of a tenant. The record has names and versions; sealed values are on the shelf, and
//! are opened by executors alone, when an attempt starts.

use dagbook_events::access::Permission;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::{ShelfAnswer, ShelfExpected, ShelfItem};
use dagbook_events::tenant::{SECRETS_STREAM, SecretCommand, SecretEvent, Secrets, decide_secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::administration::Administration;
use super::error::AppError;
use super::principal::Principal;
use super::reports::SecretReport;
use super::sealing::{SealError, SealedFor, SealedValue};
use super::streams;

/// Keys of sealed values on the shelf begin with it; the name follows.
pub const SEALED_PREFIX: &str = "secret/";

/// Rounds against others who change the same value.
const ROUNDS: usize = 16;

impl From<SealError> for AppError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Keys(_) | SealError::UnknownKey(_) => Self::unavailable(error),
            SealError::Damaged(_) => Self::Damaged(error.to_string()),
        }
    }
}

/// The place of a secret's value on the shelf.
pub fn shelf_key(name: &str) -> String {
    format!("{SEALED_PREFIX}{name}")
}

/// Reads what is kept.
///
/// # Errors
/// [`AppError::Damaged`] where it is not a sealed value.
pub fn read(item: &ShelfItem) -> Result<SealedValue, AppError> {
    serde_json::from_slice(&item.value)
        .map_err(|error| AppError::Damaged(format!("`{}` is no sealed value: {error}", item.key)))
}

fn bytes(sealed: &SealedValue) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec(sealed).map_err(|error| AppError::Internal(error.to_string()))
}

/// Secrets of the tenant behind `after`, by name.
///
/// # Errors
/// As [`Principal::require`], or where the store is away.
pub async fn list(
    admin: &Administration,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<SecretReport>, AppError> {
    by.require(Permission::ManageSecrets)?;
    let secrets = folded(admin, &by.tenant).await?;
    let behind = secrets.there().filter(|(name, _)| after.is_none_or(|after| *name > after));
    Ok(behind.take(limit).map(|(name, record)| SecretReport::of(name, record)).collect())
}

async fn folded(admin: &Administration, tenant: &TenantId) -> Result<Secrets, AppError> {
    let stream = StreamName::new(SECRETS_STREAM).map_err(|e| AppError::Internal(e.to_string()))?;
    let store = admin.services.store.as_ref();
    Ok(streams::load::<Secrets>(store, tenant, &stream).await?.state)
}

/// Keeps a value, replacing an earlier one. The change is recorded first: a value that is in
/// force always has its event.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::Exhausted`], or where the store or the site's key is away;
/// then the earlier value may still be in force, and setting it again puts that right.
pub async fn set(
    admin: &Administration,
    by: &Principal,
    name: &str,
    value: &[u8],
) -> Result<SecretReport, AppError> {
    by.require(Permission::ManageSecrets)?;
    // Known to work before anything is recorded.
    admin.sealer.current()?;
    let command = SecretCommand::Set { name: name.to_string(), bytes: value.len() };
    let (tenant, (state, version)) = (&by.tenant, change(admin, by, &command).await?);
    let sealed = admin.sealer.seal(SealedFor { tenant, name, version }, value)?;
    put(admin, tenant, name, &sealed).await?;
    // Somebody may have removed it before the value came to lie on the shelf.
    forget_removed(admin, tenant, name, &folded(admin, tenant).await?).await?;
    let record = state.by_name.get(name).ok_or_else(|| AppError::not_found("secret", name))?;
    Ok(SecretReport::of(name, record))
}

/// Forgets a secret.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn remove(admin: &Administration, by: &Principal, name: &str) -> Result<(), AppError> {
    by.require(Permission::ManageSecrets)?;
    let (state, _) = change(admin, by, &SecretCommand::Remove { name: name.to_string() }).await?;
    forget_removed(admin, &by.tenant, name, &state).await
}

async fn change(
    admin: &Administration,
    by: &Principal,
    command: &SecretCommand,
) -> Result<(Secrets, u64), AppError> {
    let (state, events) = admin
        .decide::<Secrets>(&by.tenant, SECRETS_STREAM, &by.actor, |state, _| {
            decide_secret(state, command).map(|event| vec![event])
        })
        .await?;
    let version = events.first().map_or(0, |event| match event {
        SecretEvent::Set(set) => set.version,
        SecretEvent::Removed(removed) => removed.version,
    });
    Ok((state, version))
}

/// Puts a sealed value in the place of an older one; a newer one stays.
async fn put(
    admin: &Administration,
    tenant: &TenantId,
    name: &str,
    sealed: &SealedValue,
) -> Result<(), AppError> {
    let (shelf, key, value) = (&admin.services.shelf, shelf_key(name), bytes(sealed)?);
    let mut there = shelf.get(tenant, &key).await?;
    for _ in 0..ROUNDS {
        let expected = match &there {
            None => ShelfExpected::New,
            // What cannot be read is replaced.
            Some(item) if read(item).is_ok_and(|kept| kept.version > sealed.version) => {
                return Ok(());
            }
            Some(item) => ShelfExpected::Version(item.version),
        };
        match shelf.put(tenant, &key, &value, expected, None).await? {
            ShelfAnswer::Kept(_) => return Ok(()),
            ShelfAnswer::Differs(now) => there = now,
        }
    }
    Err(AppError::Conflict("others change this secret all the time; try again".to_string()))
}

async fn forget_removed(
    admin: &Administration,
    tenant: &TenantId,
    name: &str,
    state: &Secrets,
) -> Result<(), AppError> {
    if state.by_name.get(name).is_none_or(|record| !record.is_there) {
        admin.services.shelf.remove(tenant, &shelf_key(name)).await?;
    }
    Ok(())
}

/// What sealing everything anew came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RekeyReport {
    /// Values that were sealed anew.
    pub sealed: u64,
    /// Values that the current key sealed already.
    pub current: u64,
    /// Values that could not be opened: their key is gone, or they were changed.
    pub lost: u64,
}

/// Seals every value of every tenant with the current key.
///
/// # Errors
/// As [`Principal::require`], or where the store or the key file is away; what was done stays
/// done, and doing it again goes on.
pub async fn rekey(admin: &Administration, by: &Principal) -> Result<RekeyReport, AppError> {
    by.require(Permission::ManageSite)?;
    let current = admin.sealer.current()?;
    let mut report = RekeyReport::default();
    for tenant in admin.directory.tenants() {
        let mut after: Option<String> = None;
        loop {
            let shelf = &admin.services.shelf;
            let items = shelf.list(&tenant, SEALED_PREFIX, after.as_deref(), 100).await?;
            let Some(last) = items.last() else { break };
            after = Some(last.key.clone());
            for item in &items {
                reseal(admin, &tenant, item, &current, &mut report).await?;
            }
        }
    }
    Ok(report)
}

async fn reseal(
    admin: &Administration,
    tenant: &TenantId,
    item: &ShelfItem,
    current: &str,
    report: &mut RekeyReport,
) -> Result<(), AppError> {
    let name = item.key.strip_prefix(SEALED_PREFIX).unwrap_or_default();
    let Ok(kept) = read(item) else {
        report.lost += 1;
        return Ok(());
    };
    if kept.key == current {
        report.current += 1;
        return Ok(());
    }
    let of = SealedFor { tenant, name, version: kept.version };
    let value = match admin.sealer.open(of, &kept) {
        Ok(value) => value,
        Err(SealError::Keys(reason)) => return Err(SealError::Keys(reason).into()),
        Err(error) => {
            tracing::warn!(%tenant, name, %error, "a secret cannot be sealed anew");
            report.lost += 1;
            return Ok(());
        }
    };
    let sealed = bytes(&admin.sealer.seal(of, &value)?)?;
    let expected = ShelfExpected::Version(item.version);
    // Whoever changed it in the meantime sealed it with the current key.
    admin.services.shelf.put(tenant, &item.key, &sealed, expected, None).await?;
    report.sealed += 1;
    Ok(())
}
