//! `dagbook events`: what was recorded of a run.

use dagbook_events::ids::StreamName;
use dagbook_events::project::timeline;
use dagbook_events::run::RunFact;

use super::{CliError, Context, ExitCode, OpenRecord, output};

/// Leaves read at one time.
const PAGE: usize = 1_000;

const EXAMPLES: &str = "\
Examples:
  dagbook events latest
  dagbook events latest --output json | jq -c '{pos, ty, at}'

With `--output json` the exact bytes that are hashed are printed, one event a line.";

/// Which run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
}

/// Prints them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let record = ctx.record().await?;
    let run = record.select(&args.run).await?;
    if ctx.is_json() {
        leaves(&record, &StreamName::run(run)).await?;
    } else {
        table(&record, run).await?;
    }
    Ok(ExitCode::Success)
}

/// The leaves as they are stored: canonical JSON holds no line end, so a line is a leaf.
async fn leaves(record: &OpenRecord, stream: &StreamName) -> Result<(), CliError> {
    let store = record.recorder.store();
    let mut version = 0;
    loop {
        let page = store.read_stream(record.tenant(), stream, version, PAGE).await?;
        let mut bytes = Vec::new();
        for recorded in &page {
            bytes.extend_from_slice(&recorded.leaf);
            bytes.push(b'\n');
        }
        output::raw(&bytes)?;
        version += page.len() as u64;
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

async fn table(record: &OpenRecord, run: dagbook_events::ids::RunId) -> Result<(), CliError> {
    let history = record.recorder.history(run).await?;
    let facts: Vec<&RunFact> = history.iter().map(|recorded| &recorded.fact).collect();
    let rows =
        timeline(facts.iter().copied()).into_iter().zip(&history).map(|(entry, recorded)| {
            vec![
                recorded.envelope.position.to_string(),
                entry.at.to_rfc3339(),
                entry.kind.to_string(),
                entry.step.map(|step| step.to_string()).unwrap_or_default(),
                output::cut(&entry.text, 100),
            ]
        });
    let headings = ["position", "at", "event", "step", "what"];
    output::print(&output::table(&headings, rows.collect()))
}
