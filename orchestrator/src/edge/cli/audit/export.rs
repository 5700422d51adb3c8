//! `dagbook audit export`: a bundle that a stranger can check.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::journal::bundle::export::{ExportError, Order, Progress, Wanted};
use dagbook_events::journal::bundle::manifest::{Kind, Manifest};
use dagbook_events::time::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::app::error::AppError;
use crate::client::query;
use crate::edge::cli::output::{self, GOOD, RESET};
use crate::edge::cli::remote::Remote;
use crate::edge::cli::{CliError, Context, ExitCode, OpenRecord};

/// How long cosignatures are waited for.
const COSIGNED_WITHIN: Duration = Duration::from_secs(30);
/// Reports of progress that may be waiting.
const AHEAD: usize = 64;
/// A line of progress after so many bytes.
const TELL_EVERY: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  dagbook audit export --period 2026-11 -o november      one closed period, with its invoice
  dagbook audit export --tenant acme --period 2026-11 --line 3 -o november
  dagbook audit export --from 2026-11-01 --to 2026-12-01 -o history
  dagbook audit export --period 2026-11 -o november --server https://dagbook.example

Then, or on any other machine, without dagbook:
  dagbook audit verify november
  python3 november/verify.py november

A bundle holds the events of one tenant, hashes of nothing else, and no secret. It is written
beside its target and gets its name when it is complete.

Exit codes: 0 written   2 there is no such period   4 something cannot be reached   5 refused
            6 the record is not what was signed or billed";

/// What to export.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A closed period: with its invoice
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    period: Option<String>,
    /// What was recorded from this instant on (2026-11-01, or with a time and zone)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Option<Timestamp>,
    /// What was recorded before this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Option<Timestamp>,
    /// The folder to make
    #[arg(short = 'o', long, value_name = "DIR")]
    out: PathBuf,
    /// Prove the leaves behind this line of the invoice one by one; may be given again
    #[arg(long = "line", value_name = "N")]
    lines: Vec<u32>,
    /// Leave out what was recorded before the period and does not matter to it
    #[arg(long)]
    since_opening: bool,
    /// Take a checkpoint that the witnesses have not co-signed yet
    #[arg(long)]
    unwitnessed: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Report {
    folder: String,
    kind: Kind,
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_minor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    events: u64,
    files: u64,
    bytes: u64,
    origin: String,
    size: u64,
    root: String,
}

/// Writes it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(CliError::usage("`--from` is not before `--to`"));
    }
    let (manifest, bytes) = match ctx.remote()? {
        Some(remote) => there(ctx, &remote, &args).await?,
        None => here(ctx, &args).await?,
    };
    let report = Report::of(&args.out, &manifest, bytes);
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&report.to_text())?;
        let out = args.out.display();
        ctx.tell(&format!("next: dagbook audit verify {out}    or: python3 {out}/verify.py {out}"));
    }
    Ok(ExitCode::Success)
}

async fn here(ctx: &Context, args: &Args) -> Result<(Manifest, u64), CliError> {
    let record = ctx.record().await?;
    let tenant = tenant(ctx, &record).await?;
    let evidence = record.installation.evidence(ctx.config(), COSIGNED_WITHIN)?;
    let exporter = evidence.exporter();
    let plan = exporter.plan(&args.order(tenant)).await?;
    let (tell, heard) = mpsc::channel(AHEAD);
    let is_shown = std::io::stderr().is_terminal() && !ctx.is_quiet();
    let telling = tokio::spawn(show(heard, is_shown));
    let exported = exporter.write(&plan, &args.out, Some(tell)).await;
    // It ends with the last word of the export.
    let _ = telling.await;
    let exported = exported?;
    Ok((exported.manifest, exported.bytes))
}

/// The tenant that was named, or the record's own.
async fn tenant(ctx: &Context, record: &OpenRecord) -> Result<TenantId, CliError> {
    let Some(name) = ctx.tenant() else { return Ok(record.tenant().clone()) };
    let missing = || {
        CliError::from(AppError::not_found("tenant", &name))
            .hint("`dagbook tenant list` lists them")
    };
    let tenant = TenantId::new(&name).map_err(|_| missing())?;
    match record.installation.deps.store.log_head(&tenant).await?.size {
        0 => Err(missing()),
        _ => Ok(tenant),
    }
}

async fn show(mut heard: mpsc::Receiver<Progress>, is_shown: bool) {
    let mut was_shown = false;
    while let Some(progress) = heard.recv().await {
        if let (true, Progress::Leaves { done, of }) = (is_shown, progress) {
            eprint!("\r{done} of {of} leaves …");
            was_shown = true;
        }
    }
    if was_shown {
        eprint!("\r\u{1b}[K");
    }
}

async fn there(ctx: &Context, remote: &Remote, args: &Args) -> Result<(Manifest, u64), CliError> {
    let yes = |flag: bool| flag.then(|| "true".to_string());
    let lines: Vec<String> = args.lines.iter().map(|line| line_id(*line)).collect();
    let asked = query(&[
        ("period", args.period.clone()),
        ("from", args.from.map(Timestamp::to_rfc3339)),
        ("to", args.to.map(Timestamp::to_rfc3339)),
        ("since_opening", yes(args.since_opening)),
        ("unwitnessed", yes(args.unwitnessed)),
        ("lines", (!lines.is_empty()).then(|| lines.join(","))),
    ]);
    let is_shown = std::io::stderr().is_terminal() && !ctx.is_quiet();
    let mut told = 0;
    let came = |bytes: u64| {
        if is_shown && bytes >= told + TELL_EVERY {
            told = bytes;
            eprint!("\r{} …", output::bytes(bytes));
        }
    };
    let path = format!("audit/bundle{asked}");
    let unpacked = remote.client.bundle(&path, &args.out, came).await;
    if told > 0 {
        eprint!("\r\u{1b}[K");
    }
    let unpacked = unpacked?;
    let path = args.out.join(dagbook_events::journal::bundle::layout::MANIFEST);
    let manifest = std::fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| Manifest::parse(&bytes))
        .map_err(|error| CliError::damaged(format!("{}: {error}", path.display())))?;
    Ok((manifest, unpacked.bytes))
}

impl Args {
    fn order(&self, tenant: TenantId) -> Order {
        let what = match &self.period {
            Some(period) => Wanted::Period(period.clone()),
            None => Wanted::Between { from: self.from, to: self.to },
        };
        Order {
            tenant,
            what,
            since_opening: self.since_opening,
            unwitnessed: self.unwitnessed,
            lines: self.lines.iter().map(|line| line_id(*line)).collect(),
        }
    }
}

/// The id of a line by its number.
fn line_id(line: u32) -> String {
    format!("{line:06}")
}

/// An instant, or a day, which begins at midnight UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let day = || Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    Timestamp::parse_rfc3339(text).or_else(day).ok_or_else(|| {
        format!("`{text}` is no instant, such as 2026-11-01 or 2026-11-01T00:00:00+01:00")
    })
}

impl Report {
    fn of(folder: &Path, manifest: &Manifest, bytes: u64) -> Self {
        Self {
            folder: folder.display().to_string(),
            kind: manifest.kind,
            tenant: manifest.tenant.clone(),
            period: manifest.period.as_ref().map(|period| period.name.clone()),
            total_minor: manifest.control.total_minor.clone(),
            currency: manifest.control.currency.clone(),
            events: manifest.control.events,
            files: manifest.files.len() as u64 + 3,
            bytes,
            origin: manifest.log.origin.clone(),
            size: manifest.log.end.size,
            root: manifest.log.end.root.to_hex(),
        }
    }

    fn to_text(&self) -> String {
        let what = match &self.period {
            Some(period) => format!("the period {} of {}", output::clean(period), self.tenant),
            None => format!("a history of {}", self.tenant),
        };
        format!(
            "{GOOD}✓{RESET} {}: {what}, {} in {} ({})\n  {} over {} leaves, root {}\n",
            self.folder,
            output::count(self.events as usize, "event"),
            output::count(self.files as usize, "file"),
            output::bytes(self.bytes),
            self.origin,
            self.size,
            self.root,
        )
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        let text = error.to_string();
        match error {
            ExportError::Checkpoint(error) if error.is_inconsistent() => {
                Self::damaged(text).hint("see ops/runbooks/evidence-damaged.md")
            }
            ExportError::Unwitnessed { .. } => Self::unavailable(text).hint(
                "a running witness co-signs within seconds (`dagbook doctor` says more); \
                 `--unwitnessed` takes the checkpoint without it",
            ),
            ExportError::NoPeriod { .. } | ExportError::NoLine { .. } => Self::usage(text),
            ExportError::File { .. } => Self::unavailable(text),
            error => AppError::from(error).into(),
        }
    }
}
