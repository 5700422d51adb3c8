//! Making up for the past: previewed, asked for, stopped.

use std::collections::BTreeSet;

use dagbook_events::access::Permission;
use dagbook_events::ids::TenantId;
use dagbook_events::schedule::{
    BackfillAsk, BackfillPlan, BackfillRequested, Schedule, ScheduleEvent,
};
use dagbook_events::time::Timestamp;

use super::keep::{decide, mine, pipeline};
use super::{existing, refused, stream};
use crate::app::error::AppError;
use crate::app::pipelines::word;
use crate::app::principal::Principal;
use crate::app::reports::{BackfillPreview, ScheduleReport};
use crate::app::services::Services;
use crate::app::streams;

/// Events read at a time.
const PAGE: usize = 1_000;

/// Instants from `from` on and before `to` that the schedule fired, whatever it was then; without
/// those of the backfill with this number.
pub(super) async fn fired_within(
    services: &Services,
    tenant: &TenantId,
    name: &str,
    (from, to): (Timestamp, Timestamp),
    but: Option<u32>,
) -> Result<BTreeSet<Timestamp>, AppError> {
    let (stream, mut version) = (stream(name)?, 0);
    let mut fired = BTreeSet::new();
    loop {
        let page = services.store.read_stream(tenant, &stream, version, PAGE).await?;
        for recorded in &page {
            version = recorded.version + 1;
            if let Some((_, ScheduleEvent::Fired(it))) = streams::read::<ScheduleEvent>(recorded)?
                && it.instant >= from
                && it.instant < to
                && (it.backfill.is_none() || it.backfill != but)
            {
                fired.insert(it.instant);
            }
        }
        if page.len() < PAGE {
            return Ok(fired);
        }
    }
}

/// What a recorded backfill covers.
pub(super) async fn planned(
    services: &Services,
    tenant: &TenantId,
    name: &str,
    request: &BackfillRequested,
) -> Result<BackfillPlan, AppError> {
    let range = (request.from, request.to);
    let fired = fired_within(services, tenant, name, range, Some(request.id)).await?;
    Ok(BackfillPlan::of(request, &fired))
}

async fn plan(
    services: &Services,
    by: &Principal,
    name: &str,
    state: &Schedule,
    ask: &BackfillAsk,
) -> Result<(BackfillAsk, BackfillPlan), AppError> {
    let now = services.clock.now();
    state.check_backfill(ask, now).map_err(|refusal| refused(name, refusal))?;
    let Some(cron) = &state.cron else {
        return Err(AppError::Damaged(format!("the times of `{name}` cannot be read")));
    };
    let range = state.settled_range(ask.from, ask.to);
    let fired = fired_within(services, &by.tenant, name, range, None).await?;
    let plan = BackfillPlan::new(cron, range, ask.order, ask.again, &fired);
    Ok((BackfillAsk { to: range.1, ..ask.clone() }, plan))
}

/// What a backfill would do.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] for a range that cannot be.
pub async fn preview(
    services: &Services,
    by: &Principal,
    name: &str,
    ask: &BackfillAsk,
) -> Result<BackfillPreview, AppError> {
    let runs = pipeline(services, by, name).await?;
    by.require_of(Permission::ReadSchedules, runs.as_deref())?;
    let loaded = existing(services, &by.tenant, name).await?;
    let (_, plan) = plan(services, by, name, &loaded.state, ask).await?;
    Ok(BackfillPreview::of(&plan))
}

/// Asks for instants of the past to be made up for.
///
/// # Errors
/// As [`preview`]; [`AppError::Conflict`] while another one goes on.
pub async fn backfill(
    services: &Services,
    by: &Principal,
    name: &str,
    ask: &BackfillAsk,
) -> Result<ScheduleReport, AppError> {
    mine(services, by, name).await?;
    let loaded = existing(services, &by.tenant, name).await?;
    let (settled, plan) = plan(services, by, name, &loaded.state, ask).await?;
    let who = word(&by.actor);
    let ask = |state: &Schedule, now| Ok(vec![state.backfill(&settled, &plan, now, &who)?]);
    decide(services, by, name, ask).await
}

/// Stops the backfill that goes on. Runs that it fired go on.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] where none goes on.
pub async fn cancel_backfill(
    services: &Services,
    by: &Principal,
    name: &str,
    reason: &str,
) -> Result<ScheduleReport, AppError> {
    mine(services, by, name).await?;
    let who = word(&by.actor);
    let ask = |state: &Schedule, _| Ok(vec![state.cancel_backfill(reason.to_string(), &who)?]);
    decide(services, by, name, ask).await
}
