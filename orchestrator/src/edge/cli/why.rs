//! `dagbook why`: why a run or a step is where it is, and what can be done.

use dagbook_events::ids::{RunId, StepKey};
use dagbook_events::project::{Explanation, why_run, why_step};
use serde::Serialize;

use super::output::{self, FAINT, RESET, STRONG};
use super::record::no_such_step;
use super::{CliError, Context, ExitCode};

const EXAMPLES: &str = "\
Examples:
  dagbook why latest
  dagbook why latest train
  dagbook why latest 'resize[3]'";

/// About what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
    /// A step, or one child of it such as `resize[3]`
    step: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    run: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    status: &'static str,
    reasons: Vec<ReasonReport>,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct ReasonReport {
    code: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
}

/// Explains it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let record = ctx.record().await?;
    let run = record.select(&args.run).await?;
    let view = record.view(run).await?;
    let around = record.surroundings(ctx, &view).await?;
    let explanation = match &args.step {
        None => why_run(&view, &around),
        Some(step) => {
            let key = StepKey::new(step);
            why_step(&view, &key, &around).ok_or_else(|| no_such_step(&view, &key))?
        }
    };
    if ctx.is_json() {
        output::json(&answer(run, &explanation))?;
    } else {
        output::print(&text(run, &explanation))?;
    }
    Ok(ExitCode::Success)
}

fn answer(run: RunId, explanation: &Explanation) -> Answer {
    let reasons = explanation.reasons.iter().map(|reason| ReasonReport {
        code: reason.code,
        text: reason.text.clone(),
        step: reason.step.as_ref().map(StepKey::to_string),
        run: reason.run,
    });
    Answer {
        run,
        step: explanation.step.as_ref().map(StepKey::to_string),
        status: explanation.status,
        reasons: reasons.collect(),
        commands: explanation.commands.clone(),
    }
}

fn text(run: RunId, explanation: &Explanation) -> String {
    let subject = match &explanation.step {
        Some(step) => format!("step {step}"),
        None => format!("run {run}"),
    };
    let status = explanation.status;
    let style = output::status_style(status);
    let mut text = format!("{STRONG}{subject}{RESET}: {style}{status}{RESET}\n");
    for reason in &explanation.reasons {
        text.push_str(&format!("  {}\n", output::clean(&reason.text)));
    }
    if !explanation.commands.is_empty() {
        text.push('\n');
    }
    for command in &explanation.commands {
        text.push_str(&format!("  {FAINT}${RESET} {command}\n"));
    }
    text
}
