//! `dagbook timeline`: which history is being written, and the deliberate begin of another one
//! after the store was restored from an older copy.

mod note;
mod recover;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use clap::Subcommand;
use dagbook_events::ids::Position;
use dagbook_events::ports::{CopiedEvent, RecordCopy};
use dagbook_events::tlog::leaf_hash;
use serde::Serialize;
use serde_json::json;

use super::output::{self, BAD, GOOD, RESET};
use super::{CliError, Context, ExitCode, OpenRecord, keeping};
use crate::wiring::{Installation, Jet, Purpose};

const EXAMPLES: &str = "\
Examples:
  dagbook timeline                     the timeline, the head, and where the copy ends
  dagbook timeline recover --dry-run   what the copy would give back, proven
  dagbook timeline recover --reason 'disk of db1 lost, restored from the night'
  dagbook timeline new --after-restore --reason 'disk of db1 lost, restored from the night'

After a restore from an older state, `recover` brings back what the copy still holds, byte by
byte. Where that is refused, a person begins a new timeline: what the copy holds behind the
restored head then belongs to the old one and stays there as evidence
(ops/runbooks/store-restored.md).";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the timeline, the head, and where the copy and the signed head end
    Show,
    /// Get back from the copy what the store lost when it was restored from an older state
    Recover(recover::Args),
    /// Begin a new timeline
    New(New),
}

/// A new timeline.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct New {
    /// The store was restored from an older copy, and that is why
    #[arg(long, required = true)]
    after_restore: bool,
    /// What happened, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do it without being asked; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

/// Longest reason, in characters.
const LONGEST_REASON: usize = 1_000;

#[derive(Serialize)]
struct Report {
    timeline: u64,
    position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<CopyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<u64>,
}

#[derive(Serialize)]
struct CopyReport {
    last: u64,
    agrees: bool,
    finding: String,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let record = ctx.record().await?;
    let report = Report::of(ctx, &record).await?;
    match args.action {
        None | Some(Action::Show) => {
            if ctx.is_json() {
                output::json(&report)?;
            } else {
                output::print(&report.to_text())?;
            }
            let agrees = report.copy.is_none_or(|copy| copy.agrees);
            Ok(if agrees { ExitCode::Success } else { ExitCode::Damaged })
        }
        Some(Action::Recover(args)) => recover::run(ctx, record, args).await,
        Some(Action::New(new)) => begin(ctx, record, &report, &new).await,
    }
}

impl Report {
    async fn of(ctx: &Context, record: &OpenRecord) -> Result<Self, CliError> {
        let store = record.recorder.store();
        let (timeline, head) = (store.timeline().await?, store.head().await?);
        let copy = match Jet::of(ctx.config()) {
            None => None,
            Some(jet) => {
                jet.ready().await.map_err(|error| CliError::unavailable(error.to_string()))?;
                Some(copy_report(record, jet.record_copy(), timeline, head).await?)
            }
        };
        let signed = record.installation.signed_heads().await;
        let signed = signed.map_err(|error| CliError::unavailable(error.to_string()))?;
        let ours = signed.iter().filter(|head| head.tenant == *record.tenant());
        let signed = ours.map(|head| head.size).max();
        Ok(Self { timeline, position: head.0, copy, signed })
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "timeline       {}\nhead           position {}\n",
            self.timeline, self.position
        );
        if let Some(copy) = &self.copy {
            let sign =
                if copy.agrees { format!("{GOOD}✓{RESET}") } else { format!("{BAD}✗{RESET}") };
            text.push_str(&format!("copy           position {}\n", copy.last));
            text.push_str(&format!("               {sign} {}\n", output::clean(&copy.finding)));
        }
        if let Some(signed) = self.signed {
            text.push_str(&format!("signed head    {signed} leaves of this tenant's log\n"));
        }
        text
    }
}

/// Where the copy of the timeline ends, and whether what it ends with is what the store has.
async fn copy_report(
    record: &OpenRecord,
    copy: Arc<dyn RecordCopy>,
    timeline: u64,
    head: Position,
) -> Result<CopyReport, CliError> {
    let failed = |error: dagbook_events::ports::CopyError| CliError::unavailable(error.to_string());
    let last = copy.last(timeline).await.map_err(failed)?;
    let shared = last.min(head);
    let (is_same, what) = match shared.0 {
        0 => (true, String::new()),
        _ => {
            let copied = copy.at(timeline, shared).await.map_err(failed)?;
            let stored = record.recorder.store().read_after(Position(shared.0 - 1), 1).await?;
            let same = matches!(
                (&copied, stored.first()),
                (Some(CopiedEvent { leaf, .. }), Some(row))
                    if leaf_hash(leaf) == leaf_hash(&row.leaf)
            );
            (same, format!("at position {shared}"))
        }
    };
    let finding = match (is_same, last > head) {
        (false, _) => format!("record and copy hold different events {what}"),
        (true, true) => format!(
            "the copy has {} that the record does not have: the store was restored from an older \
             copy, or somebody else wrote",
            output::count((last.0 - head.0) as usize, "event")
        ),
        (true, false) if last < head => {
            format!("the copy is {} behind", output::count((head.0 - last.0) as usize, "event"))
        }
        (true, false) => "record and copy end with the same event".to_string(),
    };
    Ok(CopyReport { last: last.0, agrees: is_same && last <= head, finding })
}

/// Asks, begins, and records why.
async fn begin(
    ctx: &Context,
    record: OpenRecord,
    report: &Report,
    new: &New,
) -> Result<ExitCode, CliError> {
    debug_assert!(new.after_restore, "clap requires it");
    let reason = new.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        return Err(CliError::usage(format!(
            "the reason must have between 1 and {LONGEST_REASON} characters"
        )));
    }
    let next = report.timeline + 1;
    let copied = report.copy.as_ref().map_or(0, |copy| copy.last);
    let lost = copied.saturating_sub(report.position);
    ctx.tell(&checklist(report, next, lost));
    if !new.yes && !confirmed(&format!("timeline {next}"))? {
        return Err(CliError::refused("nothing was changed"));
    }
    let store = record.recorder.store().clone();
    let begun = store.begin_timeline(report.timeline).await?;
    drop(record);
    // Opened anew, so that the copy of the new timeline is compared, filled and signed.
    let data = ctx.data(None)?;
    let installation = Installation::open(ctx.config(), &data, Purpose::Append).await?;
    let data = json!({
        "copied": copied,
        "cause": "restore",
        "former": report.timeline,
        "position": report.position,
        "reason": reason,
        "timeline": begun,
    });
    note::down(&installation, begun, "timeline.begun", &format!("timeline/{begun}"), &data).await?;
    if installation.keeper.is_some() {
        keeping::settle(ctx, &installation).await?;
    }
    if ctx.is_json() {
        output::json(&json!({ "timeline": begun, "former": report.timeline, "lost": lost }))?;
    } else {
        output::print(&format!(
            "timeline {begun} is written from position {} on\n",
            report.position + 1
        ))?;
    }
    Ok(ExitCode::Success)
}

fn checklist(report: &Report, next: u64, lost: u64) -> String {
    let mut text = format!(
        "Timeline {next} will be written behind position {} of timeline {}.\n\nBefore that:\n  \
         1. No other process may be appending: stop servers, runs and relays.\n  \
         2. The store must be the newest that can be restored: what is given up here is not \
         brought back.\n",
        report.position, report.timeline
    );
    if lost > 0 {
        text.push_str(&format!(
            "  3. {} behind it {} only in the copy of timeline {}, which stays there as evidence. \
             Runs that they belong to stand where the restored record has them.\n",
            output::count(lost as usize, "event"),
            if lost == 1 { "is" } else { "are" },
            report.timeline
        ));
    }
    text
}

/// Whether a person writes the words.
fn confirmed(words: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage("this is done only where somebody says so")
            .hint("read the list above, and give `--yes`"));
    }
    eprint!("\nWrite `{words}` to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == words)
}
