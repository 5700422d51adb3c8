//! `dagbook show`: a run in full: summary, steps, outputs, artifacts.

mod text;

use dagbook_events::ports::Clock as _;
use dagbook_events::project::RunView;

use super::{CliError, Context, ExitCode, output};
use crate::app::reports::{self, RunReport};
use crate::app::runs;

const EXAMPLES: &str = "\
Examples:
  dagbook show latest
  dagbook show '#12' --output json | jq .outputs";

/// Which run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
}

/// Shows it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let Some(remote) = ctx.remote()? {
        let run = remote.select(&args.run).await?;
        print_report(ctx, &remote.report(run).await?)?;
        return Ok(ExitCode::Success);
    }
    let record = ctx.record().await?;
    let run = record.select(&args.run).await?;
    let facts = record.recorder.facts(record.tenant(), run).await?;
    let view = RunView::fold(&facts);
    let driven = view.state.is_finished() || record.is_driven(run);
    let mut report = reports::run::run(&view, driven);
    // Nobody knows what becomes of attempts while no process looks after them.
    let now = driven.then(|| dagbook_executors::SystemClock.now());
    let store = record.recorder.store();
    report.cost = runs::cost(store.as_ref(), record.tenant(), (&view, &facts), now).await?;
    print_report(ctx, &report)?;
    if !driven {
        ctx.tell(&format!(
            "\nno process drives this run; go on with it by `dagbook run --resume {run}`"
        ));
    }
    Ok(ExitCode::Success)
}

/// Prints a run in the form that was asked for.
pub(super) fn print(ctx: &Context, view: &RunView, is_driven: bool) -> Result<(), CliError> {
    print_report(ctx, &reports::run::run(view, is_driven))
}

/// Prints a report in the form that was asked for.
pub(super) fn print_report(ctx: &Context, report: &RunReport) -> Result<(), CliError> {
    if ctx.is_json() { output::json(report) } else { output::print(&text::to_text(report)) }
}
