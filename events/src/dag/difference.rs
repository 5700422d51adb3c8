//! What differs between two plans: what a person wants to see before a run is repeated with
//! another version of its pipeline.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::plan::{Plan, PlannedStep};
use crate::ids::StepName;

/// A step that both plans have, and that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedStep {
    /// Its name.
    pub step: StepName,
    /// What of it differs, in the words of the DAG file: `run`, `needs`, `retry`, ….
    pub what: Vec<String>,
    /// Needs that only the new plan has.
    pub needs_added: Vec<StepName>,
    /// Needs that only the old plan has.
    pub needs_removed: Vec<StepName>,
}

/// What differs between two plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDifference {
    /// Steps that only the new plan has, in its order.
    pub added: Vec<StepName>,
    /// Steps that only the old plan has, in its order.
    pub removed: Vec<StepName>,
    /// Steps that are not the same in both, in the order of the new plan.
    pub changed: Vec<ChangedStep>,
    /// What of the pipeline as a whole differs: `params`, `concurrency`, `timeout`, ….
    pub pipeline: Vec<String>,
}

impl PlanDifference {
    /// Whether both plans do the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.pipeline.is_empty()
    }
}

/// Compares two plans by the names of their steps. What is for people only, a description or a
/// label, is no difference.
pub fn plan_difference(old: &Plan, new: &Plan) -> PlanDifference {
    let only = |one: &Plan, other: &Plan| -> Vec<StepName> {
        let steps = one.steps.iter().filter(|step| !other.index.contains_key(&step.name));
        steps.map(|step| step.name.clone()).collect()
    };
    let both = new.steps.iter().filter_map(|step| {
        let before = old.index.get(&step.name)?;
        changed(old, old.step(*before), new, step)
    });
    let whole = [
        ("params", old.params != new.params),
        ("concurrency", old.concurrency != new.concurrency),
        ("priority", old.priority != new.priority),
        ("timeout", old.timeout != new.timeout),
        ("max_parallel", old.max_parallel != new.max_parallel),
    ];
    PlanDifference {
        added: only(new, old),
        removed: only(old, new),
        changed: both.collect(),
        pipeline: words(&whole),
    }
}

fn changed(
    old_plan: &Plan,
    old: &PlannedStep,
    new_plan: &Plan,
    new: &PlannedStep,
) -> Option<ChangedStep> {
    let (before, after) = (needs(old_plan, old), needs(new_plan, new));
    let fields = [
        ("section", old.section != new.section),
        ("needs", before != after),
        ("when", old.when != new.when),
        ("if", old.condition != new.condition),
        ("action", old.action != new.action),
        ("fan_out", old.fan_out != new.fan_out),
        ("max_parallel", old.max_parallel != new.max_parallel),
        ("fail_fast", old.fail_fast != new.fail_fast),
        ("min_success", old.min_success != new.min_success),
        ("timeout", old.timeouts != new.timeouts),
        ("retry", old.retry != new.retry),
    ];
    let what = words(&fields);
    if what.is_empty() {
        return None;
    }
    Some(ChangedStep {
        step: new.name.clone(),
        what,
        needs_added: after.difference(&before).cloned().collect(),
        needs_removed: before.difference(&after).cloned().collect(),
    })
}

/// The order in which needs are written means nothing.
fn needs(plan: &Plan, step: &PlannedStep) -> BTreeSet<StepName> {
    step.needs.iter().map(|at| plan.step(*at).name.clone()).collect()
}

fn words(fields: &[(&str, bool)]) -> Vec<String> {
    fields.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_string()).collect()
}
