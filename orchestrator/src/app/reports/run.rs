//! A run in full.

use std::collections::BTreeMap;

use dagbook_events::admission::money::{RunCost, amount};
use dagbook_events::dag::{Section, StepLookup};
use dagbook_events::ids::RunId;
use dagbook_events::project::{AttemptView, RunSummary, RunView, StepRow, run_summary, step_rows};
use dagbook_events::step::ArtifactRef;
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::app::ports::BudgetStanding;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunReport {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub run: RunId,
    /// The number for people.
    pub number: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// How far it is: `queued`, `running`, …, or how it ended.
    pub status: String,
    /// Why it ended as it did; left out when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether some process drives it, or it is over.
    pub is_driven: bool,
    /// What asked for it.
    pub trigger: String,
    /// The run that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub retry_of: Option<RunId>,
    /// The run whose sub-DAG it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub parent: Option<RunId>,
    /// Parameters, defaults applied.
    pub params: BTreeMap<String, Json>,
    /// When it was accepted.
    pub submitted_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// From acceptance to the end, or to the last event.
    pub duration_ms: u64,
    /// Events so far.
    pub events: u64,
    /// Units by status.
    pub counts: BTreeMap<String, u32>,
    /// The chain that the length comes from, first to last.
    pub critical_path: Vec<CriticalReport>,
    /// Steps in plan order, children behind their step.
    pub steps: Vec<StepReport>,
    /// Outputs by step.
    pub outputs: BTreeMap<String, Json>,
    /// What steps left.
    pub artifacts: Vec<ArtifactReport>,
    /// Budgets of its tenant that are exceeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets_exceeded: Vec<BudgetStanding>,
    /// What it came to at the prices of its tenant, by currency; none where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cost: Vec<CostReport>,
}

/// What a run came to so far, at the first step of each price, without discounts and credits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunCost)]
pub struct CostReport {
    /// ISO 4217.
    pub currency: String,
    /// Of attempts that ended, such as `4.20 EUR`, rounded up.
    pub settled: String,
    /// The same in billionths of the unit.
    pub settled_nanos: String,
    /// So far, of attempts that go on.
    pub running: String,
    /// The same in billionths of the unit.
    pub running_nanos: String,
    /// How many go on.
    pub running_attempts: u32,
}

impl CostReport {
    /// Of what was counted.
    pub fn of(cost: &RunCost) -> Self {
        let words = |nanos| amount(nanos, cost.exponent, &cost.currency);
        Self {
            currency: cost.currency.clone(),
            settled: words(cost.settled),
            settled_nanos: cost.settled.to_string(),
            running: words(cost.running),
            running_nanos: cost.running.to_string(),
            running_attempts: cost.open,
        }
    }
}

/// One step of the chain that the length comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CriticalReport {
    /// The step's key.
    pub step: String,
    /// From when it could start to its start.
    pub waited_ms: u64,
    /// From its start to its end.
    pub ran_ms: u64,
}

/// A step, or one child of a fan-out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepReport {
    /// The step's key.
    pub step: String,
    /// `task`, `approval`, `wait` or `dag`.
    pub kind: String,
    /// `main` or `finally`.
    pub section: String,
    /// What it is now.
    pub status: String,
    /// Why it ended as it did; left out when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// From the start to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The run whose result was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub reused_from: Option<RunId>,
    /// The run of the sub-DAG, while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub child_run: Option<RunId>,
    /// Children, if it fans out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<ChildrenReport>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptReport>,
}

/// Children of a fan-out, counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChildrenReport {
    /// All.
    pub total: u32,
    /// At their end.
    pub done: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptReport {
    /// The attempt's id.
    pub attempt: String,
    /// The how-manieth of its step, from 1.
    pub number: u32,
    /// The executor.
    pub executor: String,
    /// When it was decided on.
    pub planned_at: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited_at: Option<String>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How it ended, a word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// How it ended, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<String>,
    /// CPU time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The most memory at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// Bytes of its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

/// Something that a step left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactReport {
    /// The step's key.
    pub step: String,
    /// Its name.
    pub name: String,
    /// Its hash.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// Whether it is a folder: a list of files.
    pub is_manifest: bool,
}

/// The run in the shape that is printed.
pub fn run(view: &RunView, is_driven: bool) -> RunReport {
    let summary = run_summary(view);
    let critical_path = summary.critical_path.iter().map(|c| CriticalReport {
        step: c.step.to_string(),
        waited_ms: c.waited.0,
        ran_ms: c.ran.0,
    });
    RunReport {
        run: summary.run,
        number: summary.number,
        pipeline: summary.pipeline.clone(),
        status: summary.status.to_string(),
        reason: summary.reason.clone(),
        is_driven,
        trigger: summary.trigger.clone(),
        retry_of: summary.retry_of,
        parent: summary.parent,
        params: summary.params.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
        submitted_at: summary.submitted_at.to_rfc3339(),
        finished_at: summary.finished_at.map(Timestamp::to_rfc3339),
        duration_ms: summary.duration.0,
        events: view.state.version,
        critical_path: critical_path.collect(),
        steps: step_rows(view).into_iter().map(|row| step(view, row)).collect(),
        outputs: outputs(view),
        artifacts: artifacts(view),
        budgets_exceeded: Vec::new(),
        cost: Vec::new(),
        counts: {
            let RunSummary { counts, .. } = summary;
            counts.into_iter().map(|(status, n)| (status.to_string(), n)).collect()
        },
    }
}

fn step(view: &RunView, row: StepRow) -> StepReport {
    let attempts = view.attempts_of(&row.step).iter().map(attempt).collect();
    StepReport {
        step: row.step.to_string(),
        kind: row.kind.to_string(),
        section: match row.section {
            Section::Main => "main",
            Section::Finally => "finally",
        }
        .to_string(),
        status: row.status.to_string(),
        reason: row.reason.clone(),
        started_at: row.started_at.map(Timestamp::to_rfc3339),
        finished_at: row.finished_at.map(Timestamp::to_rfc3339),
        duration_ms: row.duration().map(|d| d.0),
        reused_from: row.reused_from,
        child_run: row.child_run,
        children: row.children.map(|c| ChildrenReport {
            total: c.total,
            done: c.done,
            succeeded: c.succeeded,
            failed: c.failed,
        }),
        attempts,
    }
}

fn attempt(view: &AttemptView) -> AttemptReport {
    let end = view.end.as_ref();
    AttemptReport {
        attempt: view.attempt.to_string(),
        number: view.epoch.0,
        executor: view.executor.clone(),
        planned_at: view.planned_at.to_rfc3339(),
        started_at: view.started_at.map(Timestamp::to_rfc3339),
        exited_at: end.map(|end| end.at.to_rfc3339()),
        node: view.node.clone(),
        outcome: end.map(|end| end.outcome.name().to_string()),
        described: end.map(|end| end.outcome.describe()),
        cpu_ms: end.map(|end| end.usage.used.cpu_ms),
        memory_peak_bytes: end.map(|end| end.usage.used.mem_peak_mib << 20),
        log_bytes: end.map(|end| end.log.bytes),
    }
}

/// Outputs by step, as expressions see them: lists for fan-outs. Steps without any are left
/// out.
fn outputs(view: &RunView) -> BTreeMap<String, Json> {
    let steps = view.state.plan.steps.iter().filter_map(|planned| {
        let shown = view.state.view(&planned.name)?;
        let Value::Object(members) = &shown.outputs else { return None };
        (!members.is_empty()).then(|| (planned.name.to_string(), shown.outputs.to_json()))
    });
    steps.collect()
}

fn artifacts(view: &RunView) -> Vec<ArtifactReport> {
    let mut found = Vec::new();
    for (at, unit) in view.state.units() {
        let Some(result) = unit.result.as_deref() else { continue };
        for (name, artifact) in &result.artifacts {
            let ArtifactRef { sha256, bytes, manifest } = artifact;
            found.push(ArtifactReport {
                step: view.state.key(at).to_string(),
                name: name.clone(),
                sha256: sha256.to_hex(),
                size_bytes: *bytes,
                is_manifest: *manifest,
            });
        }
    }
    found
}
