//! Registering, archiving, and looking at pipelines.

use std::collections::BTreeMap;

use dagbook_events::access::Permission;
use dagbook_events::dag::{self, Finding, FindingDto, Spec};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::pipeline::{Candidate, Pipeline, PipelineEvent, PipelineRefusal, content};
use dagbook_events::ports::{BlobRef, StreamAppend};
use dagbook_events::run::event::Source;
use dagbook_events::schedule::{
    Schedule, ScheduleEvent, ScheduleRefusal, owned_changes, owned_name, owned_removals,
};

use super::{CONTENT_MAX, existing, load, resolve, stream, word};
use crate::app::error::AppError;
use crate::app::principal::Principal;
use crate::app::reports::{PipelineReport, PipelineVersionReport, Registration};
use crate::app::services::Services;
use crate::app::streams::{self, Loaded};

/// How many times somebody else may come first.
const TRIES: u32 = 20;
/// Entries of `on: schedule` that one pipeline may have.
const SCHEDULES_MAX: usize = 32;

/// Registers content under the name. The same content as the newest version is no new version.
///
/// # Errors
/// [`AppError::Findings`] with everything that is wrong with the DAG file; [`AppError::Conflict`]
/// for a pipeline that is archived.
pub async fn register(
    services: &Services,
    by: &Principal,
    name: &str,
    source: Source,
    message: &str,
) -> Result<Registration, AppError> {
    by.require_of(Permission::ManagePipelines, Some(name))?;
    let stream = Pipeline::stream(name).map_err(|error| AppError::Invalid(error.to_string()))?;
    let (spec, warnings) = checked(&source, name)?;
    let source = resolve(services, &by.tenant, source).await?;
    let bytes = content(&source).map_err(|error| AppError::Invalid(error.to_string()))?;
    if bytes.len() > CONTENT_MAX {
        let reason = format!("the files take {} bytes, the most is {CONTENT_MAX}", bytes.len());
        return Err(AppError::TooLarge(reason));
    }
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let candidate = Candidate {
        hash: Sha256Digest::of(&bytes),
        bytes: bytes.len() as u64,
        entry: source.bundle.entry.clone(),
        files: number(source.bundle.files.len()),
        steps: number(spec.steps.len()),
        schedules: number(spec.triggers.schedule.len()),
        message: message.to_string(),
        by: word(&by.actor),
    };
    for _ in 0..TRIES {
        let loaded = load(services, &by.tenant, name).await?;
        let Some(registered) = loaded.state.register(candidate.clone()).map_err(refused)? else {
            let report = PipelineReport::of(name, &loaded.state);
            return Ok(Registration {
                created: false,
                pipeline: report,
                warnings: dtos(&warnings),
            });
        };
        services.blobs.put(&bytes).await?;
        let now = services.clock.now();
        let before = owned(services, &by.tenant, name, &loaded.state).await?;
        let folds = before.iter().map(|(name, it)| (name.clone(), it.state.clone())).collect();
        let triggers = &spec.triggers.schedule;
        let changes = owned_changes(name, triggers, &folds, now, &word(&by.actor))
            .map_err(|refusal| AppError::Invalid(refusal.to_string()))?;
        let event = PipelineEvent::Registered(registered.clone());
        let mut own = streams::prepare(
            services,
            &stream,
            loaded.expected(),
            now,
            &by.actor,
            std::slice::from_ref(&event),
        )?;
        for event in &mut own.events {
            let mt = "application/json".to_string();
            event.blob = Some(BlobRef { h: registered.hash, mt, n: registered.bytes });
        }
        let all = with_schedules(services, by, own, &before, changes)?;
        match streams::append(services, &by.tenant, None, all).await {
            Ok(_) => {}
            Err(AppError::Conflict(_)) => continue,
            Err(error) => return Err(error),
        }
        let loaded = load(services, &by.tenant, name).await?;
        let pipeline = PipelineReport::of(name, &loaded.state);
        return Ok(Registration { created: true, pipeline, warnings: dtos(&warnings) });
    }
    Err(AppError::unavailable("the pipeline is being changed all the time"))
}

fn dtos(findings: &[Finding]) -> Vec<FindingDto> {
    findings.iter().map(FindingDto::from).collect()
}

/// The entry file without errors, and what else was found.
fn checked(source: &Source, name: &str) -> Result<(Spec, Vec<Finding>), AppError> {
    let checked = dag::check(&source.bundle);
    let Some(spec) = checked.spec else { return Err(AppError::Findings(checked.findings)) };
    if spec.name != name {
        return Err(AppError::Invalid(format!(
            "the DAG file says `name: {}`; register it under that name, or change the file",
            spec.name
        )));
    }
    if spec.triggers.schedule.len() > SCHEDULES_MAX {
        let reason = format!("a pipeline has at most {SCHEDULES_MAX} entries in `on: schedule`");
        return Err(AppError::Invalid(reason));
    }
    Ok((spec, checked.findings))
}

fn refused(refusal: PipelineRefusal) -> AppError {
    match refusal {
        PipelineRefusal::Message => AppError::Invalid(refusal.to_string()),
        _ => AppError::Conflict(refusal.to_string()),
    }
}

/// The schedules that the pipeline has or had.
async fn owned(
    services: &Services,
    tenant: &TenantId,
    name: &str,
    pipeline: &Pipeline,
) -> Result<BTreeMap<String, Loaded<Schedule>>, AppError> {
    let most = pipeline.versions.iter().map(|version| version.registered.schedules).max();
    let mut owned = BTreeMap::new();
    for entry in 1..=most.unwrap_or(0) {
        let schedule = owned_name(name, entry);
        let stream = schedule_stream(&schedule)?;
        let loaded = streams::load(services.store.as_ref(), tenant, &stream).await?;
        owned.insert(schedule, loaded);
    }
    Ok(owned)
}

fn schedule_stream(name: &str) -> Result<StreamName, AppError> {
    Schedule::stream(name).map_err(|error| AppError::Internal(error.to_string()))
}

/// The pipeline's own append and those of its schedules: all or nothing.
fn with_schedules(
    services: &Services,
    by: &Principal,
    own: StreamAppend,
    before: &BTreeMap<String, Loaded<Schedule>>,
    changes: BTreeMap<String, Vec<ScheduleEvent>>,
) -> Result<Vec<StreamAppend>, AppError> {
    let mut all = vec![own];
    let unborn = Loaded::default();
    for (name, events) in changes {
        let loaded = before.get(&name).unwrap_or(&unborn);
        let (stream, now) = (schedule_stream(&name)?, services.clock.now());
        all.push(streams::prepare(services, &stream, loaded.expected(), now, &by.actor, &events)?);
    }
    Ok(all)
}

/// Takes a pipeline out of use, with the schedules that belong to it.
///
/// # Errors
/// [`AppError::Conflict`] where it is archived already.
pub async fn archive(
    services: &Services,
    by: &Principal,
    name: &str,
    reason: &str,
) -> Result<PipelineReport, AppError> {
    by.require_of(Permission::ManagePipelines, Some(name))?;
    for _ in 0..TRIES {
        let loaded = existing(services, &by.tenant, name).await?;
        let who = word(&by.actor);
        let event = loaded.state.archive(reason.to_string(), who.clone()).map_err(refused)?;
        let now = services.clock.now();
        let before = owned(services, &by.tenant, name, &loaded.state).await?;
        let folds = before.iter().map(|(name, it)| (name.clone(), it.state.clone())).collect();
        let changes = owned_removals(&folds, now, &who)
            .map_err(|refusal: ScheduleRefusal| AppError::Internal(refusal.to_string()))?;
        let event = PipelineEvent::Archived(event);
        let own = streams::prepare(
            services,
            &stream(name)?,
            loaded.expected(),
            now,
            &by.actor,
            &[event],
        )?;
        let all = with_schedules(services, by, own, &before, changes)?;
        match streams::append(services, &by.tenant, None, all).await {
            Ok(_) => return show(services, by, name).await,
            Err(AppError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AppError::unavailable("the pipeline is being changed all the time"))
}

/// Brings a pipeline back into use, with the schedules of its newest version.
///
/// # Errors
/// [`AppError::Conflict`] where it is not archived.
pub async fn restore(
    services: &Services,
    by: &Principal,
    name: &str,
) -> Result<PipelineReport, AppError> {
    by.require_of(Permission::ManagePipelines, Some(name))?;
    for _ in 0..TRIES {
        let loaded = existing(services, &by.tenant, name).await?;
        let who = word(&by.actor);
        let event = PipelineEvent::Restored(loaded.state.restore(who.clone()).map_err(refused)?);
        let now = services.clock.now();
        let newest = super::chosen(&loaded.state, name, None)?;
        let source = super::source(services, &newest.registered.hash).await?;
        let (spec, _) = checked(&source, name)?;
        let before = owned(services, &by.tenant, name, &loaded.state).await?;
        let folds = before.iter().map(|(name, it)| (name.clone(), it.state.clone())).collect();
        let changes = owned_changes(name, &spec.triggers.schedule, &folds, now, &who)
            .map_err(|refusal| AppError::Invalid(refusal.to_string()))?;
        let own = streams::prepare(
            services,
            &stream(name)?,
            loaded.expected(),
            now,
            &by.actor,
            &[event],
        )?;
        let all = with_schedules(services, by, own, &before, changes)?;
        match streams::append(services, &by.tenant, None, all).await {
            Ok(_) => return show(services, by, name).await,
            Err(AppError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AppError::unavailable("the pipeline is being changed all the time"))
}

/// A pipeline and its newest version.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn show(
    services: &Services,
    by: &Principal,
    name: &str,
) -> Result<PipelineReport, AppError> {
    by.require_of(Permission::ReadPipelines, Some(name))?;
    let loaded = existing(services, &by.tenant, name).await?;
    Ok(PipelineReport::of(name, &loaded.state))
}

/// Versions of a pipeline, newest first, those before `before`.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn versions(
    services: &Services,
    by: &Principal,
    name: &str,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<PipelineVersionReport>, AppError> {
    by.require_of(Permission::ReadPipelines, Some(name))?;
    let loaded = existing(services, &by.tenant, name).await?;
    let all = loaded.state.versions.iter().rev();
    let older = all.filter(|it| before.is_none_or(|before| it.registered.version < before));
    Ok(older.take(limit).map(PipelineVersionReport::of).collect())
}

/// Pipelines, the one that was registered first last, behind the one named `after`.
///
/// # Errors
/// As [`Principal::require`].
pub async fn list(
    services: &Services,
    by: &Principal,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<PipelineReport>, AppError> {
    if by.scopes.pipelines.is_none() {
        by.require(Permission::ReadPipelines)?;
    }
    let mut rows = Vec::new();
    let mut before = after.map(stream).transpose()?;
    loop {
        let page =
            services.store.streams(&by.tenant, "pipeline/", before.as_ref(), limit.max(1)).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        before = Some(last.clone());
        for name in page.iter().filter_map(|name| name.as_str().strip_prefix("pipeline/")) {
            // A token that is narrowed to other pipelines does not see this one.
            if by.require_of(Permission::ReadPipelines, Some(name)).is_err() {
                continue;
            }
            let loaded = load(services, &by.tenant, name).await?;
            rows.push(PipelineReport::of(name, &loaded.state));
            if rows.len() == limit {
                return Ok(rows);
            }
        }
    }
}
