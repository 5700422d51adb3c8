//! `dagbook schedule`: schedules of a server.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::remote::Remote;
use super::run::parse_params;
use super::{CliError, Context, ExitCode, output};
use crate::app::reports::{BackfillPreview, HistoryRow, ScheduleReport, ScheduleRow};
use crate::client::segment;

const EXAMPLES: &str = "\
Examples:
  dagbook schedule create night --pipeline nightly --cron '30 2 * * 1-5' --timezone Europe/Vienna
  dagbook schedule next night
  dagbook schedule pause night --comment 'the site moves'
  dagbook schedule backfill night --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z --dry-run

A schedule whose name has a dot belongs to a pipeline: change the pipeline's `on: schedule` and
register it. It can be paused like any other.";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a schedule
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        spec: SpecArgs,
    },
    /// Change what a schedule does: all of it
    Change {
        /// Its name
        name: String,
        #[command(flatten)]
        spec: SpecArgs,
    },
    /// List schedules
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a schedule: what it does, what is open, what comes next
    Show {
        /// Its name
        name: String,
    },
    /// Show what happened, newest first
    History {
        /// The schedule
        name: String,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show when it fires next
    Next {
        /// The schedule
        name: String,
        /// So many times
        #[arg(long, short = 'n', default_value_t = 5)]
        count: usize,
    },
    /// Let it fire no more until it is resumed
    Pause {
        /// The schedule
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Let it fire again
    Resume {
        /// The schedule
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Take it away; runs that it fired go on
    Delete {
        /// The schedule
        name: String,
    },
    /// Make up for instants of the past
    Backfill(BackfillArgs),
}

#[derive(Debug, clap::Args)]
struct SpecArgs {
    /// The registered pipeline that it runs
    #[arg(long)]
    pipeline: String,
    /// Which version [default: the newest at the time of each firing]
    #[arg(long)]
    version: Option<u32>,
    /// When: five fields as in crontab, or a name such as @hourly
    #[arg(long)]
    cron: String,
    /// The IANA zone of those times
    #[arg(long, default_value = "UTC")]
    timezone: String,
    /// What happens when the run before is not over: skip, queue, allow, cancel_running
    #[arg(long, default_value = "skip")]
    overlap: String,
    /// What happens to missed times: none, latest, all, or a span such as 24h
    #[arg(long, default_value = "latest", value_name = "WHAT")]
    catch_up: String,
    /// Spread starts over this span, such as 5m
    #[arg(long, value_name = "SPAN")]
    jitter: Option<String>,
    /// Set a parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Set a parameter to the content of a file
    #[arg(long = "set-file", value_name = "NAME=PATH")]
    files: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct BackfillArgs {
    /// The schedule
    name: String,
    /// Instants from this one on, as 2026-03-01T00:00:00Z
    #[arg(long, required_unless_present = "cancel")]
    from: Option<String>,
    /// Instants before this one
    #[arg(long, required_unless_present = "cancel")]
    to: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// At most so many firings a minute
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// At most so many of its runs at one time
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_parallel: u32,
    /// Which instants come first: oldest or newest
    #[arg(long, default_value = "oldest")]
    order: String,
    /// Fire instants again that were fired before
    #[arg(long)]
    again: bool,
    /// Stop the backfill that goes on
    #[arg(long, conflicts_with_all = ["from", "to", "dry_run"])]
    cancel: bool,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let remote = ctx.must_have_server("schedule")?;
    match args.action {
        Action::Create { name, spec } => {
            let body = json!({ "name": name, "spec": spec.body()? });
            show(ctx, &remote.client.post("schedules", &body, None).await?)
        }
        Action::Change { name, spec } => {
            show(ctx, &remote.client.put(&path(&name, ""), &spec.body()?).await?)
        }
        Action::List { limit } => {
            let rows = remote.client.pages::<ScheduleRow>("schedules", &[], limit.min(500));
            list(ctx, &rows.take(limit).await?, |it| {
                let next = it.next.as_deref().unwrap_or("-");
                let (name, status, pipeline) = (&it.name, &it.status, &it.pipeline);
                let times = format!("{} {}", output::clean(&it.cron), output::clean(&it.timezone));
                format!("{name}  {status}  {pipeline}  {times}  next {next}\n")
            })
        }
        Action::Show { name } => show(ctx, &remote.client.get(&path(&name, "")).await?),
        Action::History { name, limit } => {
            let path = path(&name, "/history");
            let rows = remote.client.pages::<HistoryRow>(&path, &[], limit.min(500));
            list(ctx, &rows.take(limit).await?, history_line)
        }
        Action::Next { name, count } => {
            let path = format!("{}?next={count}", path(&name, ""));
            let report: ScheduleReport = remote.client.get(&path).await?;
            list(ctx, &report.next, |it| match it.at == it.instant {
                true => format!("{}\n", it.instant),
                false => format!("{}  starts {}\n", it.instant, it.at),
            })
        }
        Action::Pause { name, comment } => say(ctx, &remote, &name, "/pause", &comment).await,
        Action::Resume { name, comment } => say(ctx, &remote, &name, "/resume", &comment).await,
        Action::Delete { name } => {
            remote.client.delete::<Option<Json>>(&path(&name, "")).await?;
            ctx.tell(&format!("schedule `{}` is gone", output::clean(&name)));
            Ok(ExitCode::Success)
        }
        Action::Backfill(args) => backfill(ctx, &remote, args).await,
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("schedules/{}{rest}", segment(name))
}

async fn say(
    ctx: &Context,
    remote: &Remote,
    name: &str,
    what: &str,
    comment: &str,
) -> Result<ExitCode, CliError> {
    let body = json!({ "comment": comment });
    show(ctx, &remote.client.post(&path(name, what), &body, None).await?)
}

impl SpecArgs {
    fn body(&self) -> Result<Json, CliError> {
        let params = parse_params(&self.params, &self.files)?;
        let params: BTreeMap<&String, Json> =
            params.iter().map(|(k, v)| (k, v.to_json())).collect();
        let catch_up = match self.catch_up.as_str() {
            word @ ("none" | "latest" | "all") => json!(word),
            text => json!({ "all_within": span(text)? }),
        };
        let jitter = self.jitter.as_deref().map(span).transpose()?.unwrap_or(0);
        let mut body = json!({
            "pipeline": self.pipeline,
            "cron": self.cron,
            "timezone": self.timezone,
            "overlap": self.overlap,
            "catch_up": catch_up,
            "jitter_ms": jitter,
            "params": params,
        });
        if let Some(version) = self.version {
            body["version"] = json!(version);
        }
        Ok(body)
    }
}

/// `90s`, `5m`, `24h`, `7d` in milliseconds.
fn span(text: &str) -> Result<u64, CliError> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text[..text.len() - unit.len()].parse::<u64>().ok();
    let each = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    number.zip(each).and_then(|(number, each)| number.checked_mul(each)).ok_or_else(|| {
        let shown = output::cut(text, 40);
        CliError::usage(format!("`{shown}` is no span of time")).hint("write `90s`, `5m` or `24h`")
    })
}

async fn backfill(
    ctx: &Context,
    remote: &Remote,
    args: BackfillArgs,
) -> Result<ExitCode, CliError> {
    if args.cancel {
        return say(ctx, remote, &args.name, "/backfill/cancel", "").await;
    }
    let mut body = json!({
        "from": args.from,
        "to": args.to,
        "order": args.order,
        "max_parallel": args.max_parallel,
        "again": args.again,
    });
    if let Some(rate) = args.rate {
        body["rate_per_minute"] = json!(rate);
    }
    if !args.dry_run {
        let path = path(&args.name, "/backfill");
        return show(ctx, &remote.client.post(&path, &body, None).await?);
    }
    let path = path(&args.name, "/backfill/preview");
    let preview: BackfillPreview = remote.client.post(&path, &body, None).await?;
    if ctx.is_json() {
        output::json(&preview)?;
        return Ok(ExitCode::Success);
    }
    let mut text = format!("{} runs", preview.count);
    if preview.already_fired > 0 {
        text.push_str(&format!(", {} instants were fired before", preview.already_fired));
    }
    if preview.too_many {
        text.push_str(", and more than one backfill may cover: it would be refused");
    }
    text.push('\n');
    preview.instants.iter().for_each(|instant| text.push_str(&format!("  {instant}\n")));
    if preview.count as usize > preview.instants.len() {
        text.push_str("  …\n");
    }
    output::print(&text)?;
    Ok(ExitCode::Success)
}

fn list<T: serde::Serialize>(
    ctx: &Context,
    rows: &[T],
    text: impl Fn(&T) -> String,
) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(&rows)?;
    } else {
        output::print(&rows.iter().map(text).collect::<String>())?;
    }
    Ok(ExitCode::Success)
}

fn history_line(it: &HistoryRow) -> String {
    let what = it.event.trim_start_matches("schedule.");
    let mut line = format!("{}  {what}", it.at);
    if let Some(instant) = &it.instant {
        line.push_str(&format!("  {instant}"));
    }
    if let Some(last) = &it.last {
        line.push_str(&format!(" – {last} ({})", it.count.unwrap_or(0)));
    }
    if let Some(run) = &it.run {
        line.push_str(&format!("  {run}"));
    }
    if !it.reason.is_empty() {
        line.push_str(&format!("  {}", output::clean(&it.reason)));
    }
    line.push('\n');
    line
}

fn show(ctx: &Context, it: &ScheduleReport) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(it)?;
        return Ok(ExitCode::Success);
    }
    let clean = output::clean;
    let mut text = format!("{}  {}\n", it.name, it.status);
    let version = it.version.map(|version| format!("@{version}")).unwrap_or_default();
    text.push_str(&format!("  runs      {}{version}\n", it.pipeline));
    text.push_str(&format!("  times     {}  {}\n", clean(&it.cron), clean(&it.timezone)));
    text.push_str(&format!("  fired     {}, skipped {}\n", it.fired, it.skipped));
    for open in &it.open {
        text.push_str(&format!("  open      {}  for {}\n", open.run, open.instant));
    }
    for next in &it.next {
        text.push_str(&format!("  next      {}\n", next.at));
    }
    if let Some(backfill) = &it.backfill {
        text.push_str(&format!(
            "  backfill  {} {}: {} of {} fired\n",
            backfill.id, backfill.status, backfill.fired, backfill.count
        ));
    }
    output::print(&text)?;
    Ok(ExitCode::Success)
}
