//! `dagbook retention`: what is kept for how long, what is held, and letting go of the rest.

use std::fmt::Write as _;

use clap::Subcommand;
use dagbook_events::ids::TenantId;
use dagbook_events::retention::{Effective, HoldPlaced, Policy, Retention, RetentionCommand};
use dagbook_events::time::{Millis, Timestamp};
use serde::Serialize;

use super::{CliError, Context, ExitCode, keeping, output};
use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;
use crate::app::retention::{Swept, Turn, change, load};
use crate::wiring::{Installation, Purpose};

const EXAMPLES: &str = "\
Examples:
  dagbook retention show
  dagbook retention set --logs-days 30 --blobs-days 90
  dagbook retention set --site --archive-days 365 --at-least-days 30
  dagbook retention hold audit-2026 --reason \"an audit asks for it\"
  dagbook retention lift audit-2026
  dagbook retention plan                    what would go now; nothing does
  dagbook retention apply

Events are never deleted. `--archive-days` lets old ones leave Postgres for the published tiles,
from which they are read as before.";

/// Show and change what is kept for how long, and let go of the rest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is kept for how long, what is held, and what went last
    Show,
    /// Say for how long things are kept; what is not named is kept for good
    Set(Box<Set>),
    /// Let nothing of a run, or of the whole tenant, go until it is lifted
    Hold {
        /// What it is called
        name: String,
        /// The run; without it the whole tenant
        #[arg(long)]
        run: Option<dagbook_events::ids::RunId>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Lift a hold
    Lift {
        /// What it is called
        name: String,
    },
    /// Say what would go now
    Plan,
    /// Let it go, a bounded piece at a time, until nothing more goes
    Apply,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// For the whole site, where tenants do not say otherwise
    #[arg(long)]
    site: bool,
    /// Days after the end of a run for which its logs are kept
    #[arg(long, value_name = "DAYS")]
    logs_days: Option<u32>,
    /// Days after the end of a run for which content that only it refers to is kept
    #[arg(long, value_name = "DAYS")]
    blobs_days: Option<u32>,
    /// Days for which cached results are kept
    #[arg(long, value_name = "DAYS", requires = "site")]
    cache_days: Option<u32>,
    /// Days after which idempotency keys are forgotten
    #[arg(long, value_name = "DAYS", requires = "site")]
    keys_days: Option<u32>,
    /// Days after which events leave Postgres for the tiles
    #[arg(long, value_name = "DAYS", requires = "site")]
    archive_days: Option<u32>,
    /// Days that everything is kept at least, whatever tenants say
    #[arg(long, value_name = "DAYS", requires = "site")]
    at_least_days: Option<u32>,
}

#[derive(Serialize)]
struct Shown {
    tenant: TenantId,
    site_policy: Policy,
    policy: Policy,
    effective: Kept,
    holds: Vec<HoldPlaced>,
    applied: Vec<AppliedRow>,
    /// Whether events can leave the store.
    archives: bool,
    /// The position below which all events have left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_below: Option<u64>,
}

#[derive(Serialize)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    logs_ms: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs_ms: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_ms: Option<Millis>,
}

#[derive(Serialize)]
struct AppliedRow {
    what: String,
    at: String,
    count: u64,
    bytes: u64,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let data = ctx.data(None)?;
    let purpose = match args.action {
        Action::Show | Action::Plan => Purpose::Look,
        _ => Purpose::Append,
    };
    let installation = Installation::open(ctx.config(), &data, purpose).await?;
    let tenant = installation.deps.tenant.clone();
    let command = match args.action {
        Action::Show => return show(ctx, &installation, &tenant).await,
        Action::Plan => {
            let keeping = installation.keeping(ctx.config())?;
            let swept = Turn::default().take(&keeping, true).await.map_err(failed)?;
            return said(ctx, &swept, "would go");
        }
        Action::Apply => return apply(ctx, &installation).await,
        Action::Set(set) => {
            let policy = Policy {
                logs_days: set.logs_days,
                blobs_days: set.blobs_days,
                cache_days: set.cache_days,
                keys_days: set.keys_days,
                archive_days: set.archive_days,
                at_least_days: set.at_least_days,
            };
            let of = if set.site { site()? } else { tenant.clone() };
            (of, RetentionCommand::Set(policy))
        }
        Action::Hold { name, run, reason } => {
            let placed = HoldPlaced { hold: name, run, reason };
            (tenant.clone(), RetentionCommand::Place(placed))
        }
        Action::Lift { name } => (tenant.clone(), RetentionCommand::Lift(name)),
    };
    let deps = &installation.deps;
    let ports = (deps.store.as_ref(), deps.clock.as_ref(), deps.rng.as_ref());
    change(ports, &command.0, &deps.person, &command.1).await.map_err(failed)?;
    keeping::settle(ctx, &installation).await?;
    ctx.tell("recorded");
    Ok(ExitCode::Success)
}

fn site() -> Result<TenantId, CliError> {
    TenantId::new(SITE_TENANT).map_err(|error| CliError::failed(error.to_string()))
}

/// Takes turns for as long as something goes.
async fn apply(ctx: &Context, installation: &Installation) -> Result<ExitCode, CliError> {
    let keeping = installation.keeping(ctx.config())?;
    let mut turn = Turn::default();
    let mut all = Swept::default();
    loop {
        let swept = turn.take(&keeping, false).await.map_err(failed)?;
        let goes_on = swept.has_more || swept.went() > 0;
        all.add(swept);
        if !goes_on || !all.problems.is_empty() {
            break;
        }
    }
    keeping::settle(ctx, installation).await?;
    said(ctx, &all, "went")
}

fn said(ctx: &Context, swept: &Swept, verb: &str) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(swept)?;
    } else {
        let logs = output::count(swept.logs as usize, "run");
        let mut text = format!(
            "logs of {logs} ({}) {verb}\n{} of content ({}) {verb}\n",
            output::bytes(swept.logs_bytes),
            output::count(swept.blobs as usize, "piece"),
            output::bytes(swept.blobs_bytes),
        );
        for (count, what) in
            [(swept.cache, "cached result"), (swept.keys, "key"), (swept.events, "event")]
        {
            if count > 0 {
                let _ = writeln!(text, "{} {verb}", output::count(count as usize, what));
            }
        }
        if let Some(wait) = &swept.events_wait {
            let _ = writeln!(text, "events: {}", output::clean(wait));
        }
        output::print(&text)?;
    }
    match swept.problems.first() {
        Some(problem) => Err(CliError::failed(problem.clone())),
        None => Ok(ExitCode::Success),
    }
}

async fn show(
    ctx: &Context,
    installation: &Installation,
    tenant: &TenantId,
) -> Result<ExitCode, CliError> {
    let policies = load(installation.deps.store.as_ref()).await.map_err(failed)?;
    let (effective, own) = policies.of(tenant);
    let archived_below = match &installation.archive {
        Some(archive) => Some(archive.gone_until().await?.0),
        None => None,
    };
    let row = |(what, (at, applied)): (&String, &(Timestamp, _))| {
        let applied: &dagbook_events::retention::Applied = applied;
        let (what, at) = (what.clone(), at.to_rfc3339());
        AppliedRow { what, at, count: applied.count, bytes: applied.bytes }
    };
    let applied = own.applied.iter().chain(site_applied(&policies.site, tenant)).map(row);
    let shown = Shown {
        tenant: tenant.clone(),
        site_policy: policies.site.policy,
        policy: own.policy,
        effective: Kept {
            logs_ms: effective.logs(),
            blobs_ms: effective.blobs(),
            archive_ms: effective.archive(),
        },
        holds: own.holds.values().cloned().collect(),
        applied: applied.collect(),
        archives: installation.archive.is_some(),
        archived_below,
    };
    match ctx.is_json() {
        true => output::json(&shown)?,
        false => output::print(&text(&shown, &effective))?,
    }
    Ok(ExitCode::Success)
}

fn site_applied<'a>(
    site: &'a Retention,
    tenant: &TenantId,
) -> impl Iterator<Item = (&'a String, &'a (Timestamp, dagbook_events::retention::Applied))> {
    site.applied.iter().filter(move |_| tenant.as_str() != SITE_TENANT)
}

fn text(shown: &Shown, effective: &Effective) -> String {
    let days = |span: Option<Millis>| match span {
        Some(span) => format!("{} days", span.0 / (24 * 3_600 * 1_000)),
        None => "for good".to_string(),
    };
    let mut text =
        format!("logs     {}\ncontent  {}\n", days(effective.logs()), days(effective.blobs()));
    let events = match (shown.archives, effective.archive(), shown.archived_below) {
        (false, ..) => "for good, in this file: SQLite archives nothing".to_string(),
        (true, None, _) => "for good, in Postgres".to_string(),
        (true, span, below) => {
            let below = below.unwrap_or(1);
            format!("for good; after {} in tiles (below position {below} now)", days(span))
        }
    };
    let _ = writeln!(text, "events   {events}");
    for hold in &shown.holds {
        let of = hold.run.map_or("everything".to_string(), |run| format!("run {run}"));
        let _ = writeln!(
            text,
            "held     {}: {of} ({})",
            output::clean(&hold.hold),
            output::clean(&hold.reason)
        );
    }
    for row in &shown.applied {
        let _ = writeln!(text, "went     {} {} at {}", row.count, row.what, row.at);
    }
    text
}

fn failed(error: AppError) -> CliError {
    match &error {
        AppError::Invalid(_) | AppError::Conflict(_) | AppError::NotFound { .. } => {
            CliError::usage(error.to_string())
        }
        AppError::Unavailable { .. } => CliError::unavailable(error.to_string()),
        AppError::Damaged(_) => CliError::damaged(error.to_string()),
        _ => CliError::failed(error.to_string()),
    }
}
