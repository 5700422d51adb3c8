//! `dagbook why`: why a run or a step is where it is, and what can be done.

use dagbook_events::ids::StepKey;
use dagbook_events::project::{why_run, why_step};

use super::output::{self, FAINT, RESET, STRONG};
use super::record::no_such_step;
use super::remote::{History, step_path};
use super::{CliError, Context, ExitCode};
use crate::app::reports::{self, WhyReport};

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

/// Explains it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let Some(remote) = ctx.remote()? {
        let run = remote.select(&args.run).await?;
        let path = match &args.step {
            None => format!("runs/{run}/why"),
            Some(step) => format!("{}/why", step_path(run, &StepKey::new(step))),
        };
        let asked = remote.client.get(&path).await;
        if let (Err(error), Some(step)) = (&asked, &args.step)
            && error.status() == Some(404)
        {
            // The run's own events know which steps there are.
            let (view, key) = (History::read(&remote, run).await?.view, StepKey::new(step));
            if view.state.find(&key).is_none() {
                return Err(no_such_step(&view, &key));
            }
        }
        print(ctx, &remote.about(run, asked)?)?;
        return Ok(ExitCode::Success);
    }
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
    print(ctx, &reports::why::why(run, &explanation))?;
    Ok(ExitCode::Success)
}

fn print(ctx: &Context, report: &WhyReport) -> Result<(), CliError> {
    if ctx.is_json() { output::json(report) } else { output::print(&text(report)) }
}

fn text(report: &WhyReport) -> String {
    let subject = match &report.step {
        Some(step) => format!("step {step}"),
        None => format!("run {}", report.run),
    };
    let status = &report.status;
    let style = output::status_style(status);
    let mut text = format!("{STRONG}{subject}{RESET}: {style}{status}{RESET}\n");
    for reason in &report.reasons {
        text.push_str(&format!("  {}\n", output::clean(&reason.text)));
    }
    if !report.commands.is_empty() {
        text.push('\n');
    }
    for command in &report.commands {
        text.push_str(&format!("  {FAINT}${RESET} {command}\n"));
    }
    text
}
