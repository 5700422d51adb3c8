//! A run as people and programs are shown it.

use std::collections::BTreeMap;

use dagbook_events::dag::{Section, StepLookup};
use dagbook_events::ids::RunId;
use dagbook_events::project::{AttemptView, RunSummary, RunView, StepRow, run_summary, step_rows};
use dagbook_events::step::ArtifactRef;
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::value::Value;
use serde::Serialize;
use serde_json::Value as Json;

use crate::edge::cli::output::{self, FAINT, RESET, STRONG};

/// A run.
#[derive(Serialize)]
pub struct RunReport {
    run: RunId,
    number: u64,
    pipeline: String,
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    is_driven: bool,
    trigger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    params: BTreeMap<String, Json>,
    submitted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    duration_ms: u64,
    events: u64,
    counts: BTreeMap<&'static str, u32>,
    critical_path: Vec<CriticalReport>,
    steps: Vec<StepReport>,
    outputs: BTreeMap<String, Json>,
    artifacts: Vec<ArtifactReport>,
}

#[derive(Serialize)]
struct CriticalReport {
    step: String,
    waited_ms: u64,
    ran_ms: u64,
}

#[derive(Serialize)]
struct StepReport {
    step: String,
    kind: &'static str,
    section: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reused_from: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<ChildrenReport>,
    attempts: Vec<AttemptReport>,
    #[serde(skip)]
    row: StepRow,
}

#[derive(Serialize)]
struct ChildrenReport {
    total: u32,
    done: u32,
    succeeded: u32,
    failed: u32,
}

#[derive(Serialize)]
struct AttemptReport {
    attempt: String,
    number: u32,
    executor: String,
    planned_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exited_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    described: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ArtifactReport {
    step: String,
    name: String,
    sha256: String,
    size_bytes: u64,
    is_manifest: bool,
}

/// The run in the shape that is printed.
pub fn report(view: &RunView, is_driven: bool) -> RunReport {
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
        status: summary.status,
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
        counts: {
            let RunSummary { counts, .. } = summary;
            counts
        },
    }
}

fn step(view: &RunView, row: StepRow) -> StepReport {
    let attempts = view.attempts_of(&row.step).iter().map(attempt).collect();
    StepReport {
        step: row.step.to_string(),
        kind: row.kind,
        section: match row.section {
            Section::Main => "main",
            Section::Finally => "finally",
        },
        status: row.status,
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
        row,
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
        outcome: end.map(|end| end.outcome.name()),
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

impl RunReport {
    /// For people.
    pub fn to_text(&self) -> String {
        let style = output::status_style(self.status);
        let status = if self.is_driven { self.status } else { "interrupted" };
        let mut text = format!(
            "{STRONG}{}{RESET} #{}  {style}{} {status}{RESET}  {}\n",
            self.pipeline,
            self.number,
            output::status_sign(status),
            Millis(self.duration_ms),
        );
        let mut fact = |name: &str, value: &str| {
            let value = output::clean(value);
            text.push_str(&format!("{FAINT}{name:<10}{RESET} {value}\n"));
        };
        fact("run", &self.run.to_string());
        fact("submitted", &self.submitted_at);
        if let Some(at) = &self.finished_at {
            fact("finished", at);
        }
        if !self.reason.is_empty() {
            fact("why", &self.reason);
        }
        if let Some(run) = self.retry_of {
            fact("retry of", &run.to_string());
        }
        if let Some(run) = self.parent {
            fact("part of", &run.to_string());
        }
        for (name, value) in &self.params {
            fact("param", &format!("{name} = {value}"));
        }
        text.push('\n');
        text.push_str(&self.table());
        text.push_str(&self.results());
        text
    }

    fn table(&self) -> String {
        let mut table = output::StatusTable::new(&["step", ">attempts", ">took", "why"]);
        for step in &self.steps {
            let indent = if step.row.is_child { "  " } else { "" };
            let children = step.row.children.map(|c| format!(" ({} of {})", c.done, c.total));
            table.row(
                step.status,
                vec![
                    format!("{indent}{}{}", step.step, children.unwrap_or_default()),
                    match step.row.attempts {
                        0 => String::new(),
                        n => n.to_string(),
                    },
                    step.duration_ms.map(|ms| Millis(ms).to_string()).unwrap_or_default(),
                    match step.reused_from {
                        Some(run) => format!("taken over from run {run}"),
                        None => output::cut(&step.reason, 80),
                    },
                ],
            );
        }
        table.to_text()
    }

    fn results(&self) -> String {
        let mut text = String::new();
        if self.critical_path.len() > 1 {
            let path: Vec<String> = self
                .critical_path
                .iter()
                .map(|c| format!("{} ({})", c.step, Millis(c.ran_ms)))
                .collect();
            text.push_str(&format!("\ncritical path: {}\n", path.join(" → ")));
        }
        if !self.outputs.is_empty() {
            text.push_str(&format!("\n{STRONG}outputs{RESET}\n"));
        }
        for (step, outputs) in &self.outputs {
            for (name, value) in outputs.as_object().into_iter().flatten() {
                let value = output::cut(&value.to_string(), 100);
                text.push_str(&format!("  {step}.{name} = {value}\n"));
            }
        }
        if !self.artifacts.is_empty() {
            let rows = self.artifacts.iter().map(|a| {
                let size = output::bytes(a.size_bytes);
                vec![format!("{}.{}", a.step, a.name), size, a.sha256.clone()]
            });
            text.push('\n');
            text.push_str(&output::table(&["artifact", "size", "sha256"], rows.collect()));
        }
        text
    }
}
