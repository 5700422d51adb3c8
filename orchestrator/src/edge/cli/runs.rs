//! `dagbook runs`: which runs there are, newest first.

use clap::ValueEnum;
use dagbook_events::ids::RunId;
use dagbook_events::project::run_status;
use dagbook_events::run::fold;
use dagbook_events::time::Timestamp;
use serde::Serialize;

use super::{CliError, Context, ExitCode, OpenRecord, output};
use crate::app::listing::{self, RunHead};

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
    runs: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    run: RunId,
    number: u64,
    pipeline: String,
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    trigger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    submitted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    duration_ms: u64,
}

/// Lists them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
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
        let listed = listed(&record, head).await?;
        if args.status.is_none_or(|filter| filter.takes(&listed)) {
            runs.push(listed);
        }
    }
    if ctx.is_json() {
        output::json(&Listing { runs })?;
    } else if runs.is_empty() {
        ctx.tell("no run to show");
    } else {
        output::print(&table(&runs, record.now()))?;
    }
    Ok(ExitCode::Success)
}

async fn listed(record: &OpenRecord, head: RunHead) -> Result<Listed, CliError> {
    let end = listing::end(&record.recorder, record.tenant(), head.run).await?;
    let (status, reason, until) = match &end {
        Some(end) => (end.status.clone(), end.reason.clone(), end.at),
        None if !record.is_driven(head.run) => {
            ("interrupted".to_string(), String::new(), record.now())
        }
        None => {
            let state = fold(&record.recorder.facts(head.run).await?);
            (run_status(&state).to_string(), String::new(), record.now())
        }
    };
    Ok(Listed {
        run: head.run,
        number: head.number,
        pipeline: head.pipeline,
        status,
        reason,
        trigger: head.trigger,
        parent: head.parent,
        submitted_at: head.submitted_at.to_rfc3339(),
        finished_at: end.map(|end| end.at.to_rfc3339()),
        duration_ms: until.since(head.submitted_at).0,
    })
}

impl StatusFilter {
    fn takes(self, listed: &Listed) -> bool {
        match self {
            Self::Open => listed.finished_at.is_none(),
            Self::Interrupted => listed.status == "interrupted",
            Self::Succeeded => listed.status == "succeeded",
            Self::Failed => listed.status == "failed",
            Self::Canceled => listed.status == "canceled",
            Self::Rejected => listed.status == "rejected",
        }
    }
}

fn table(runs: &[Listed], now: Timestamp) -> String {
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
