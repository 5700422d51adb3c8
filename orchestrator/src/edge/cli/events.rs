//! `dagbook events`: what was recorded of a run.

use std::time::Duration;

use dagbook_events::canonical;
use dagbook_events::ids::{RunId, StreamName};
use dagbook_events::project::timeline;
use dagbook_events::run::RunFact;
use serde_json::Value as Json;

use super::remote::{History, Recent, Remote};
use super::{CliError, Context, ExitCode, OpenRecord, output};
use crate::runtime::record::RecordedFact;

/// Leaves read at one time.
const PAGE: usize = 1_000;

/// How often new events are looked for.
const LOOK: Duration = Duration::from_millis(100);

const HEADINGS: [&str; 5] = ["position", "at", "event", "step", "what"];

const EXAMPLES: &str = "\
Examples:
  dagbook events latest
  dagbook events latest --follow
  dagbook events latest --output json | jq -c '{pos, ty, at}'

With `--output json` the exact bytes that are hashed are printed, one event a line.";

/// Which run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true, default_value = "latest")]
    run: String,
    /// Go on until the run is over
    #[arg(short, long)]
    follow: bool,
}

/// Prints them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let Some(remote) = ctx.remote()? {
        let run = remote.select(&args.run).await?;
        match args.follow {
            true => follow_there(ctx, &remote, run).await?,
            false => there(ctx, &remote, run).await?,
        }
        return Ok(ExitCode::Success);
    }
    let record = ctx.record().await?;
    let run = record.select(&args.run).await?;
    match (args.follow, ctx.is_json()) {
        (true, _) => follow_here(ctx, &record, run).await?,
        (false, true) => leaves(&record, &StreamName::run(run)).await?,
        (false, false) => table(&record, run).await?,
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

async fn table(record: &OpenRecord, run: RunId) -> Result<(), CliError> {
    let history = record.recorder.history(record.tenant(), run).await?;
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
    output::print(&output::table(&HEADINGS, rows.collect()))
}

async fn there(ctx: &Context, remote: &Remote, run: RunId) -> Result<(), CliError> {
    let (mut rows, mut bytes) = (Vec::new(), Vec::new());
    remote
        .events(run, |report| {
            if ctx.is_json() {
                bytes.extend_from_slice(&leaf(&report.leaf)?);
                if bytes.len() > 1 << 20 {
                    output::raw(&std::mem::take(&mut bytes))?;
                }
                return Ok(());
            }
            rows.push(vec![
                report.position.to_string(),
                report.at,
                report.event,
                report.step.unwrap_or_default(),
                output::cut(&report.what, 100),
            ]);
            Ok(())
        })
        .await?;
    match ctx.is_json() {
        true => output::raw(&bytes),
        false => output::print(&output::table(&HEADINGS, rows)),
    }
}

/// A leaf that travelled as JSON is canonical again: the very bytes that are hashed.
fn leaf(value: &Json) -> Result<Vec<u8>, CliError> {
    let mut bytes = canonical::to_vec(value)
        .map_err(|error| CliError::damaged(format!("an event is not canonical: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

async fn follow_here(ctx: &Context, record: &OpenRecord, run: RunId) -> Result<(), CliError> {
    let stream = StreamName::run(run);
    let mut version = 0;
    head(ctx)?;
    loop {
        let news = record.recorder.stream(record.tenant(), &stream, version).await?;
        version += news.len() as u64;
        for recorded in &news {
            if ctx.is_json() {
                let position = recorded.envelope.position.0;
                let after = dagbook_events::ids::Position(position - 1);
                for stored in record.recorder.store().read_after(after, 1).await? {
                    output::raw(&[&stored.leaf[..], b"\n"].concat())?;
                }
            } else {
                line(&row(recorded))?;
            }
        }
        let is_over = news.iter().any(|recorded| recorded.envelope.kind == "run.finished");
        if is_over || !record.is_driven(run) && news.is_empty() {
            return Ok(());
        }
        if news.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn follow_there(ctx: &Context, remote: &Remote, run: RunId) -> Result<(), CliError> {
    let mut history = History::follow(remote, run, true);
    head(ctx)?;
    while !history.view.state.is_finished() {
        if let Recent::Over = history.next().await? {
            break;
        }
        while let Some(report) = history.reports.pop_front() {
            if ctx.is_json() {
                output::raw(&leaf(&report.leaf)?)?;
                continue;
            }
            let step = report.step.unwrap_or_default();
            let position = report.position.to_string();
            line(&[position, report.at, report.event, step, output::cut(&report.what, 100)])?;
        }
    }
    Ok(())
}

fn row(recorded: &RecordedFact) -> [String; 5] {
    let entry = timeline([&recorded.fact]).remove(0);
    [
        recorded.envelope.position.to_string(),
        entry.at.to_rfc3339(),
        entry.kind.to_string(),
        entry.step.map(|step| step.to_string()).unwrap_or_default(),
        output::cut(&entry.text, 100),
    ]
}

fn head(ctx: &Context) -> Result<(), CliError> {
    match ctx.is_json() {
        true => Ok(()),
        false => line(&HEADINGS.map(str::to_uppercase)),
    }
}

/// While rows come one by one, widths are guessed.
fn line([position, at, event, step, what]: &[String; 5]) -> Result<(), CliError> {
    let text = format!("{position:<9} {at:<24}  {event:<20}  {:<24}  {what}", output::clean(step));
    output::print(&format!("{}\n", text.trim_end()))
}
