//! Runs of registered pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::access::Permission;
use dagbook_events::codec::planner::PLANNER;
use dagbook_events::dag::{self, PlanDifference, PlanFacts, plan_difference};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::run::event::{Source, Submitted};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;

use super::{chosen, existing, pin};
use crate::app::error::AppError;
use crate::app::principal::Principal;
use crate::app::reports::RunRow;
use crate::app::runs::{self, Intake};
use crate::app::services::Services;

/// What is run, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The run's id.
    pub run: RunId,
    /// Parameters.
    pub params: BTreeMap<String, Value>,
    /// `manual` or `schedule`.
    pub trigger: &'static str,
    /// For which instant, when a schedule asks.
    pub scheduled_at: Option<Timestamp>,
}

/// The submission of a run that is pinned to a version. Nothing is stored.
///
/// # Errors
/// [`AppError::Findings`] where the parameters do not fit.
pub async fn submission(
    services: &Services,
    tenant: &TenantId,
    version: &PipelineVersion,
    order: Order,
) -> Result<Submitted, AppError> {
    let source = super::source(services, &version.hash).await?;
    let facts = PlanFacts { git: None, tenant: tenant.to_string() };
    let plan = services.recorder.planner().plan(&source.bundle, &order.params, &facts);
    let plan = plan.map_err(AppError::Findings)?;
    let text = source.bundle.files.get(&source.bundle.entry).map_or("", String::as_str);
    let number = runs::stamp(services, tenant, order.run).await?.number;
    Ok(Submitted {
        run: order.run,
        tenant: tenant.clone(),
        pipeline: plan.name.clone(),
        number,
        params: order.params,
        trigger: order.trigger.to_string(),
        scheduled_at: order.scheduled_at,
        pipeline_version: Some(version.clone()),
        git: None,
        parent: None,
        retry_of: None,
        reuse: BTreeMap::new(),
        source_hash: Sha256Digest::of(text.as_bytes()),
        source: Arc::new(source),
        planner: PLANNER,
        traceparent: None,
        driven_at: None,
        plan: Some(plan),
    })
}

/// Runs a version of a pipeline, the newest if none is named.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Conflict`] for a pipeline that is archived;
/// [`AppError::Findings`] where the parameters do not fit.
pub async fn run(
    services: &Services,
    by: &Principal,
    name: &str,
    version: Option<u32>,
    params: BTreeMap<String, Value>,
    intake: Intake<'_>,
) -> Result<RunRow, AppError> {
    by.require_of(Permission::SubmitRuns, Some(name))?;
    if let Some(done) = runs::done_before(services, &by.tenant, intake).await? {
        return Ok(done);
    }
    let pipeline = existing(services, &by.tenant, name).await?.state;
    if pipeline.archived.is_some() {
        return Err(AppError::Conflict(format!("the pipeline `{name}` is archived")));
    }
    let pinned = pin(name, chosen(&pipeline, name, version)?);
    let order = Order { run: intake.run, params, trigger: "manual", scheduled_at: None };
    let submitted = submission(services, &by.tenant, &pinned, order).await?;
    runs::take_in(services, by, submitted, intake).await
}

/// The newest version of the pipeline that a run was made from, with its content: what a retry
/// may choose instead of the version of the run itself.
///
/// # Errors
/// [`AppError::Conflict`] for a run of no registered pipeline, and for one that is archived.
pub async fn latest_of(
    services: &Services,
    earlier: &Submitted,
) -> Result<(PipelineVersion, Source), AppError> {
    let Some(before) = &earlier.pipeline_version else {
        return Err(AppError::Conflict(
            "the run is of no registered pipeline, so that there is no newer version".to_string(),
        ));
    };
    let pipeline = existing(services, &earlier.tenant, &before.name).await?.state;
    if pipeline.archived.is_some() {
        return Err(AppError::Conflict(format!("the pipeline `{}` is archived", before.name)));
    }
    let newest = chosen(&pipeline, &before.name, None)?;
    let source = super::source(services, &newest.registered.hash).await?;
    Ok((pin(&before.name, newest), source))
}

/// What differs between two versions, planned with the same parameters.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Findings`] where the parameters do not fit one of them.
pub async fn difference(
    services: &Services,
    by: &Principal,
    name: &str,
    (old, new): (u32, Option<u32>),
    params: &BTreeMap<String, Value>,
) -> Result<(PipelineVersion, PlanDifference), AppError> {
    by.require_of(Permission::ReadPipelines, Some(name))?;
    let pipeline = existing(services, &by.tenant, name).await?.state;
    let mut plans = Vec::with_capacity(2);
    for version in [Some(old), new] {
        let version = chosen(&pipeline, name, version)?;
        let source = super::source(services, &version.registered.hash).await?;
        let facts = PlanFacts { git: None, tenant: by.tenant.to_string() };
        plans.push(dag::plan(&source.bundle, params, &facts).map_err(AppError::Findings)?);
    }
    let newer = pin(name, chosen(&pipeline, name, new)?);
    Ok((newer, plan_difference(&plans[0], &plans[1])))
}
