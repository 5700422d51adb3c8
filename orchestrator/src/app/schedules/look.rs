//! Looking at schedules.

use dagbook_events::access::Permission;
use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::schedule::{Schedule, ScheduleEvent};

use super::{existing, keep, key, load, stream};
use crate::app::error::AppError;
use crate::app::pipelines::shorten;
use crate::app::principal::Principal;
use crate::app::reports::{HistoryRow, ScheduleReport, ScheduleRow};
use crate::app::services::Services;
use crate::app::streams;

/// Firings shown where nobody says how many.
const NEXT_USUAL: usize = 5;
/// Most firings shown.
const NEXT_MAX: usize = 100;

pub(super) fn report(
    services: &Services,
    by: &Principal,
    name: &str,
    state: &Schedule,
) -> Result<ScheduleReport, AppError> {
    of(services, by, name, state, NEXT_USUAL)
}

fn of(
    services: &Services,
    by: &Principal,
    name: &str,
    state: &Schedule,
    next: usize,
) -> Result<ScheduleReport, AppError> {
    let now = services.clock.now();
    ScheduleReport::of(name, &key(&by.tenant, name), state, now, next)
        .ok_or_else(|| AppError::not_found("schedule", shorten(name)))
}

/// A schedule, with so many of its next firings.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] where more than 100 firings are wanted.
pub async fn show(
    services: &Services,
    by: &Principal,
    name: &str,
    next: Option<usize>,
) -> Result<ScheduleReport, AppError> {
    let pipeline = keep::pipeline(services, by, name).await?;
    by.require_of(Permission::ReadSchedules, pipeline.as_deref())?;
    let next = next.unwrap_or(NEXT_USUAL);
    if next > NEXT_MAX {
        return Err(AppError::Invalid(format!("at most {NEXT_MAX} firings are shown")));
    }
    let loaded = existing(services, &by.tenant, name).await?;
    of(services, by, name, &loaded.state, next)
}

/// Schedules, newest first, behind the one named `after`. Deleted ones are left out.
///
/// # Errors
/// As [`Principal::require`].
pub async fn list(
    services: &Services,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ScheduleRow>, AppError> {
    if by.scopes.pipelines.is_none() {
        by.require(Permission::ReadSchedules)?;
    }
    let mut rows = Vec::new();
    let mut before = after.map(stream).transpose()?;
    loop {
        let page =
            services.store.streams(&by.tenant, "schedule/", before.as_ref(), limit.max(1)).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        before = Some(last.clone());
        for name in page.iter().filter_map(|name| name.as_str().strip_prefix("schedule/")) {
            let loaded = load(services, &by.tenant, name).await?;
            let pipeline = loaded.state.spec.as_ref().map(|spec| spec.pipeline.as_str());
            let may_see = by.require_of(Permission::ReadSchedules, pipeline).is_ok();
            if !loaded.state.is_alive() || !may_see {
                continue;
            }
            let (key, now) = (key(&by.tenant, name), services.clock.now());
            rows.push(ScheduleRow::of(name, &key, &loaded.state, now));
            if rows.len() == limit {
                return Ok(rows);
            }
        }
    }
}

/// What happened to a schedule, newest first: events with a version below `before`. With the rows
/// comes the version of the last of them.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn history(
    services: &Services,
    by: &Principal,
    name: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<HistoryRow>, Option<u64>), AppError> {
    let loaded = existing(services, &by.tenant, name).await?;
    let pipeline = loaded.state.spec.as_ref().map(|spec| spec.pipeline.as_str());
    by.require_of(Permission::ReadSchedules, pipeline)?;
    let end = before.unwrap_or(u64::MAX).min(loaded.version);
    let from = end.saturating_sub(limit as u64);
    let wanted = usize::try_from(end - from).unwrap_or(limit);
    let events = services.store.read_stream(&by.tenant, &stream(name)?, from, wanted).await?;
    let mut rows = Vec::with_capacity(events.len());
    for recorded in events.iter().rev() {
        if let Some((at, event)) = streams::read::<ScheduleEvent>(recorded)? {
            rows.push(HistoryRow::of(at, event.kind(), &event));
        }
    }
    Ok((rows, (from > 0).then_some(from)))
}
