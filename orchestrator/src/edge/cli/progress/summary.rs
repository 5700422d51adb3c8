//! The end of a run in a few lines: every step with its duration, the critical path, outputs.

use std::io::Write;

use dagbook_events::dag::StepIndex;
use dagbook_events::project::critical_path;
use dagbook_events::run::{RunState, StepBody, UnitStatus};
use dagbook_events::time::Timestamp;

use super::plain::style;
use super::words::{Mood, sign};

/// Steps shown; the rest is counted.
const ROWS_MAX: usize = 40;

/// Writes the summary to stderr.
pub fn print(state: &RunState) {
    let mut out = anstream::stderr().lock();
    // Nobody to tell when stderr is gone.
    let _ = write(&mut out, state);
}

fn write(out: &mut dyn Write, state: &RunState) -> std::io::Result<()> {
    writeln!(out)?;
    let count = u32::try_from(state.steps.len()).unwrap_or(u32::MAX);
    let name = |index: u32| state.planned(StepIndex(index)).name.as_str();
    let width = (0..count).map(|i| name(i).chars().count()).max().unwrap_or(0).min(40);
    for index in (0..count).take(ROWS_MAX) {
        let step = StepIndex(index);
        let status = state.step_status(step);
        let style = style(mood(status));
        let span = span(state, step).map(|(a, b)| b.since(a).to_string()).unwrap_or_default();
        let (name, mark, word) = (name(index), sign(status), status.as_str());
        let details = details(state, step);
        writeln!(out, "  {style}{mark} {name:width$}{style:#}  {span:>7}  {word}{details}")?;
    }
    if count as usize > ROWS_MAX {
        writeln!(out, "  … and {} more steps", count as usize - ROWS_MAX)?;
    }
    let path = critical_path(state);
    if path.len() > 1 {
        let words = path.iter().map(|item| format!("{} ({})", item.step, item.ran));
        let words: Vec<String> = words.collect();
        writeln!(out, "\n  critical path: {}", words.join(" → "))?;
    }
    let took = state.updated_at.since(state.submitted_at);
    let word = state.status().map_or("unfinished", |status| status.as_str());
    let good = word == "succeeded";
    let style = style(if good { Mood::Good } else { Mood::Bad });
    writeln!(out, "\n  {style}{word}{style:#} in {took}, run {}", state.id())
}

fn mood(status: UnitStatus) -> Mood {
    match status {
        UnitStatus::Succeeded => Mood::Good,
        UnitStatus::Failed => Mood::Bad,
        UnitStatus::Skipped | UnitStatus::Canceled => Mood::Dim,
        _ => Mood::Plain,
    }
}

fn details(state: &RunState, step: StepIndex) -> String {
    match &state.step(step).body {
        StepBody::Single(unit) => {
            let attempts =
                if unit.epoch.0 > 1 { format!(", {} attempts", unit.epoch) } else { String::new() };
            let reason = unit.result.as_ref().map(|r| r.reason.as_str()).unwrap_or_default();
            let wanted = !matches!(unit.status, UnitStatus::Succeeded) && !reason.is_empty();
            let reason = if wanted { format!(": {reason}") } else { String::new() };
            let reused = unit.result.as_ref().and_then(|r| r.reused_from);
            let reused = reused.map(|run| format!(", taken over from run {run}"));
            format!("{attempts}{reason}{}", reused.unwrap_or_default())
        }
        StepBody::FanOut(fan) => {
            let failed =
                if fan.failed > 0 { format!(", {} failed", fan.failed) } else { String::new() };
            format!(", {} of {} children{failed}", fan.succeeded, fan.children.len())
        }
    }
}

/// From the first attempt to the end.
fn span(state: &RunState, step: StepIndex) -> Option<(Timestamp, Timestamp)> {
    let known = |(from, to): (Timestamp, Timestamp)| {
        (from != Timestamp(0) && to != Timestamp(0)).then_some((from, to))
    };
    match &state.step(step).body {
        StepBody::Single(unit) => known(unit.span),
        StepBody::FanOut(fan) => {
            let spans = fan.children.iter().filter_map(|child| known(child.span));
            spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        }
    }
}
