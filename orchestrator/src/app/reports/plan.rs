//! A plan.

use std::collections::BTreeMap;

use dagbook_events::dag::{
    Action, Concurrency, FanOut, Plan, PlannedStep, Section, StepIndex, SubDagSource, WaitFor,
    When, WhenFull,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::step::Resources;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::critical::critical;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// The pipeline's name.
    pub name: String,
    /// What the author says of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Parameters, defaults applied.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The hash of the DAG file.
    pub source_sha256: String,
    /// Its concurrency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyReport>,
    /// Its priority.
    pub priority: i32,
    /// Longest time of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Units at one time, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Steps, and children that are known before the run.
    pub units: usize,
    /// Levels of the graph.
    pub levels: u32,
    /// The longest chain.
    pub critical_path: Vec<String>,
    /// Its length at most, where each step has a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_path_bound_ms: Option<u64>,
    /// Steps in topological order.
    pub steps: Vec<PlannedStepReport>,
}

/// A concurrency group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConcurrencyReport {
    /// Its name.
    pub group: String,
    /// Runs at one time.
    pub limit: u32,
    /// What a run does that finds it full.
    pub when_full: String,
}

/// A planned step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStepReport {
    /// The step's name.
    pub step: String,
    /// `main` or `finally`.
    pub section: String,
    /// Its level in the graph, from 0.
    pub level: u32,
    /// `task`, `approval`, `wait` or `dag`.
    pub kind: String,
    /// What it does, in a few words.
    pub what: String,
    /// Steps that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Which ends of those let it start.
    pub when: String,
    /// The condition as written.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Keys of its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<String>>,
    /// The list that it fans out over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// Units at one time, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// The executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// The container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesReport>,
    /// Longest time of an attempt.
    pub attempt_timeout_ms: u64,
    /// Attempts at most.
    pub max_attempts: u32,
}

/// What a step asks of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourcesReport {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Disk.
    pub disk_bytes: u64,
    /// GPUs.
    pub gpus: u32,
}

/// The plan in the shape that is printed.
pub fn plan(plan: &Plan, hash: Sha256Digest) -> PlanReport {
    let critical = critical(plan);
    let name = |step: &StepIndex| plan.step(*step).name.to_string();
    PlanReport {
        name: plan.name.clone(),
        description: plan.description.clone(),
        labels: plan.labels.clone(),
        params: plan.params.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
        source_sha256: hash.to_hex(),
        concurrency: plan.concurrency.as_ref().map(concurrency),
        priority: plan.priority,
        timeout_ms: plan.timeout.map(|t| t.0),
        max_parallel: plan.max_parallel,
        units: plan.unit_count(),
        levels: plan.steps.iter().map(|step| step.level + 1).max().unwrap_or(0),
        critical_path: critical.steps.iter().map(name).collect(),
        critical_path_bound_ms: critical.bound.map(|b| b.0),
        steps: plan.steps.iter().map(|step| step_report(plan, step)).collect(),
    }
}

fn concurrency(group: &Concurrency) -> ConcurrencyReport {
    ConcurrencyReport {
        group: group.group.clone(),
        limit: group.limit,
        when_full: match group.when_full {
            WhenFull::Queue => "queue",
            WhenFull::CancelRunning => "cancel_running",
            WhenFull::Reject => "reject",
        }
        .to_string(),
    }
}

fn step_report(plan: &Plan, step: &PlannedStep) -> PlannedStepReport {
    let (kind, what) = action(&step.action);
    let task = match &step.action {
        Action::Task(task) => Some(task),
        _ => None,
    };
    let (children, for_each) = match &step.fan_out {
        FanOut::None => (None, None),
        FanOut::Matrix(cells) => {
            let keys = cells.iter().map(|(label, _)| format!("{}[{label}]", step.name));
            (Some(keys.collect()), None)
        }
        FanOut::ForEach(list) => (None, Some(list.source().to_string())),
    };
    PlannedStepReport {
        step: step.name.to_string(),
        section: match step.section {
            Section::Main => "main",
            Section::Finally => "finally",
        }
        .to_string(),
        level: step.level,
        kind: kind.to_string(),
        what,
        needs: step.needs.iter().map(|need| plan.step(*need).name.to_string()).collect(),
        when: when(step.when).to_string(),
        condition: step.condition.as_ref().map(|c| c.source().to_string()),
        children,
        for_each,
        max_parallel: step.max_parallel,
        executor: task.map(|t| t.executor.clone()),
        image: task.and_then(|t| Some(t.image.as_ref()?.source().to_string())),
        resources: task.and_then(|t| resources(&t.resources)),
        attempt_timeout_ms: step.timeouts.attempt.0,
        max_attempts: step.retry.max_attempts,
    }
}

fn resources(asked: &Resources) -> Option<ResourcesReport> {
    if *asked == Resources::default() {
        return None;
    }
    Some(ResourcesReport {
        cpu_milli: asked.cpu_milli,
        memory_bytes: asked.memory_bytes,
        disk_bytes: asked.disk_bytes,
        gpus: asked.gpu.as_ref().map_or(0, |gpu| gpu.count),
    })
}

fn when(when: When) -> &'static str {
    match when {
        When::AllSucceeded => "all_succeeded",
        When::AnyFailed => "any_failed",
        When::AnySucceeded => "any_succeeded",
        When::AllDone => "all_done",
    }
}

/// The kind of a step, and what it does in a few words. Commands are not shown: they may hold
/// what is not for everyone's eyes.
fn action(action: &Action) -> (&'static str, String) {
    use dagbook_events::dag::ProgramTemplate;
    match action {
        Action::Task(task) => match &task.program {
            ProgramTemplate::Script { interpreter, text } => {
                let shell = interpreter.first().map_or("sh", String::as_str);
                let lines = count(text.lines().count(), "line");
                ("task", format!("{shell} script of {lines}"))
            }
            ProgramTemplate::Command(argv) => {
                ("task", argv.first().map(|word| word.source().to_string()).unwrap_or_default())
            }
        },
        Action::Approval(approval) => ("approval", format!("approval by a {}", approval.role)),
        Action::Wait(WaitFor::For(span)) => ("wait", format!("wait for {span}")),
        Action::Wait(WaitFor::Until(at)) => ("wait", format!("wait until {at}")),
        Action::Wait(WaitFor::Event(name)) => ("wait", format!("wait for event {name}")),
        Action::SubDag(sub) => match &sub.source {
            SubDagSource::Path(path) => ("dag", format!("sub-DAG {path}")),
            SubDagSource::Pipeline(name) => ("dag", format!("pipeline {name}")),
        },
    }
}

/// One of several: `1 line`, `2 lines`.
fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
