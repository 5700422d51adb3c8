//! Runs as people and programs meet them on a server: taken in, listed, shown, explained and
//! acted on, always within one tenant. What is not there, and what is another tenant's, are the
//! same to everyone here, because every question names the tenant.

use std::collections::BTreeMap;

use dagbook_events::access::Permission;
use dagbook_events::admission::money::{Terms, run_cost};
use dagbook_events::billing::BILLING_STREAM;
use dagbook_events::dag::{self, PlanDifference, PlanFacts, plan_difference};
use dagbook_events::ids::{RunId, StepKey, StreamName, TenantId};
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::ports::EventStore;
use dagbook_events::project::{AttemptView, RunView, Surroundings, why_run, why_step};
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{Ask, RunFact};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;
use futures_util::StreamExt as _;

use super::error::AppError;
use super::listing::{self, RunHead};
use super::pipelines;
use super::principal::Principal;
use super::reports::{self, CostReport, RunFilter, RunReport, RunRow, WhyReport};
use super::retention;
use super::services::Services;
use super::source::Loaded;
use super::streams;
use super::submit::{Again, RetryError, Stamp, repetition, submission};
use super::waits;

/// Runs whose beginnings or ends are read at one time.
const AT_ONE_TIME: usize = 8;
/// Names of runs read at one time.
const NAMES: usize = 100;
/// Runs that one page looks at, at most; it may then be short, and its cursor goes on.
const LOOKED_AT: usize = 2_000;

/// Which runs a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this status.
    pub status: Option<RunFilter>,
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// Submitted at this instant or later.
    pub since: Option<Timestamp>,
    /// Runs of sub-DAGs, too.
    pub children: bool,
}

/// Runs, newest first, behind `before`; and behind which run the next page begins.
pub async fn list(
    services: &Services,
    tenant: &TenantId,
    wanted: &Wanted,
    mut before: Option<RunId>,
    limit: usize,
) -> Result<(Vec<RunRow>, Option<RunId>), AppError> {
    let (store, recorder) = (services.store.as_ref(), &services.recorder);
    let now = services.clock.now();
    let mut rows = Vec::new();
    let mut looked_at = 0;
    loop {
        let after = before.map(StreamName::run);
        let names = store.streams(tenant, "run/", after.as_ref(), NAMES).await?;
        let is_last = names.len() < NAMES;
        let runs: Vec<RunId> = names.iter().filter_map(StreamName::as_run).collect();
        let mut found = futures_util::stream::iter(runs)
            .map(|run| async move {
                let Some(head) = listing::head(recorder, tenant, run).await? else {
                    return Ok::<_, AppError>((run, None, false));
                };
                let is_older = wanted.since.is_some_and(|since| head.submitted_at < since);
                if is_older || !wanted.takes(&head) {
                    return Ok((run, None, is_older));
                }
                let row = listing::row(recorder, tenant, head, |_| true, now).await?;
                let row = wanted.status.is_none_or(|status| status.takes(&row)).then_some(row);
                Ok((run, row, false))
            })
            .buffered(AT_ONE_TIME);
        while let Some(next) = found.next().await {
            let (run, row, is_older) = next?;
            if is_older {
                return Ok((rows, None));
            }
            before = Some(run);
            looked_at += 1;
            rows.extend(row);
            if rows.len() == limit || looked_at >= LOOKED_AT {
                return Ok((rows, before));
            }
        }
        if is_last {
            return Ok((rows, None));
        }
    }
}

impl Wanted {
    fn takes(&self, head: &RunHead) -> bool {
        (self.children || head.parent.is_none())
            && self.pipeline.as_ref().is_none_or(|name| *name == head.pipeline)
    }
}

/// One run in the shape that lists show.
pub async fn row(services: &Services, tenant: &TenantId, run: RunId) -> Result<RunRow, AppError> {
    let now = services.clock.now();
    let row = listing::row_of(&services.recorder, tenant, run, |_| true, now).await?;
    row.ok_or_else(|| AppError::not_found("run", run))
}

/// Refuses a run that the tenant does not have.
pub async fn exists(services: &Services, tenant: &TenantId, run: RunId) -> Result<(), AppError> {
    let first = services.store.read_stream(tenant, &StreamName::run(run), 0, 1).await?;
    if first.is_empty() { Err(AppError::not_found("run", run)) } else { Ok(()) }
}

/// A run with all its attempts.
pub async fn view(services: &Services, tenant: &TenantId, run: RunId) -> Result<RunView, AppError> {
    let facts = services.recorder.facts(tenant, run).await?;
    if facts.is_empty() {
        return Err(AppError::not_found("run", run));
    }
    Ok(RunView::fold(&facts))
}

/// A run in full, with what it came to.
pub async fn report(
    services: &Services,
    tenant: &TenantId,
    run: RunId,
) -> Result<(RunView, RunReport), AppError> {
    let facts = services.recorder.facts(tenant, run).await?;
    if facts.is_empty() {
        return Err(AppError::not_found("run", run));
    }
    let view = RunView::fold(&facts);
    let mut report = reports::run::run(&view, true);
    let now = services.clock.now();
    report.cost = cost(services.store.as_ref(), tenant, (&view, &facts), Some(now)).await?;
    Ok((view, report))
}

/// What a run came to at the prices of its tenant; until `now`, where it goes on.
pub async fn cost(
    store: &dyn EventStore,
    tenant: &TenantId,
    (view, facts): (&RunView, &[RunFact]),
    now: Option<Timestamp>,
) -> Result<Vec<CostReport>, AppError> {
    let stream = StreamName::new(BILLING_STREAM).map_err(|e| AppError::Internal(e.to_string()))?;
    let terms = streams::load::<Terms>(store, tenant, &stream).await?.state;
    let costs = run_cost(&terms, &view.state.plan, facts, now);
    Ok(costs.iter().map(CostReport::of).collect())
}

/// An attempt at a step, by its number from 1.
pub fn attempt<'a>(
    view: &'a RunView,
    step: &StepKey,
    number: u32,
) -> Result<&'a AttemptView, AppError> {
    if view.state.find(step).is_none() {
        return Err(AppError::not_found("step", step));
    }
    let mut attempts = view.attempts_of(step).iter();
    let found = attempts.find(|attempt| attempt.epoch.0 == number);
    found.ok_or_else(|| AppError::not_found("attempt", format!("{step} #{number}")))
}

/// Why a run, or one of its steps, is where it is.
pub async fn why(
    services: &Services,
    tenant: &TenantId,
    run: RunId,
    step: Option<&StepKey>,
) -> Result<WhyReport, AppError> {
    let view = view(services, tenant, run).await?;
    let is_driven = (!view.state.is_finished()).then_some(true);
    let around = Surroundings { is_driven, ..waits::surroundings(services, tenant, &view).await? };
    let explanation = match step {
        None => why_run(&view, &around),
        Some(key) => {
            let found = why_step(&view, key, &around);
            found.ok_or_else(|| AppError::not_found("step", key))?
        }
    };
    Ok(reports::why::why(run, &explanation))
}

/// Under which id a run is taken in, and in whose trace.
#[derive(Debug, Clone, Copy)]
pub struct Intake<'a> {
    /// The id: the same when the same request is repeated.
    pub run: RunId,
    /// `traceparent` of whoever submits.
    pub traceparent: Option<&'a str>,
    /// Whether the same request was begun before, so that the run may be there already.
    pub again: bool,
}

/// Plans the source and takes it in. A run that is there under this id already is the same
/// request, done before.
///
/// # Errors
/// [`AppError::Findings`] where it cannot be planned; what the engine's door refuses.
pub async fn submit(
    services: &Services,
    by: &Principal,
    loaded: &Loaded,
    params: BTreeMap<String, Value>,
    intake: Intake<'_>,
) -> Result<RunRow, AppError> {
    by.require(Permission::SubmitRuns)?;
    if let Some(done) = done_before(services, &by.tenant, intake).await? {
        return Ok(done);
    }
    let stamp = stamp(services, &by.tenant, intake.run).await?;
    // What the pipelines that it calls are is decided now, and recorded with it.
    let source = pipelines::resolve(services, &by.tenant, loaded.source.clone()).await?;
    let loaded = Loaded { source, ..loaded.clone() };
    let planner = services.recorder.planner();
    let submitted = submission(planner, &loaded, params, stamp).map_err(AppError::Findings)?;
    take_in(services, by, submitted, intake).await
}

/// Which version of a registered pipeline a retry takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edition {
    /// That of the run.
    #[default]
    Same,
    /// The newest.
    Latest,
}

/// What would differ if the run were run again with the newest version of its pipeline.
///
/// # Errors
/// [`AppError::Conflict`] for a run of no registered pipeline; [`AppError::Findings`] where its
/// parameters do not fit the newest version.
pub async fn difference_to_latest(
    services: &Services,
    by: &Principal,
    run: RunId,
) -> Result<(PipelineVersion, PlanDifference), AppError> {
    by.require(Permission::ReadRuns)?;
    let earlier = view(services, &by.tenant, run).await?;
    let facts = earlier.state.facts();
    let (version, source) = pipelines::latest_of(services, facts).await?;
    let plan_facts = PlanFacts { git: facts.git.clone(), tenant: by.tenant.to_string() };
    let plan = dag::plan(&source.bundle, &facts.params, &plan_facts).map_err(AppError::Findings)?;
    Ok((version, plan_difference(&earlier.state.plan, &plan)))
}

/// Runs an ended run again, on the source that it had or on the newest of its pipeline.
///
/// # Errors
/// [`AppError::Conflict`] for one that goes on; [`AppError::NotFound`] for a step that it does
/// not have; [`AppError::Findings`] where the parameters do not fit.
pub async fn retry(
    services: &Services,
    by: &Principal,
    run: RunId,
    (again, changes): (&Again, BTreeMap<String, Value>),
    edition: Edition,
    intake: Intake<'_>,
) -> Result<RunRow, AppError> {
    by.require(Permission::SubmitRuns)?;
    let earlier = view(services, &by.tenant, run).await?;
    if let Some(done) = done_before(services, &by.tenant, intake).await? {
        return Ok(done);
    }
    let stamp = stamp(services, &by.tenant, intake.run).await?;
    let newer = match edition {
        Edition::Same => None,
        Edition::Latest => Some(pipelines::latest_of(services, earlier.state.facts()).await?),
    };
    let planner = services.recorder.planner();
    let again = repetition(planner, &earlier.state, again, changes, newer, stamp);
    let submitted = again.map_err(|e| match e {
        RetryError::Findings(findings) => AppError::Findings(findings),
        RetryError::NotOver => AppError::Conflict(e.to_string()),
        RetryError::NoSuchStep(step) => AppError::not_found("step", step),
    })?;
    retention::still_there(services.blobs.as_ref(), &submitted).await?;
    take_in(services, by, submitted, intake).await
}

/// The run of a request that was made before and cut off before its answer was kept. Of one that
/// comes for the first time there is none: its run's id was made for it.
pub(super) async fn done_before(
    services: &Services,
    tenant: &TenantId,
    intake: Intake<'_>,
) -> Result<Option<RunRow>, AppError> {
    if intake.again { taken_in(services, tenant, intake.run).await } else { Ok(None) }
}

async fn taken_in(
    services: &Services,
    tenant: &TenantId,
    run: RunId,
) -> Result<Option<RunRow>, AppError> {
    match row(services, tenant, run).await {
        Ok(row) => Ok(Some(row)),
        Err(AppError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn stamp(
    services: &Services,
    tenant: &TenantId,
    run: RunId,
) -> Result<Stamp, AppError> {
    let (recorder, shelf) = (&services.recorder, services.shelf.as_ref());
    let number = services.numbers.next(recorder, shelf, tenant).await?;
    Ok(Stamp { run, number, tenant: tenant.clone() })
}

pub(super) async fn take_in(
    services: &Services,
    by: &Principal,
    submitted: Submitted,
    intake: Intake<'_>,
) -> Result<RunRow, AppError> {
    let (run, tenant) = (submitted.run, submitted.tenant.clone());
    match services.engine.submit(submitted.clone(), &by.actor, intake.traceparent).await {
        Ok(at) => match listing::row_as_accepted(submitted, at) {
            Some(row) => Ok(row),
            None => row(services, &tenant, run).await,
        },
        // Nobody else has this id: it was taken in by an earlier try of the same request.
        Err(AppError::Conflict(reason)) => {
            taken_in(services, &tenant, run).await?.ok_or(AppError::Conflict(reason))
        }
        Err(error) => Err(error),
    }
}

/// Asks something of a run.
///
/// # Errors
/// [`AppError::NotFound`] for a run or step that is not there, [`AppError::Conflict`] where the
/// rules of runs refuse it.
pub async fn ask(
    services: &Services,
    by: &Principal,
    run: RunId,
    ask: Ask,
) -> Result<RunRow, AppError> {
    by.require(Permission::ActOnRuns)?;
    exists(services, &by.tenant, run).await?;
    services.engine.ask(&by.tenant, run, ask, &by.actor).await?;
    row(services, &by.tenant, run).await
}
