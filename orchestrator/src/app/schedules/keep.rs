//! Making, changing, pausing and deleting schedules.

use dagbook_events::access::Permission;
use dagbook_events::schedule::{Schedule, ScheduleEvent, ScheduleRefusal, ScheduleSpec};
use dagbook_events::time::Timestamp;

use super::{TRIES, load, look, refused, stream};
use crate::app::error::AppError;
use crate::app::pipelines::{self, word};
use crate::app::principal::Principal;
use crate::app::reports::ScheduleReport;
use crate::app::services::Services;
use crate::app::streams;

/// Makes a schedule.
///
/// # Errors
/// [`AppError::Invalid`] for one that cannot be; [`AppError::NotFound`] where the pipeline or its
/// version is not there; [`AppError::Conflict`] where the name is taken.
pub async fn create(
    services: &Services,
    by: &Principal,
    name: &str,
    spec: ScheduleSpec,
) -> Result<ScheduleReport, AppError> {
    by.require_of(Permission::ManageSchedules, Some(&spec.pipeline))?;
    if name.contains('.') || Schedule::stream(name).is_err() {
        return Err(AppError::Invalid(
            "a schedule's name must match [a-z0-9][a-z0-9-]{0,62}".to_string(),
        ));
    }
    target(services, by, &spec).await?;
    let who = word(&by.actor);
    decide(services, by, name, |state, _| state.create(spec.clone(), None, &who)).await
}

/// Changes what a schedule does.
///
/// # Errors
/// As [`create`]; [`AppError::Conflict`] for one that belongs to a pipeline.
pub async fn change(
    services: &Services,
    by: &Principal,
    name: &str,
    spec: ScheduleSpec,
) -> Result<ScheduleReport, AppError> {
    by.require_of(Permission::ManageSchedules, Some(&spec.pipeline))?;
    mine(services, by, name).await?;
    target(services, by, &spec).await?;
    let who = word(&by.actor);
    decide(services, by, name, |state, now| state.change(spec.clone(), now, &who)).await
}

/// Lets a schedule fire no more until it is resumed.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] where it is paused already.
pub async fn pause(
    services: &Services,
    by: &Principal,
    name: &str,
    comment: &str,
) -> Result<ScheduleReport, AppError> {
    mine(services, by, name).await?;
    let who = word(&by.actor);
    let ask = |state: &Schedule, _| Ok(vec![state.pause(comment.to_string(), &who)?]);
    decide(services, by, name, ask).await
}

/// Lets a schedule fire again. Instants of the pause are skipped.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] where it is not paused.
pub async fn resume(
    services: &Services,
    by: &Principal,
    name: &str,
    comment: &str,
) -> Result<ScheduleReport, AppError> {
    mine(services, by, name).await?;
    let who = word(&by.actor);
    let ask = |state: &Schedule, _| Ok(vec![state.resume(comment.to_string(), &who)?]);
    decide(services, by, name, ask).await
}

/// Takes a schedule away. Runs that it fired go on.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] for one that belongs to a pipeline.
pub async fn delete(
    services: &Services,
    by: &Principal,
    name: &str,
    comment: &str,
) -> Result<ScheduleReport, AppError> {
    mine(services, by, name).await?;
    let who = word(&by.actor);
    let ask = |state: &Schedule, now| state.delete(comment.to_string(), now, &who);
    decide(services, by, name, ask).await
}

/// Refuses whoever may not change the schedule: what counts is the pipeline that it runs.
pub(super) async fn mine(services: &Services, by: &Principal, name: &str) -> Result<(), AppError> {
    by.require_of(Permission::ManageSchedules, pipeline(services, by, name).await?.as_deref())
}

/// The pipeline that a schedule runs.
pub(super) async fn pipeline(
    services: &Services,
    by: &Principal,
    name: &str,
) -> Result<Option<String>, AppError> {
    let loaded = load(services, &by.tenant, name).await?;
    Ok(loaded.state.spec.map(|spec| spec.pipeline))
}

/// What the schedule is to run must be there.
async fn target(services: &Services, by: &Principal, spec: &ScheduleSpec) -> Result<(), AppError> {
    let pipeline = pipelines::existing(services, &by.tenant, &spec.pipeline).await?.state;
    if pipeline.archived.is_some() {
        return Err(AppError::Conflict(format!("the pipeline `{}` is archived", spec.pipeline)));
    }
    pipelines::chosen(&pipeline, &spec.pipeline, spec.version).map(drop)
}

/// Decides on the schedule as it is recorded and records what follows, again where somebody else
/// came first.
pub(super) async fn decide(
    services: &Services,
    by: &Principal,
    name: &str,
    mut ask: impl FnMut(&Schedule, Timestamp) -> Result<Vec<ScheduleEvent>, ScheduleRefusal>,
) -> Result<ScheduleReport, AppError> {
    let stream = stream(name)?;
    for _ in 0..TRIES {
        let loaded = load(services, &by.tenant, name).await?;
        let now = services.clock.now();
        let events = ask(&loaded.state, now).map_err(|refusal| refused(name, refusal))?;
        if events.is_empty() {
            return look::report(services, by, name, &loaded.state);
        }
        let append =
            streams::prepare(services, &stream, loaded.expected(), now, &by.actor, &events)?;
        match streams::append(services, &by.tenant, None, vec![append]).await {
            Ok(_) => {
                let loaded = load(services, &by.tenant, name).await?;
                return look::report(services, by, name, &loaded.state);
            }
            Err(AppError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AppError::unavailable("the schedule is being changed all the time"))
}
