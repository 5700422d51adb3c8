//! Schedules: made, changed, paused, deleted and looked at by people; fired by the one loop of
//! the server that leads.

mod act;
mod backfill;
mod book;
mod facts;
mod follow;
mod keep;
mod look;
mod run;

pub use backfill::{backfill, cancel_backfill, preview};
pub use keep::{change, create, delete, pause, resume};
pub use look::{history, list, show};
pub use run::{Pace, run};

use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::schedule::{Schedule, ScheduleRefusal};

use super::error::AppError;
use super::pipelines::shorten;
use super::services::Services;
use super::streams::{self, Loaded};

/// How many times somebody else may come first.
const TRIES: u32 = 20;

/// What tells a schedule apart from all others: its jitter depends on it.
pub fn key(tenant: &TenantId, name: &str) -> String {
    format!("{tenant}/{name}")
}

fn stream(name: &str) -> Result<StreamName, AppError> {
    Schedule::stream(name).map_err(|_| AppError::not_found("schedule", shorten(name)))
}

async fn load(
    services: &Services,
    tenant: &TenantId,
    name: &str,
) -> Result<Loaded<Schedule>, AppError> {
    streams::load(services.store.as_ref(), tenant, &stream(name)?).await
}

/// The fold of a schedule that is there.
async fn existing(
    services: &Services,
    tenant: &TenantId,
    name: &str,
) -> Result<Loaded<Schedule>, AppError> {
    let loaded = load(services, tenant, name).await?;
    match loaded.state.is_alive() {
        true => Ok(loaded),
        false => Err(AppError::not_found("schedule", shorten(name))),
    }
}

fn refused(name: &str, refusal: ScheduleRefusal) -> AppError {
    match refusal {
        ScheduleRefusal::Unborn => AppError::not_found("schedule", shorten(name)),
        ScheduleRefusal::Spec(_) | ScheduleRefusal::Comment | ScheduleRefusal::Backfill(_) => {
            AppError::Invalid(refusal.to_string())
        }
        ScheduleRefusal::Exists
        | ScheduleRefusal::Owned(_)
        | ScheduleRefusal::Already(_)
        | ScheduleRefusal::BackfillRuns(_)
        | ScheduleRefusal::NoBackfill => AppError::Conflict(refusal.to_string()),
    }
}
