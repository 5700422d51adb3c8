//! A plan as people and programs are shown it.

use std::collections::BTreeMap;

use dagbook_events::dag::{
    Action, Concurrency, FanOut, Plan, PlannedStep, Section, StepIndex, SubDagSource, WaitFor,
    When, WhenFull,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::step::Resources;
use serde::Serialize;

use super::critical::critical;
use crate::edge::cli::output::{self, FAINT, RESET, STRONG};

/// Children that are listed by name in the text form.
const CHILDREN_SHOWN: usize = 12;

#[derive(Serialize)]
pub struct PlanReport {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    labels: BTreeMap<String, String>,
    params: BTreeMap<String, serde_json::Value>,
    source_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<ConcurrencyReport>,
    priority: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_parallel: Option<u32>,
    units: usize,
    levels: u32,
    critical_path: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    critical_path_bound_ms: Option<u64>,
    steps: Vec<StepReport>,
}

#[derive(Serialize)]
struct ConcurrencyReport {
    group: String,
    limit: u32,
    when_full: &'static str,
}

#[derive(Serialize)]
struct StepReport {
    step: String,
    section: &'static str,
    level: u32,
    kind: &'static str,
    what: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    when: &'static str,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_parallel: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<ResourcesReport>,
    attempt_timeout_ms: u64,
    max_attempts: u32,
}

#[derive(Serialize)]
struct ResourcesReport {
    cpu_milli: u64,
    memory_bytes: u64,
    disk_bytes: u64,
    gpus: u32,
}

/// The plan in the shape that is printed.
pub fn report(plan: &Plan, hash: Sha256Digest) -> PlanReport {
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
        },
    }
}

fn step_report(plan: &Plan, step: &PlannedStep) -> StepReport {
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
    StepReport {
        step: step.name.to_string(),
        section: match step.section {
            Section::Main => "main",
            Section::Finally => "finally",
        },
        level: step.level,
        kind,
        what,
        needs: step.needs.iter().map(|need| plan.step(*need).name.to_string()).collect(),
        when: when(step.when),
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
                let lines = output::count(text.lines().count(), "line");
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

impl PlanReport {
    /// For people: the facts, then the steps by level.
    pub fn to_text(&self) -> String {
        let units = output::count(self.units, "unit");
        let steps = output::count(self.steps.len(), "step");
        let levels = output::count(self.levels as usize, "level");
        let mut text = format!("{STRONG}{}{RESET}  {steps}, {units}, {levels}\n", self.name);
        if !self.description.is_empty() {
            text.push_str(&format!("{}\n", output::clean(&self.description)));
        }
        for (name, value) in &self.params {
            text.push_str(&format!(
                "{FAINT}param{RESET} {name} = {}\n",
                output::clean(&value.to_string())
            ));
        }
        let headings = ["level", "step", "what", "needs", "where", "asks for"];
        let rows = self.steps.iter().flat_map(StepReport::rows).collect();
        text.push('\n');
        text.push_str(&output::table(&headings, rows));
        let bound = match self.critical_path_bound_ms {
            Some(bound) => format!(" (at most {})", dagbook_events::time::Millis(bound)),
            None => String::new(),
        };
        text.push_str(&format!("\ncritical path: {}{bound}\n", self.critical_path.join(" → ")));
        text
    }
}

impl StepReport {
    fn rows(&self) -> Vec<Vec<String>> {
        let level = match self.section {
            "finally" => format!("finally {}", self.level),
            _ => self.level.to_string(),
        };
        let mut what = self.what.clone();
        if let Some(condition) = &self.condition {
            what.push_str(&format!(", if {}", output::cut(condition, 40)));
        }
        if let Some(list) = &self.for_each {
            what.push_str(&format!(", for each of {}", output::cut(list, 48)));
        }
        if let Some(children) = &self.children {
            what.push_str(&format!(", {} children", children.len()));
        }
        let place = self.executor.clone().unwrap_or_default();
        let mut rows = vec![vec![
            level,
            self.step.clone(),
            what,
            self.needs.join(", "),
            place,
            self.resources.as_ref().map(ResourcesReport::to_text).unwrap_or_default(),
        ]];
        let children = self.children.as_deref().unwrap_or_default();
        for child in children.iter().take(CHILDREN_SHOWN) {
            rows.push(vec![String::new(), format!("  {child}")]);
        }
        if children.len() > CHILDREN_SHOWN {
            let more = children.len() - CHILDREN_SHOWN;
            rows.push(vec![String::new(), format!("  … and {more} more")]);
        }
        rows
    }
}

impl ResourcesReport {
    fn to_text(&self) -> String {
        let mut parts = Vec::new();
        if self.cpu_milli > 0 {
            parts.push(format!("{}m cpu", self.cpu_milli));
        }
        if self.memory_bytes > 0 {
            parts.push(format!("{} memory", output::bytes(self.memory_bytes)));
        }
        if self.disk_bytes > 0 {
            parts.push(format!("{} disk", output::bytes(self.disk_bytes)));
        }
        if self.gpus > 0 {
            parts.push(output::count(self.gpus as usize, "gpu"));
        }
        parts.join(", ")
    }
}
