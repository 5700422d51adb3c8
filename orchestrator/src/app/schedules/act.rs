//! What is done for one schedule at a time: decide and record; then submit what was recorded.

use std::sync::Arc;

use dagbook_events::ids::RunId;
use dagbook_events::ports::Actor;
use dagbook_events::run::Ask;
use dagbook_events::schedule::{Facts, Firing, Target, decide};
use dagbook_events::step::StopCause;

use super::book::{Decision, Done, Id, Work};
use super::facts::Targets;
use super::{backfill, key, stream};
use crate::app::error::AppError;
use crate::app::pipelines::{self, Order};
use crate::app::services::Services;
use crate::app::streams::{self, Loaded};
use crate::app::{listing, stamp};

/// The principal behind everything that a schedule does.
fn actor(name: &str) -> Actor {
    Actor::new("schedule", name)
}

pub(super) async fn perform(
    services: Services,
    targets: Targets,
    id: Id,
    work: Work,
) -> (Id, Done) {
    let done = match work {
        Work::Submit(firings) => submit(&services, &id, firings).await,
        Work::Cancel(runs) => cancel(&services, &id, runs).await,
        Work::Decide(decision) => {
            settle(&services, &targets, &id, *decision).await.unwrap_or_else(Done::Failed)
        }
    };
    (id, done)
}

/// Decides what is due and records it under the exact version: of two servers that do this, one
/// is refused, and sees in the record what the other did.
async fn settle(
    services: &Services,
    targets: &Targets,
    (tenant, name): &Id,
    decision: Decision,
) -> Result<Done, AppError> {
    let Decision { loaded, ended, mut plan, suspended } = decision;
    let Some(spec) = &loaded.state.spec else {
        return Ok(Done::Decided { loaded: Box::new(loaded), plan: None, events: 0 });
    };
    if let Some(running) = loaded.state.running_backfill() {
        let request = &running.request;
        if plan.as_ref().is_none_or(|(id, _)| *id != request.id) {
            let made = backfill::planned(services, tenant, name, request).await?;
            plan = Some((request.id, Arc::new(made)));
        }
    } else {
        plan = None;
    }
    let target = match loaded.state.is_alive() {
        true => targets.of(services, tenant, spec).await?,
        false => Target::Gone(String::new()),
    };
    let key = key(tenant, name);
    let now = services.clock.now();
    let facts = Facts {
        name: &key,
        now,
        suspended,
        target: &target,
        ended: &ended,
        backfill: plan.as_ref().map(|(_, plan)| &**plan),
    };
    let mut mint = || stamp::run_id(services.clock.as_ref(), services.rng.as_ref());
    let events = decide(&loaded.state, &facts, &mut mint);
    if events.is_empty() {
        return Ok(Done::Decided { loaded: Box::new(loaded), plan, events: 0 });
    }
    let (stream, by) = (stream(name)?, actor(name));
    let append = streams::prepare(services, &stream, loaded.expected(), now, &by, &events)?;
    match streams::append(services, tenant, None, vec![append]).await {
        Ok(_) => {}
        Err(AppError::Conflict(_)) => return Ok(Done::Late),
        // Nobody may know whether it happened; the store will say.
        Err(error) => return Err(error),
    }
    let Loaded { mut state, version } = loaded;
    for event in &events {
        dagbook_events::aggregate::Aggregate::apply(&mut state, now, event);
    }
    let loaded = Loaded { state, version: version + events.len() as u64 };
    Ok(Done::Decided { loaded: Box::new(loaded), plan, events: events.len() })
}

/// Submits runs that were fired, under the ids that are recorded. One that is there was submitted
/// before somebody stopped: it may be over by now.
async fn submit(services: &Services, id: &Id, firings: Vec<Firing>) -> Done {
    let (mut exist, mut over, mut failed) = (Vec::new(), Vec::new(), None);
    for firing in firings {
        let run = firing.fired.run;
        match submit_one(services, id, &firing).await {
            Ok(is_over) => {
                exist.push(run);
                over.extend(is_over.then_some(run));
            }
            // What all of them wait for; anything else is about this one run.
            Err(
                error @ (AppError::Exhausted { .. }
                | AppError::Unavailable { .. }
                | AppError::Damaged(_)),
            ) => {
                failed = Some(error);
                break;
            }
            Err(error) => failed = Some(error),
        }
    }
    Done::Submitted { exist, over, failed }
}

async fn submit_one(
    services: &Services,
    (tenant, name): &Id,
    firing: &Firing,
) -> Result<bool, AppError> {
    let run = firing.fired.run;
    if let Some(is_over) = found(services, tenant, run).await? {
        return Ok(is_over);
    }
    let loaded = super::load(services, tenant, name).await?;
    let params = params_of(services, tenant, name, firing, &loaded).await?;
    let scheduled_at = Some(firing.fired.instant);
    let order = Order { run, params, trigger: "schedule", scheduled_at };
    let version = &firing.fired.pipeline_version;
    let submitted = pipelines::submission(services, tenant, version, order).await?;
    match services.engine.submit(submitted, &actor(name), None).await {
        Ok(_) => Ok(false),
        Err(AppError::Conflict(reason)) => match found(services, tenant, run).await? {
            Some(is_over) => Ok(is_over),
            None => Err(AppError::Conflict(reason)),
        },
        Err(error) => Err(error),
    }
}

/// Whether the run is over, if it is there.
async fn found(
    services: &Services,
    tenant: &dagbook_events::ids::TenantId,
    run: RunId,
) -> Result<Option<bool>, AppError> {
    let recorder = &services.recorder;
    if listing::head(recorder, tenant, run).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(listing::end(recorder, tenant, run).await?.is_some()))
}

/// The parameters that the schedule had when it fired: those are what was found to fit.
async fn params_of(
    services: &Services,
    tenant: &dagbook_events::ids::TenantId,
    name: &str,
    firing: &Firing,
    loaded: &Loaded<dagbook_events::schedule::Schedule>,
) -> Result<std::collections::BTreeMap<String, dagbook_events::value::Value>, AppError> {
    use dagbook_events::schedule::{ScheduleEvent, ScheduleSpec};
    // By their order in the record: servers' clocks may differ.
    if loaded.state.firing(firing.fired.run).is_some_and(|it| !it.changed_since)
        && let Some(spec) = &loaded.state.spec
    {
        return Ok(spec.params.clone());
    }
    let (stream, mut version) = (stream(name)?, 0);
    let mut spec: Option<ScheduleSpec> = None;
    loop {
        let page = services.store.read_stream(tenant, &stream, version, 500).await?;
        let is_last = page.len() < 500;
        for recorded in &page {
            version = recorded.version + 1;
            match streams::read::<ScheduleEvent>(recorded)? {
                Some((_, ScheduleEvent::Created(it))) => spec = Some(it.spec),
                Some((_, ScheduleEvent::Changed(it))) => spec = Some(it.spec),
                Some((_, ScheduleEvent::Fired(it))) if it.run == firing.fired.run => {
                    return Ok(spec.map(|spec| spec.params).unwrap_or_default());
                }
                _ => {}
            }
        }
        if is_last {
            return Err(AppError::Damaged(format!("schedule `{name}` did not fire that run")));
        }
    }
}

/// Asks runs to stop that a later firing takes the place of.
async fn cancel(services: &Services, (tenant, name): &Id, runs: Vec<RunId>) -> Done {
    let (mut asked, mut failed) = (Vec::new(), None);
    for run in runs {
        let reason = format!("schedule `{name}` fired again");
        let ask = Ask::Cancel { cause: StopCause::Superseded, reason, force: false };
        match services.engine.ask(tenant, run, ask, &actor(name)).await {
            // It is over, or stopping already.
            Ok(()) | Err(AppError::Conflict(_) | AppError::NotFound { .. }) => asked.push(run),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    Done::Cancelled { asked, failed }
}
