//! From a source and parameters to a submission, and from an earlier run to its repetition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dagbook_events::codec::planner::{PLANNER, Planner};
use dagbook_events::dag::{self, Finding, Plan, PlanFacts, Section, StepIndex};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::run::event::{ReusedResult, Source, Submitted};
use dagbook_events::run::{RunState, StepBody, Unit, UnitStatus};
use dagbook_events::value::Value;

use super::source::Loaded;

/// Who submits, under which id and number.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The new run.
    pub run: RunId,
    /// Its number for people.
    pub number: u64,
    /// Whose it is.
    pub tenant: TenantId,
}

/// Plans the source and makes the submission. Nothing is stored.
pub fn submission(
    planner: &Planner,
    loaded: &Loaded,
    params: BTreeMap<String, Value>,
    stamp: Stamp,
) -> Result<Submitted, Vec<Finding>> {
    let facts = PlanFacts { git: None, tenant: stamp.tenant.to_string() };
    let plan = planner.plan(&loaded.source.bundle, &params, &facts)?;
    Ok(Submitted {
        run: stamp.run,
        tenant: stamp.tenant,
        pipeline: plan.name.clone(),
        number: stamp.number,
        params,
        trigger: "manual".to_string(),
        scheduled_at: None,
        pipeline_version: None,
        git: None,
        parent: None,
        retry_of: None,
        reuse: BTreeMap::new(),
        source_hash: loaded.hash,
        source: Arc::new(loaded.source.clone()),
        planner: PLANNER,
        traceparent: None,
        driven_at: None,
        plan: Some(plan),
    })
}

/// Which steps of the earlier run are run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// All.
    All,
    /// Those that did not succeed, and what needs them.
    FromFailed,
    /// The step, and what needs it.
    From(String),
}

/// Why a run cannot be repeated like that.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is no such step.
    #[error("the run has no step `{0}`")]
    NoSuchStep(String),
    /// It goes on.
    #[error("the run is not over; cancel it first, or wait")]
    NotOver,
    /// The source gives no plan with these parameters.
    #[error("the parameters do not fit the DAG file")]
    Findings(Vec<Finding>),
}

/// The submission that repeats an ended run, with another version of its pipeline if one is given.
pub fn repetition(
    planner: &Planner,
    earlier: &RunState,
    again: &Again,
    changes: BTreeMap<String, Value>,
    newer: Option<(PipelineVersion, Source)>,
    stamp: Stamp,
) -> Result<Submitted, RetryError> {
    if !earlier.is_finished() {
        return Err(RetryError::NotOver);
    }
    let facts = earlier.facts();
    let (pipeline_version, source) = match newer {
        None => (facts.pipeline_version.clone(), facts.source.clone()),
        Some((version, source)) => (Some(version), Arc::new(source)),
    };
    let mut params = facts.params.clone();
    params.extend(changes);
    let plan_facts = PlanFacts { git: facts.git.clone(), tenant: stamp.tenant.to_string() };
    let plan = planner.plan(&source.bundle, &params, &plan_facts);
    let plan = plan.map_err(RetryError::Findings)?;
    // What is not the same in the other version is run again, with all that needs it.
    let differs = dag::plan_difference(&earlier.plan, &plan);
    let is_other = pipeline_version != facts.pipeline_version;
    let changed = differs.changed.iter().filter(|_| is_other).map(|it| it.step.as_str());
    let rerun = rerun(earlier, again, changed)?;
    let text = source.bundle.files.get(&source.bundle.entry).map_or("", String::as_str);
    Ok(Submitted {
        run: stamp.run,
        number: stamp.number,
        tenant: stamp.tenant,
        params,
        trigger: "retry".to_string(),
        parent: None,
        retry_of: Some(facts.run),
        reuse: reuse(earlier, &plan, &rerun, again),
        traceparent: None,
        driven_at: None,
        pipeline: plan.name.clone(),
        source_hash: Sha256Digest::of(text.as_bytes()),
        source: source.clone(),
        pipeline_version,
        planner: PLANNER,
        plan: Some(plan),
        ..(**facts).clone()
    })
}

fn rerun<'a>(
    earlier: &RunState,
    again: &Again,
    changed: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<StepIndex>, RetryError> {
    let plan = &earlier.plan;
    let all = || (0..plan.steps.len()).map(|i| StepIndex(u32::try_from(i).unwrap_or(u32::MAX)));
    let mut open: Vec<StepIndex> = match again {
        Again::All => return Ok(all().collect()),
        Again::FromFailed => all()
            .filter(|step| {
                matches!(earlier.step_status(*step), UnitStatus::Failed | UnitStatus::Canceled)
            })
            .collect(),
        Again::From(name) => {
            let step = earlier.find_step(name);
            vec![step.ok_or_else(|| RetryError::NoSuchStep(name.clone()))?]
        }
    };
    open.extend(changed.filter_map(|name| earlier.find_step(name)));
    let mut rerun = BTreeSet::new();
    while let Some(step) = open.pop() {
        if rerun.insert(step) {
            open.extend(plan.step(step).dependents.iter().copied());
        }
    }
    Ok(rerun)
}

/// Successes outside what is run again, and the children that succeeded in a fan-out that did
/// not (when only failures are run again).
fn reuse(
    earlier: &RunState,
    plan: &Plan,
    rerun: &BTreeSet<StepIndex>,
    again: &Again,
) -> BTreeMap<StepKey, ReusedResult> {
    let mut reuse = BTreeMap::new();
    let from_run = earlier.id();
    for (planned, index) in earlier.plan.steps.iter().zip(0u32..) {
        let step = StepIndex(index);
        let known = plan.index.contains_key(&planned.name);
        if planned.section == Section::Finally || !known {
            continue;
        }
        let partial =
            *again == Again::FromFailed && earlier.step_status(step) == UnitStatus::Failed;
        if rerun.contains(&step) && !partial {
            continue;
        }
        match &earlier.step(step).body {
            StepBody::Single(unit) => {
                if let Some(result) = result(unit, from_run).filter(|_| !partial) {
                    reuse.insert(StepKey::step(&planned.name), result);
                }
            }
            StepBody::FanOut(fan) => {
                let items = fan.items.clone();
                let parent = ReusedResult {
                    from_run,
                    outputs: BTreeMap::new(),
                    artifacts: BTreeMap::new(),
                    items,
                };
                reuse.insert(StepKey::step(&planned.name), parent);
                for (child, unit) in (0u32..).zip(&fan.children) {
                    let key =
                        earlier.key(dagbook_events::run::UnitRef { step, child: Some(child) });
                    reuse.extend(result(unit, from_run).map(|result| (key, result)));
                }
            }
        }
    }
    reuse
}

fn result(unit: &Unit, from_run: RunId) -> Option<ReusedResult> {
    if unit.status != UnitStatus::Succeeded {
        return None;
    }
    let result = unit.result.as_deref().cloned().unwrap_or_default();
    Some(ReusedResult {
        from_run: result.reused_from.unwrap_or(from_run),
        outputs: (*result.outputs).clone(),
        artifacts: result.artifacts,
        items: None,
    })
}
