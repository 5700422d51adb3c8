//! A run for people, from its report alone: the same from here and from a server.

use dagbook_events::ids::StepKey;
use dagbook_events::time::Millis;

use crate::app::reports::{RunReport, StepReport};
use crate::edge::cli::output::{self, FAINT, RESET, STRONG};

/// A run for people.
pub fn to_text(report: &RunReport) -> String {
    let style = output::status_style(&report.status);
    let status = if report.is_driven { report.status.as_str() } else { "interrupted" };
    let mut text = format!(
        "{STRONG}{}{RESET} #{}  {style}{} {status}{RESET}  {}\n",
        report.pipeline,
        report.number,
        output::status_sign(status),
        Millis(report.duration_ms),
    );
    let mut fact = |name: &str, value: &str| {
        let value = output::clean(value);
        text.push_str(&format!("{FAINT}{name:<10}{RESET} {value}\n"));
    };
    fact("run", &report.run.to_string());
    fact("submitted", &report.submitted_at);
    if let Some(at) = &report.finished_at {
        fact("finished", at);
    }
    if !report.reason.is_empty() {
        fact("why", &report.reason);
    }
    if let Some(run) = report.retry_of {
        fact("retry of", &run.to_string());
    }
    if let Some(run) = report.parent {
        fact("part of", &run.to_string());
    }
    for budget in &report.budgets_exceeded {
        let spent = budget.spent.as_deref().unwrap_or("an unknown amount");
        let text = format!(
            "`{}` of {} is exceeded: {spent} spent, {} held",
            budget.name, budget.budget, budget.held
        );
        fact("budget", &text);
    }
    for cost in &report.cost {
        let running = match cost.running_attempts {
            0 => String::new(),
            n => {
                let open = output::count(n as usize, "attempt");
                format!(", {} so far of {open} at work", cost.running)
            }
        };
        fact("cost", &format!("{}{running}", cost.settled));
    }
    for (name, value) in &report.params {
        fact("param", &format!("{name} = {value}"));
    }
    text.push('\n');
    text.push_str(&table(report));
    text.push_str(&results(report));
    text
}

fn table(report: &RunReport) -> String {
    let mut table = output::StatusTable::new(&["step", ">attempts", ">took", "why"]);
    for step in &report.steps {
        let indent = if is_child(step) { "  " } else { "" };
        let children = step.children.as_ref().map(|c| format!(" ({} of {})", c.done, c.total));
        table.row(
            &step.status,
            vec![
                format!("{indent}{}{}", step.step, children.unwrap_or_default()),
                match attempts(report, step) {
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

fn results(report: &RunReport) -> String {
    let mut text = String::new();
    if report.critical_path.len() > 1 {
        let path: Vec<String> = report
            .critical_path
            .iter()
            .map(|c| format!("{} ({})", c.step, Millis(c.ran_ms)))
            .collect();
        text.push_str(&format!("\ncritical path: {}\n", path.join(" → ")));
    }
    if !report.outputs.is_empty() {
        text.push_str(&format!("\n{STRONG}outputs{RESET}\n"));
    }
    for (step, outputs) in &report.outputs {
        for (name, value) in outputs.as_object().into_iter().flatten() {
            let value = output::cut(&value.to_string(), 100);
            text.push_str(&format!("  {step}.{name} = {value}\n"));
        }
    }
    if !report.artifacts.is_empty() {
        let rows = report.artifacts.iter().map(|a| {
            let size = output::bytes(a.size_bytes);
            vec![format!("{}.{}", a.step, a.name), size, a.sha256.clone()]
        });
        text.push('\n');
        text.push_str(&output::table(&["artifact", "size", "sha256"], rows.collect()));
    }
    text
}

fn is_child(step: &StepReport) -> bool {
    StepKey::new(&step.step).split().1.is_some()
}

/// Attempts so far; for a fan-out those of all its children.
fn attempts(report: &RunReport, step: &StepReport) -> u32 {
    let last = |step: &StepReport| step.attempts.last().map_or(0, |attempt| attempt.number);
    match &step.children {
        None => last(step),
        Some(_) => {
            let behind = report.steps.iter().skip_while(|other| other.step != step.step).skip(1);
            behind.take_while(|other| is_child(other)).map(last).sum()
        }
    }
}
