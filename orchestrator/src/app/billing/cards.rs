//! Rate cards of the site: published, looked at, given to tenants.

use dagbook_events::access::Permission;
use dagbook_events::billing::file::read_card;
use dagbook_events::billing::{
    Billing, CardStreamEvent, CardVersions, RATE_CARD_STREAMS, card_stream,
};
use dagbook_events::dag::Finding;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Timestamp;

use super::{Accounts, billing_stream, site};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::{Principal, SITE_TENANT};
use crate::app::reports::{RateCardReport, RateCardRow};
use crate::app::streams::{self, Loaded};

/// Cards of a site that are listed.
const LISTED: usize = 1_000;

/// What became of a file.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version, new or as it was.
    pub card: RateCardReport,
    /// Whether it is new.
    pub is_new: bool,
    /// Tenants that adopted it.
    pub adopted_by: Vec<TenantId>,
    /// Warnings.
    pub warnings: Vec<Finding>,
}

/// Publishes a version of a rate card, and lets the tenants that have the card adopt it.
///
/// # Errors
/// [`AppError::Findings`] with everything that is wrong with the file; [`AppError::Conflict`]
/// where it contradicts what was published.
pub async fn publish(
    accounts: &Accounts,
    by: &Principal,
    (bytes, path): (&[u8], &str),
    effective: Option<Timestamp>,
) -> Result<Published, AppError> {
    by.require(Permission::ManageSite)?;
    let (file, warnings) = read_card(bytes, path).map_err(AppError::Findings)?;
    let stream = card_stream(&file.what.name).map_err(|e| AppError::Invalid(e.to_string()))?;
    let decide = |card: &CardVersions, now| card.publish(&file, effective, now);
    let place = (&site()?, &stream);
    let (card, events) = accounts.decide::<CardVersions>(place, &by.actor, decide).await?;
    let adopted_by = adopt_everywhere(accounts, &by.actor, &card).await?;
    let published = match events.first() {
        Some(CardStreamEvent::Published(published)) => Some(published),
        None => card.last(),
    };
    let report = published.map(RateCardReport::of);
    let report = report.ok_or_else(|| AppError::Internal("no version is there".to_string()))?;
    Ok(Published { card: report, is_new: !events.is_empty(), adopted_by, warnings })
}

/// Lets every tenant that has the card adopt what was published since. One that cannot now does
/// when the leader takes its next turn.
async fn adopt_everywhere(
    accounts: &Accounts,
    by: &Actor,
    card: &CardVersions,
) -> Result<Vec<TenantId>, AppError> {
    let mut adopted = Vec::new();
    for tenant in accounts.services.store.log_heads().await?.into_keys() {
        if tenant.as_str() != SITE_TENANT && adopt(accounts, by, &tenant, card).await? {
            adopted.push(tenant);
        }
    }
    Ok(adopted)
}

/// Lets one tenant adopt what was published of its card; says whether there was anything.
pub(super) async fn adopt(
    accounts: &Accounts,
    by: &Actor,
    tenant: &TenantId,
    card: &CardVersions,
) -> Result<bool, AppError> {
    let place = (tenant, &billing_stream()?);
    let decided = accounts.decide::<Billing>(place, by, |state, _| state.follow(card)).await?;
    Ok(!decided.1.is_empty())
}

/// Gives a card to the tenant on whom the asker acts; says what holds for it then.
///
/// # Errors
/// [`AppError::NotFound`] where there is no such card; [`AppError::Conflict`] where it is in
/// another currency, or from when on it is to hold is settled.
pub async fn assign(
    accounts: &Accounts,
    by: &Principal,
    name: &str,
    effective: Option<Timestamp>,
) -> Result<Vec<RateCardReport>, AppError> {
    by.require(Permission::ManageSite)?;
    if by.tenant.as_str() == SITE_TENANT {
        return Err(AppError::Invalid("the site itself is billed for nothing".to_string()));
    }
    let card = existing(accounts, name).await?;
    let place = (&by.tenant, &billing_stream()?);
    let decide = |state: &Billing, now| state.assign(&card, effective, now);
    let (state, events) = accounts.decide::<Billing>(place, &by.actor, decide).await?;
    let new = state.cards.iter().rev().take(events.len().max(1)).rev();
    Ok(new.map(RateCardReport::adopted).collect())
}

/// The versions of a card that is there.
async fn existing(accounts: &Accounts, name: &str) -> Result<CardVersions, AppError> {
    let missing = || AppError::not_found("rate card", shorten(name));
    let stream = card_stream(name).map_err(|_| missing())?;
    let store = accounts.services.store.as_ref();
    let loaded: Loaded<CardVersions> = streams::load(store, &site()?, &stream).await?;
    if loaded.version == 0 { Err(missing()) } else { Ok(loaded.state) }
}

/// Whether the asker may know of a card: people of the site of all, others of their own.
async fn may_see(accounts: &Accounts, by: &Principal, name: &str) -> Result<bool, AppError> {
    if by.of_site && by.require(Permission::ManageSite).is_ok() {
        return Ok(true);
    }
    let state = accounts.billing(&by.tenant).await?.state;
    Ok(state.cards.iter().any(|adopted| adopted.card.name == name))
}

/// The names of all cards, sorted.
pub(super) async fn names(accounts: &Accounts) -> Result<Vec<String>, AppError> {
    let store = accounts.services.store.as_ref();
    let streams = store.streams(&site()?, RATE_CARD_STREAMS, None, LISTED).await?;
    let names = streams.iter().filter_map(|it| it.as_str().strip_prefix(RATE_CARD_STREAMS));
    let mut names: Vec<String> = names.map(str::to_string).collect();
    names.sort();
    Ok(names)
}

/// Cards that the asker may know of, behind `after`, by name.
///
/// # Errors
/// As [`Principal::require`], or where the record cannot be read.
pub async fn list(
    accounts: &Accounts,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RateCardRow>, AppError> {
    by.require(Permission::ReadAudit)?;
    let mut rows = Vec::new();
    for name in names(accounts).await? {
        if rows.len() == limit {
            break;
        }
        let is_behind = after.is_none_or(|after| name.as_str() > after);
        if is_behind && may_see(accounts, by, &name).await? {
            rows.extend(RateCardRow::of(&existing(accounts, &name).await?));
        }
    }
    Ok(rows)
}

/// All versions of a card that the asker may know of.
///
/// # Errors
/// [`AppError::NotFound`], also for one that the asker may not know of.
pub async fn versions(
    accounts: &Accounts,
    by: &Principal,
    name: &str,
) -> Result<Vec<RateCardReport>, AppError> {
    by.require(Permission::ReadAudit)?;
    if !may_see(accounts, by, name).await? {
        return Err(AppError::not_found("rate card", shorten(name)));
    }
    Ok(existing(accounts, name).await?.versions.iter().map(RateCardReport::of).collect())
}

/// A version of a card; the newest if none is named.
///
/// # Errors
/// As [`versions`].
pub async fn show(
    accounts: &Accounts,
    by: &Principal,
    name: &str,
    version: Option<u32>,
) -> Result<RateCardReport, AppError> {
    let mut all = versions(accounts, by, name).await?;
    let found = match version {
        None => all.pop(),
        Some(version) => all.into_iter().find(|it| it.card.version == version),
    };
    found.ok_or_else(|| {
        let version = version.unwrap_or_default();
        AppError::not_found("version", format!("{version} of {}", shorten(name)))
    })
}

/// All versions of the cards of the site, for the leader.
pub(super) async fn all(accounts: &Accounts) -> Result<Vec<CardVersions>, AppError> {
    let mut all = Vec::new();
    for name in names(accounts).await? {
        all.push(existing(accounts, &name).await?);
    }
    Ok(all)
}

/// The refusal of something that a file says.
pub(super) fn refused(error: &str) -> Refusal {
    Refusal::Invalid(error.to_string())
}
