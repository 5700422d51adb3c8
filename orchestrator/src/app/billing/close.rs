//! Closing a period: the statement at the log's head, recorded under the exact version of the
//! stream, so that of two that close at one time one wins, and neither leaves half of it behind.

use dagbook_events::access::Permission;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, Fence};
use dagbook_events::rating::Closed;

use super::rate::{How, Rated, What, apart, failed, rate};
use super::tenant::{OpenAsk, open_as};
use super::{Accounts, ROUNDS, billing_stream};
use crate::app::error::AppError;
use crate::app::principal::Principal;
use crate::app::reports::PeriodReport;

/// Closes a period of the tenant on whom the asker acts. One that is closed stays as it is.
/// `forced` is why it is closed before its grace is over.
///
/// # Errors
/// [`AppError::Conflict`] where it is not its turn or not time; [`AppError::Damaged`] where the
/// log cannot be rated.
pub async fn close(
    accounts: &Accounts,
    by: &Principal,
    period: &str,
    forced: Option<&str>,
) -> Result<PeriodReport, AppError> {
    by.require(Permission::ManageSite)?;
    close_as(accounts, &by.tenant, &by.actor, (period, forced), None).await
}

/// Closes a period under a lease, or without one.
pub(super) async fn close_as(
    accounts: &Accounts,
    tenant: &TenantId,
    by: &Actor,
    (period, forced): (&str, Option<&str>),
    fence: Option<&Fence>,
) -> Result<PeriodReport, AppError> {
    let stream = billing_stream()?;
    for _ in 0..ROUNDS {
        let loaded = accounts.billing(tenant).await?;
        let now = accounts.services.clock.now();
        let Some(open) = loaded.state.closable(period, now, forced)? else {
            return report(accounts, tenant, period).await;
        };
        let is_last = loaded.state.periods.last() == Some(open);
        if is_last {
            // The next one must be open before: usage behind this one belongs there.
            let next = loaded.state.cut_behind(&open.opened)?;
            open_as(accounts, tenant, by, &next, &OpenAsk::default()).await?;
            continue;
        }
        let rated =
            rate(accounts, tenant, What::Period(period.to_string()), How::default()).await?;
        let closed = closed(rated).await?;
        let events = loaded.state.close(tenant.as_str(), closed.event, now, forced)?;
        let place = (tenant, &stream);
        if accounts.record(place, by, loaded, &events, now, fence).await?.is_some() {
            return report(accounts, tenant, period).await;
        }
    }
    Err(AppError::Conflict(
        "others change the tenant's billing all the time; try again".to_string(),
    ))
}

async fn report(
    accounts: &Accounts,
    tenant: &TenantId,
    period: &str,
) -> Result<PeriodReport, AppError> {
    let state = accounts.billing(tenant).await?.state;
    let now = accounts.services.clock.now();
    let period = state.period(period).map(|period| PeriodReport::of(period, now));
    period.ok_or_else(|| AppError::Internal("the period is not there".to_string()))
}

/// The documents of a statement.
pub(super) async fn closed(rated: Rated) -> Result<Closed, AppError> {
    apart(move || {
        let Rated { statement, head, .. } = rated;
        let usage = Sha256Digest::of(&statement.usage_csv());
        statement.closing(head.root, usage).map_err(failed)
    })
    .await
}
