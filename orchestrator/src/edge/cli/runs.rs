//! `dagbook runs`: which runs there are, newest first.

use clap::ValueEnum;
use dagbook_events::time::Timestamp;
use serde::Serialize;

use super::remote::Remote;
use super::{CliError, Context, ExitCode, output};
use crate::app::listing;
use crate::app::reports::{RunFilter, RunRow};

/// Runs that are looked at for a status, at most.
const LOOKED_AT: usize = 100_000;

const EXAMPLES: &str = "\
Examples:
  dagbook runs
  dagbook runs --status failed --limit 5
  dagbook runs --output json | jq -r '.runs[].run'";

/// Which runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only runs of this status
    #[arg(long, value_enum)]
    status: Option<StatusFilter>,
    /// Show the runs of sub-DAGs too
    #[arg(long)]
    children: bool,
}

/// Statuses that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFilter {
    /// Goes on, in whatever way
    Open,
    /// Open, and no process drives it
    Interrupted,
    /// All steps succeeded or were skipped
    Succeeded,
    /// A step failed
    Failed,
    /// Cancelled
    Canceled,
    /// Its concurrency group was full
    Rejected,
}

#[derive(Serialize)]
struct Listing {
    runs: Vec<RunRow>,
}

/// Lists them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (runs, now) = match ctx.remote()? {
        Some(remote) => (there(&remote, &args).await?, now()),
        None => here(ctx, &args).await?,
    };
    if ctx.is_json() {
        output::json(&Listing { runs })?;
    } else if runs.is_empty() {
        ctx.tell("no run to show");
    } else {
        output::print(&table(&runs, now))?;
    }
    Ok(ExitCode::Success)
}

async fn there(remote: &Remote, args: &Args) -> Result<Vec<RunRow>, CliError> {
    let status = args.status.map(|filter| RunFilter::from(filter).as_str().to_string());
    let children = args.children.then(|| "true".to_string());
    let filters = [("status", status), ("children", children)];
    Ok(remote.client.pages("runs", &filters, args.limit).take(args.limit).await?)
}

async fn here(ctx: &Context, args: &Args) -> Result<(Vec<RunRow>, Timestamp), CliError> {
    let record = ctx.record().await?;
    let filtered = args.status.is_some() || !args.children;
    let looked_at = if filtered { LOOKED_AT } else { args.limit };
    let mut runs = Vec::new();
    for run in listing::newest(&record.recorder, record.tenant(), looked_at).await? {
        if runs.len() == args.limit {
            break;
        }
        let Some(head) = listing::head(&record.recorder, record.tenant(), run).await? else {
            continue;
        };
        if head.parent.is_some() && !args.children {
            continue;
        }
        let (recorder, tenant, now) = (&record.recorder, record.tenant(), record.now());
        let driven = |run| record.is_driven(run);
        let row = listing::row(recorder, tenant, head, driven, now).await?;
        if args.status.is_none_or(|filter| RunFilter::from(filter).takes(&row)) {
            runs.push(row);
        }
    }
    Ok((runs, record.now()))
}

/// How long ago a run was submitted is counted by the clock here.
fn now() -> Timestamp {
    use dagbook_events::ports::Clock as _;
    dagbook_executors::SystemClock.now()
}

impl From<StatusFilter> for RunFilter {
    fn from(filter: StatusFilter) -> Self {
        match filter {
            StatusFilter::Open => Self::Open,
            StatusFilter::Interrupted => Self::Interrupted,
            StatusFilter::Succeeded => Self::Succeeded,
            StatusFilter::Failed => Self::Failed,
            StatusFilter::Canceled => Self::Canceled,
            StatusFilter::Rejected => Self::Rejected,
        }
    }
}

fn table(runs: &[RunRow], now: Timestamp) -> String {
    let mut table =
        output::StatusTable::new(&[">#", "pipeline", "run", "submitted", ">took", "why"]);
    for run in runs {
        let at = Timestamp::parse_rfc3339(&run.submitted_at).unwrap_or(now);
        table.row(
            &run.status,
            vec![
                run.number.to_string(),
                output::cut(&run.pipeline, 32),
                run.run.to_string(),
                format!("{} ago", now.since(at)),
                dagbook_events::time::Millis(run.duration_ms).to_string(),
                output::cut(&run.reason, 60),
            ],
        );
    }
    table.to_text()
}
