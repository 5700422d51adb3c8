//! What a picture shows of a plan.

use crate::dag::plan::{
    Action, FanOut, Plan, PlannedStep, ProgramTemplate, Section, SubDagSource, WaitFor, When,
};

/// Kinds that look different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    Approval,
    Wait,
    SubDag,
}

/// One box.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub name: String,
    /// What it does, in a few words.
    pub detail: String,
    pub kind: Kind,
    pub finally: bool,
    pub fans_out: bool,
    /// Not run on every way through: it has an `if` or another `when` than the usual.
    pub conditional: bool,
    pub level: u32,
    pub needs: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub title: String,
    pub nodes: Vec<Node>,
    pub units: usize,
}

impl Model {
    pub fn of(plan: &Plan) -> Self {
        let nodes = plan.steps.iter().map(node).collect();
        Self { title: plan.name.clone(), nodes, units: plan.unit_count() }
    }

    pub fn levels(&self) -> u32 {
        self.nodes.iter().map(|node| node.level + 1).max().unwrap_or(0)
    }
}

fn node(step: &PlannedStep) -> Node {
    let (kind, what) = action(&step.action);
    let fan_out = match &step.fan_out {
        FanOut::None => None,
        FanOut::Matrix(cells) => Some(format!("× {}", cells.len())),
        FanOut::ForEach(_) => Some("× each".to_string()),
    };
    let detail = match &fan_out {
        Some(count) => format!("{what} {count}"),
        None => what,
    };
    Node {
        name: step.name.to_string(),
        detail,
        kind,
        finally: step.section == Section::Finally,
        fans_out: fan_out.is_some(),
        conditional: step.condition.is_some() || step.when != When::AllSucceeded,
        level: step.level,
        needs: step.needs.iter().map(|at| at.0 as usize).collect(),
    }
}

fn action(action: &Action) -> (Kind, String) {
    match action {
        Action::Task(task) => {
            let program = match &task.program {
                ProgramTemplate::Script { .. } => "run",
                ProgramTemplate::Command(_) => "command",
            };
            let what = match task.executor.as_str() {
                "local" => program.to_string(),
                executor => format!("{program} on {executor}"),
            };
            (Kind::Task, what)
        }
        Action::Approval(approval) => (Kind::Approval, format!("approval: {}", approval.role)),
        Action::Wait(wait) => {
            let what = match wait {
                WaitFor::For(span) => format!("wait {span}"),
                WaitFor::Until(at) => format!("wait until {at}"),
                WaitFor::Event(name) => format!("wait for {name}"),
            };
            (Kind::Wait, what)
        }
        Action::SubDag(sub) => {
            let what = match &sub.source {
                SubDagSource::Path(path) => format!("dag {path}"),
                SubDagSource::Pipeline(name) => format!("dag {name}"),
            };
            (Kind::SubDag, what)
        }
    }
}

/// Text cut to a number of characters, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= most {
        return clean.collect();
    }
    let mut short: String = clean.take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
