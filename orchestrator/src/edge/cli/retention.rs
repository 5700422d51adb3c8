//! `dagbook retention`: what is kept for how long, what is held, and letting go of the rest.

use std::fmt::Write as _;

use clap::Subcommand;
use dagbook_events::access::Role;
use dagbook_events::ids::TenantId;
use dagbook_events::retention::{HoldPlaced, Policy, RetentionCommand};
use dagbook_events::time::Millis;

use super::administering::Place;
use super::{CliError, Context, ExitCode, keeping, output};
use crate::app::error::AppError;
use crate::app::principal::Principal;
use crate::app::reports::RetentionReport;
use crate::app::retention::{self, Swept, Turn, change_by};
use crate::client::segment;
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

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let command = match args.action {
        Action::Show => return show(ctx).await,
        Action::Plan => return plan(ctx).await,
        Action::Apply => return apply(ctx).await,
        Action::Set(set) => {
            return change(ctx, set.site, RetentionCommand::Set(set.policy())).await;
        }
        Action::Hold { name, run, reason } => {
            RetentionCommand::Place(HoldPlaced { hold: name, run, reason })
        }
        Action::Lift { name } => RetentionCommand::Lift(name),
    };
    change(ctx, false, command).await
}

impl Set {
    fn policy(&self) -> Policy {
        Policy {
            logs_days: self.logs_days,
            blobs_days: self.blobs_days,
            cache_days: self.cache_days,
            keys_days: self.keys_days,
            archive_days: self.archive_days,
            at_least_days: self.at_least_days,
        }
    }
}

async fn change(
    ctx: &Context,
    of_site: bool,
    command: RetentionCommand,
) -> Result<ExitCode, CliError> {
    match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let deps = &here.installation().deps;
            let ports = (deps.store.as_ref(), deps.clock.as_ref(), deps.rng.as_ref());
            change_by(ports, &here.by, of_site, &command).await?;
            here.settle(ctx).await?;
        }
        Place::There(remote) => {
            let client = &remote.client;
            let _: RetentionReport = match &command {
                RetentionCommand::Set(policy) => {
                    let path = if of_site { "site/retention" } else { "retention" };
                    client.put(path, policy).await?
                }
                RetentionCommand::Place(placed) => {
                    client.post("retention/holds", placed, None).await?
                }
                RetentionCommand::Lift(name) => {
                    client.delete(&format!("retention/holds/{}", segment(name))).await?
                }
            };
        }
    }
    ctx.tell("recorded");
    Ok(ExitCode::Success)
}

/// The record here, for what a server's leader does by itself.
async fn here(ctx: &Context, purpose: Purpose, what: &str) -> Result<Installation, CliError> {
    if ctx.server_options()?.is_some() {
        return Err(CliError::usage(format!(
            "`dagbook retention {what}` acts on the data folder here, not on a server"
        ))
        .hint(
            "the server that leads applies retention by itself; `dagbook retention show` says \
             what went last",
        ));
    }
    Ok(Installation::open(ctx.config(), &ctx.data(None)?, purpose).await?)
}

async fn plan(ctx: &Context) -> Result<ExitCode, CliError> {
    let installation = here(ctx, Purpose::Look, "plan").await?;
    let keeping = installation.keeping(ctx.config())?;
    let swept = Turn::default().take(&keeping, true).await?;
    said(ctx, &swept, "would go")
}

/// Takes turns for as long as something goes.
async fn apply(ctx: &Context) -> Result<ExitCode, CliError> {
    let installation = here(ctx, Purpose::Append, "apply").await?;
    let keeping = installation.keeping(ctx.config())?;
    let mut turn = Turn::default();
    let mut all = Swept::default();
    loop {
        let swept = turn.take(&keeping, false).await?;
        let goes_on = swept.has_more || swept.went() > 0;
        all.add(swept);
        if !goes_on || !all.problems.is_empty() {
            break;
        }
    }
    keeping::settle(ctx, &installation).await?;
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

async fn show(ctx: &Context) -> Result<ExitCode, CliError> {
    let shown: RetentionReport = match ctx.remote()? {
        Some(remote) => remote.client.get("retention").await?,
        None => {
            let installation =
                Installation::open(ctx.config(), &ctx.data(None)?, Purpose::Look).await?;
            let deps = &installation.deps;
            let tenant = match ctx.tenant() {
                None => deps.tenant.clone(),
                Some(name) => {
                    TenantId::new(&name).map_err(|_| AppError::not_found("tenant", &name))?
                }
            };
            let by = Principal::whole(deps.person.clone(), tenant, Role::Admin, true);
            retention::show(deps.store.as_ref(), installation.archive.as_ref(), &by).await?
        }
    };
    match ctx.is_json() {
        true => output::json(&shown)?,
        false => output::print(&text(&shown))?,
    }
    Ok(ExitCode::Success)
}

fn text(shown: &RetentionReport) -> String {
    let days = |span: Option<Millis>| match span {
        Some(span) => format!("{} days", span.0 / (24 * 3_600 * 1_000)),
        None => "for good".to_string(),
    };
    let effective = &shown.effective;
    let mut text =
        format!("logs     {}\ncontent  {}\n", days(effective.logs_ms), days(effective.blobs_ms));
    let events = match (shown.archives, effective.archive_ms, shown.archived_below) {
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
        let (name, reason) = (output::clean(&hold.hold), output::clean(&hold.reason));
        let _ = writeln!(text, "held     {name}: {of} ({reason})");
    }
    for row in &shown.applied {
        let _ = writeln!(text, "went     {} {} at {}", row.count, row.what, row.at);
    }
    text
}
