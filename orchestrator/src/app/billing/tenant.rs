//! A tenant's contract, periods and budgets, as people set them.

use dagbook_events::access::Permission;
use dagbook_events::billing::file::read_contract;
use dagbook_events::billing::{Billing, BudgetSet, Cut, Opening, PeriodKind, period_named};
use dagbook_events::dag::Finding;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::tenant::{TENANT_STREAM, Tenant};
use dagbook_events::time::{Millis, Timestamp};

use super::cards::refused;
use super::{Accounts, billing_stream, rate};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::{Principal, SITE_TENANT};
use crate::app::reports::{BudgetReport, ContractReport, PeriodReport};
use crate::app::streams::{self, Loaded};

/// Which period to open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenAsk {
    /// A month, a week, or what a custom one is called. None: the one behind the last.
    pub period: Option<String>,
    /// Where a custom one begins; by default where the last one ends.
    pub from: Option<Timestamp>,
    /// Where a custom one ends.
    pub to: Option<Timestamp>,
    /// Its zone; by default that of the last one, or the tenant's.
    pub zone: Option<String>,
    /// How long late usage is waited for.
    pub grace: Option<Millis>,
    /// The currency, where nothing says it yet.
    pub currency: Option<String>,
}

fn of_tenant(by: &Principal) -> Result<(), AppError> {
    match by.tenant.as_str() {
        SITE_TENANT => Err(AppError::Invalid("the site itself is billed for nothing".to_string())),
        _ => Ok(()),
    }
}

/// Publishes a version of the tenant's contract.
///
/// # Errors
/// [`AppError::Findings`] with everything that is wrong with the file; [`AppError::Conflict`]
/// where it contradicts what was published or is settled.
pub async fn publish_contract(
    accounts: &Accounts,
    by: &Principal,
    (bytes, path): (&[u8], &str),
    effective: Option<Timestamp>,
) -> Result<(ContractReport, Vec<Finding>), AppError> {
    by.require(Permission::ManageSite)?;
    of_tenant(by)?;
    let (file, warnings) = read_contract(bytes, path).map_err(AppError::Findings)?;
    let place = (&by.tenant, &billing_stream()?);
    let decide = |state: &Billing, now| state.publish_contract(&file, effective, now);
    let (state, _) = accounts.decide::<Billing>(place, &by.actor, decide).await?;
    let newest = state.contracts.last().map(ContractReport::of);
    let newest = newest.ok_or_else(|| AppError::Internal("no version is there".to_string()))?;
    Ok((newest, warnings))
}

/// The versions of the tenant's contracts, newest first.
///
/// # Errors
/// As [`Principal::require`], or where the record cannot be read.
pub async fn contracts(
    accounts: &Accounts,
    by: &Principal,
) -> Result<Vec<ContractReport>, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    Ok(state.contracts.iter().rev().map(ContractReport::of).collect())
}

/// The tenant's periods, newest first.
///
/// # Errors
/// As [`contracts`].
pub async fn periods(accounts: &Accounts, by: &Principal) -> Result<Vec<PeriodReport>, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let now = accounts.services.clock.now();
    Ok(state.periods.iter().rev().map(|period| PeriodReport::of(period, now)).collect())
}

/// Opens a period.
///
/// # Errors
/// [`AppError::Conflict`] where it does not begin where the one before ends.
pub async fn open(
    accounts: &Accounts,
    by: &Principal,
    ask: &OpenAsk,
) -> Result<PeriodReport, AppError> {
    by.require(Permission::ManageSite)?;
    of_tenant(by)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let zone = match &ask.zone {
        Some(zone) => zone.clone(),
        None => zone(accounts, &by.tenant, &state).await?,
    };
    let cut = cut(&state, ask, zone)?;
    open_as(accounts, &by.tenant, &by.actor, &cut, ask).await
}

/// Opens a period as it was cut.
pub(super) async fn open_as(
    accounts: &Accounts,
    tenant: &TenantId,
    by: &Actor,
    cut: &Cut,
    ask: &OpenAsk,
) -> Result<PeriodReport, AppError> {
    let asked = Opening {
        grace: ask.grace,
        currency: ask.currency.clone(),
        needs_from: rate::needs_from(accounts, tenant, cut.start).await?,
    };
    let place = (tenant, &billing_stream()?);
    let decide = |state: &Billing, _| state.open(cut, &asked);
    let (state, _) = accounts.decide::<Billing>(place, by, decide).await?;
    let opened = state
        .period(&cut.name)
        .map(|period| PeriodReport::of(period, accounts.services.clock.now()));
    opened.ok_or_else(|| AppError::Internal("the period is not there".to_string()))
}

/// The zone of a tenant's next period if nobody says another.
pub(super) async fn zone(
    accounts: &Accounts,
    tenant: &TenantId,
    state: &Billing,
) -> Result<String, AppError> {
    if let Some(last) = state.periods.last() {
        return Ok(last.opened.zone.clone());
    }
    let stream =
        StreamName::new(TENANT_STREAM).map_err(|error| AppError::Internal(error.to_string()))?;
    let store = accounts.services.store.as_ref();
    let settings: Loaded<Tenant> = streams::load(store, tenant, &stream).await?;
    let zone = settings.state.timezone;
    Ok(if zone.is_empty() { "UTC".to_string() } else { zone })
}

fn cut(state: &Billing, ask: &OpenAsk, zone: String) -> Result<Cut, AppError> {
    let last = state.periods.last();
    let invalid = |text: &str| Err(AppError::Invalid(text.to_string()));
    match (&ask.period, ask.from, ask.to) {
        (None, None, None) => match last {
            Some(last) => Ok(state.cut_behind(&last.opened)?),
            None => invalid(
                "no period was opened yet, so none comes next: name a month such as `2026-11`, a \
                 week such as `2026-W47`, or a name with its beginning and end",
            ),
        },
        (Some(name), None, None) => {
            Ok(period_named(name, &zone).map_err(|error| refused(&error.to_string()))?)
        }
        (Some(name), from, Some(end)) => {
            let Some(start) = from.or(last.map(|last| last.opened.end)) else {
                return invalid("the first period needs its beginning as well as its end");
            };
            if period_named(name, &zone).is_ok() {
                return invalid("a name like that of a month or a week is for those only");
            }
            // Only the name of the zone is looked at: the instants are there.
            period_named("2026-01", &zone).map_err(|error| refused(&error.to_string()))?;
            let (name, kind) = (name.clone(), PeriodKind::Custom);
            Ok(Cut { name, kind, start, end, zone })
        }
        (None, ..) => invalid("a period with its beginning and end needs a name"),
        (Some(_), Some(_), None) => invalid("a period with its beginning needs its end"),
    }
}

/// The tenant's budgets by name.
///
/// # Errors
/// As [`contracts`].
pub async fn budgets(accounts: &Accounts, by: &Principal) -> Result<Vec<BudgetReport>, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    Ok(state.budgets.values().map(BudgetReport::of).collect())
}

/// Sets or changes a budget. An owner may, of their own tenant.
///
/// # Errors
/// [`AppError::Invalid`] or [`AppError::Conflict`] where it cannot be.
pub async fn set_budget(
    accounts: &Accounts,
    by: &Principal,
    budget: &BudgetSet,
) -> Result<BudgetReport, AppError> {
    by.require(Permission::ManageTenant)?;
    of_tenant(by)?;
    let place = (&by.tenant, &billing_stream()?);
    accounts.decide::<Billing>(place, &by.actor, |state, _| state.set_budget(budget)).await?;
    Ok(BudgetReport::of(budget))
}

/// Removes a budget; says what it was.
///
/// # Errors
/// [`AppError::NotFound`] where there is none.
pub async fn remove_budget(
    accounts: &Accounts,
    by: &Principal,
    name: &str,
) -> Result<BudgetReport, AppError> {
    by.require(Permission::ManageTenant)?;
    let missing = || AppError::not_found("budget", shorten(name));
    let before = accounts.billing(&by.tenant).await?.state;
    let before = before.budgets.get(name).map(BudgetReport::of).ok_or_else(missing)?;
    let place = (&by.tenant, &billing_stream()?);
    accounts.decide::<Billing>(place, &by.actor, |state, _| state.remove_budget(name)).await?;
    Ok(before)
}
