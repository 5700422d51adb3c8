//! A plan for people, from its report alone.

use crate::app::reports::plan::{PlanReport, PlannedStepReport, ResourcesReport};
use crate::edge::cli::output::{self, FAINT, RESET, STRONG};

/// Children that are listed by name.
const CHILDREN_SHOWN: usize = 12;

/// For people: the facts, then the steps by level.
pub fn to_text(plan: &PlanReport) -> String {
    let units = output::count(plan.units, "unit");
    let steps = output::count(plan.steps.len(), "step");
    let levels = output::count(plan.levels as usize, "level");
    let mut text = format!("{STRONG}{}{RESET}  {steps}, {units}, {levels}\n", plan.name);
    if !plan.description.is_empty() {
        text.push_str(&format!("{}\n", output::clean(&plan.description)));
    }
    for (name, value) in &plan.params {
        text.push_str(&format!(
            "{FAINT}param{RESET} {name} = {}\n",
            output::clean(&value.to_string())
        ));
    }
    let headings = ["level", "step", "what", "needs", "where", "asks for"];
    let rows = plan.steps.iter().flat_map(rows).collect();
    text.push('\n');
    text.push_str(&output::table(&headings, rows));
    let bound = match plan.critical_path_bound_ms {
        Some(bound) => format!(" (at most {})", dagbook_events::time::Millis(bound)),
        None => String::new(),
    };
    text.push_str(&format!("\ncritical path: {}{bound}\n", plan.critical_path.join(" → ")));
    text
}

fn rows(step: &PlannedStepReport) -> Vec<Vec<String>> {
    let level = match step.section.as_str() {
        "finally" => format!("finally {}", step.level),
        _ => step.level.to_string(),
    };
    let mut what = step.what.clone();
    if let Some(condition) = &step.condition {
        what.push_str(&format!(", if {}", output::cut(condition, 40)));
    }
    if let Some(list) = &step.for_each {
        what.push_str(&format!(", for each of {}", output::cut(list, 48)));
    }
    if let Some(children) = &step.children {
        what.push_str(&format!(", {} children", children.len()));
    }
    let place = step.executor.clone().unwrap_or_default();
    let mut rows = vec![vec![
        level,
        step.step.clone(),
        what,
        step.needs.join(", "),
        place,
        step.resources.as_ref().map(asked).unwrap_or_default(),
    ]];
    let children = step.children.as_deref().unwrap_or_default();
    for child in children.iter().take(CHILDREN_SHOWN) {
        rows.push(vec![String::new(), format!("  {child}")]);
    }
    if children.len() > CHILDREN_SHOWN {
        let more = children.len() - CHILDREN_SHOWN;
        rows.push(vec![String::new(), format!("  … and {more} more")]);
    }
    rows
}

fn asked(resources: &ResourcesReport) -> String {
    let mut parts = Vec::new();
    if resources.cpu_milli > 0 {
        parts.push(format!("{}m cpu", resources.cpu_milli));
    }
    if resources.memory_bytes > 0 {
        parts.push(format!("{} memory", output::bytes(resources.memory_bytes)));
    }
    if resources.disk_bytes > 0 {
        parts.push(format!("{} disk", output::bytes(resources.disk_bytes)));
    }
    if resources.gpus > 0 {
        parts.push(output::count(resources.gpus as usize, "gpu"));
    }
    parts.join(", ")
}
