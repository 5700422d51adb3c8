//! Tokens of a tenant: issued, rotated, revoked, listed; and people by their identity provider.

use std::collections::BTreeMap;

use dagbook_events::access::{Permission, Role};
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, AppendError, AppendRequest, Expected};
use dagbook_events::tenant::{
    ACCESS_STREAM, Access, AccessCommand, AccessEvent, Grantor, IssueToken, PersonRemoved,
    PersonSet, RotateToken, Scopes, TokenRecord, decide_access,
};
use dagbook_events::time::{Millis, Timestamp};
use uuid::Uuid;

use super::administration::Administration;
use super::directory::USED_PREFIX;
use super::error::AppError;
use super::principal::{Principal, SITE_TENANT};
use super::reports::{IssuedToken, PersonReport, TokenReport};
use super::token_text::TokenText;
use super::{stamp, streams};

/// The name of the token that the first start of a server makes.
const FIRST: &str = "first admin";

/// A token that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedToken {
    /// What people will call it.
    pub name: String,
    /// What whoever shows it will be.
    pub role: Role,
    /// What it is narrowed to.
    pub scopes: Scopes,
    /// From when on it does not work any more.
    pub expires_at: Option<Timestamp>,
}

fn grantor(by: &Principal) -> Grantor {
    Grantor { role: by.role, scopes: by.scopes.clone() }
}

async fn decide(
    admin: &Administration,
    by: &Principal,
    command: &AccessCommand,
) -> Result<Access, AppError> {
    let (is_site, by_whom) = (by.tenant.as_str() == SITE_TENANT, grantor(by));
    let (state, _) = admin
        .decide::<Access>(&by.tenant, ACCESS_STREAM, &by.actor, |state, now| {
            decide_access(state, now, is_site, &by_whom, command)
        })
        .await?;
    Ok(state)
}

/// Issues a token; its value is in the answer and nowhere else. `id` is its new id.
///
/// # Errors
/// [`AppError::Forbidden`] where the asker may not give the role, [`AppError::Invalid`],
/// [`AppError::Conflict`] for a name that is taken, [`AppError::Exhausted`].
pub async fn issue(
    admin: &Administration,
    by: &Principal,
    id: Uuid,
    wanted: WantedToken,
) -> Result<IssuedToken, AppError> {
    by.require(Permission::ManageTokens)?;
    let value = TokenText::mint(admin.services.rng.as_ref());
    let WantedToken { name, role, scopes, expires_at } = wanted;
    let token = id.to_string();
    let hash = value.hash();
    let issue = IssueToken { token: token.clone(), hash, name, role, scopes, expires_at };
    let state = decide(admin, by, &AccessCommand::Issue(issue)).await?;
    issued(admin, &state, &token, &value)
}

/// Gives a token a new value; the old one works beside it for a while.
///
/// # Errors
/// As [`issue`]; [`AppError::NotFound`], also for a token of another tenant.
pub async fn rotate(
    admin: &Administration,
    by: &Principal,
    token: &str,
    overlap: Millis,
    expires_at: Option<Timestamp>,
) -> Result<IssuedToken, AppError> {
    by.require(Permission::ManageTokens)?;
    let value = TokenText::mint(admin.services.rng.as_ref());
    let (token, hash) = (token.to_string(), value.hash());
    let rotate = RotateToken { token: token.clone(), hash, overlap, expires_at };
    let state = decide(admin, by, &AccessCommand::Rotate(rotate)).await?;
    issued(admin, &state, &token, &value)
}

fn issued(
    admin: &Administration,
    state: &Access,
    token: &str,
    value: &TokenText,
) -> Result<IssuedToken, AppError> {
    let about = report(admin, state, token, None)?;
    Ok(IssuedToken { about, value: value.reveal().to_string() })
}

fn report(
    admin: &Administration,
    state: &Access,
    token: &str,
    last_used: Option<Timestamp>,
) -> Result<TokenReport, AppError> {
    let record = state.tokens.get(token).ok_or_else(|| AppError::not_found("token", token))?;
    Ok(TokenReport::of(token, record, last_used, admin.services.clock.now()))
}

/// Revokes a token: it works nowhere any more, within a second.
///
/// # Errors
/// [`AppError::NotFound`], also for a token of another tenant; [`AppError::Conflict`] for the
/// last one that administers the site.
pub async fn revoke(
    admin: &Administration,
    by: &Principal,
    token: &str,
    reason: Option<String>,
) -> Result<TokenReport, AppError> {
    by.require(Permission::ManageTokens)?;
    let revoke = AccessCommand::Revoke { token: token.to_string(), reason };
    let state = decide(admin, by, &revoke).await?;
    report(admin, &state, token, last_use(admin, &by.tenant, token).await?)
}

/// One token.
///
/// # Errors
/// [`AppError::NotFound`], also for a token of another tenant.
pub async fn show(
    admin: &Administration,
    by: &Principal,
    token: &str,
) -> Result<TokenReport, AppError> {
    by.require(Permission::ReadTokens)?;
    let state = admin.directory.access(&by.tenant);
    report(admin, &state, token, last_use(admin, &by.tenant, token).await?)
}

/// Tokens of the tenant behind `after`, in the order of their issue.
///
/// # Errors
/// As [`Principal::require`], or where the store is away.
pub async fn list(
    admin: &Administration,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<TokenReport>, AppError> {
    by.require(Permission::ReadTokens)?;
    let (state, now) = (admin.directory.access(&by.tenant), admin.services.clock.now());
    let behind =
        state.tokens.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
    let page: Vec<(&String, &TokenRecord)> = behind.take(limit).collect();
    let used = last_uses(admin, &by.tenant).await?;
    let reports = page
        .into_iter()
        .map(|(id, record)| TokenReport::of(id, record, used.get(id).copied(), now));
    Ok(reports.collect())
}

async fn last_use(
    admin: &Administration,
    tenant: &TenantId,
    token: &str,
) -> Result<Option<Timestamp>, AppError> {
    Ok(last_uses(admin, tenant).await?.remove(token))
}

async fn last_uses(
    admin: &Administration,
    tenant: &TenantId,
) -> Result<BTreeMap<String, Timestamp>, AppError> {
    let mut used = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let items = admin.services.shelf.list(tenant, USED_PREFIX, after.as_deref(), 500).await?;
        for item in &items {
            let text = std::str::from_utf8(&item.value).ok().and_then(|text| text.parse().ok());
            if let (Some(id), Some(at)) = (item.key.strip_prefix(USED_PREFIX), text) {
                used.insert(id.to_string(), Timestamp(at));
            }
        }
        match items.last() {
            Some(last) if items.len() == 500 => after = Some(last.key.clone()),
            _ => return Ok(used),
        }
    }
}

/// People of the tenant.
///
/// # Errors
/// As [`Principal::require`].
pub fn people(admin: &Administration, by: &Principal) -> Result<Vec<PersonReport>, AppError> {
    by.require(Permission::ReadTokens)?;
    let state = admin.directory.access(&by.tenant);
    let rows = state.people.iter();
    Ok(rows.map(|((issuer, subject), it)| PersonReport::of((issuer, subject), it)).collect())
}

/// Gives a person a role in the tenant.
///
/// # Errors
/// As [`issue`].
pub async fn set_person(
    admin: &Administration,
    by: &Principal,
    person: PersonSet,
) -> Result<PersonReport, AppError> {
    by.require(Permission::ManageTokens)?;
    let key = (person.issuer.clone(), person.subject.clone());
    let state = decide(admin, by, &AccessCommand::SetPerson(person)).await?;
    let record = state.people.get(&key).ok_or_else(|| AppError::not_found("person", &key.1))?;
    Ok(PersonReport::of((&key.0, &key.1), record))
}

/// Takes a person's role away.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn remove_person(
    admin: &Administration,
    by: &Principal,
    person: PersonRemoved,
) -> Result<(), AppError> {
    by.require(Permission::ManageTokens)?;
    decide(admin, by, &AccessCommand::RemovePerson(person)).await.map(drop)
}

/// Makes the first admin token where the site never had a token. Of several servers that start
/// together, one makes it.
///
/// # Errors
/// Where the record cannot be read or appended to.
pub async fn bootstrap(admin: &Administration) -> Result<Option<TokenText>, AppError> {
    if !admin.directory.is_unborn() {
        return Ok(None);
    }
    let services = &admin.services;
    let internal = |error: dagbook_events::ids::InvalidId| AppError::Internal(error.to_string());
    let tenant = TenantId::new(SITE_TENANT).map_err(internal)?;
    let stream = dagbook_events::ids::StreamName::new(ACCESS_STREAM).map_err(internal)?;
    let (value, now) = (TokenText::mint(services.rng.as_ref()), services.clock.now());
    let id = stamp::event_id(services.clock.as_ref(), services.rng.as_ref()).0.to_string();
    let command = AccessCommand::Issue(IssueToken {
        token: id,
        hash: value.hash(),
        name: FIRST.to_string(),
        role: Role::Admin,
        scopes: Scopes::default(),
        expires_at: None,
    });
    let by = Grantor::whole(Role::Admin);
    let events: Vec<AccessEvent> = decide_access(&Access::default(), now, true, &by, &command)?;
    let actor = Actor::new("system", "serve");
    let append = streams::prepare(services, &stream, Expected::New, now, &actor, &events)?;
    let request = AppendRequest { tenant, key: None, streams: vec![append], fence: None };
    match services.store.append(request).await {
        Ok(appended) => {
            admin.directory.caught_up(appended.last).await;
            Ok(Some(value))
        }
        Err(AppendError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
