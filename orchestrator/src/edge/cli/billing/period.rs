//! `dagbook period`: periods of account, opened and closed.

use clap::Subcommand;
use serde_json::json;

use super::rate_card::without_nulls;
use super::{accounts, instant};
use crate::app::billing::{self, OpenAsk};
use crate::app::reports::PeriodReport;
use crate::client::segment;
use crate::edge::cli::administering::{Place, span};
use crate::edge::cli::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook period open 2026-11 --zone Europe/Berlin --tenant acme
  dagbook period open 2026-W47 --tenant acme
  dagbook period open launch --from 2026-11-01T00:00:00Z --to 2026-11-21T00:00:00Z --tenant acme
  dagbook period open --next --tenant acme
  dagbook period list --tenant acme
  dagbook period close 2026-11 --tenant acme
  dagbook period close 2026-11 --force-reason \"the tenant leaves\" --tenant acme

A period begins where the one before ends. A server opens the next one by itself when one ends, and
closes it when its grace is over.";

/// Open and close periods of account.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Open a period: a month, a week, or a custom one with its end
    Open(Box<Open>),
    /// List periods, newest first
    List,
    /// Close a period, and issue its invoice
    Close {
        /// The period
        period: String,
        /// Why it is closed before its grace is over
        #[arg(long, value_name = "TEXT")]
        force_reason: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Open {
    /// `2026-11`, `2026-W47`, or what a custom period is called
    #[arg(required_unless_present = "next")]
    period: Option<String>,
    /// Open the one behind the last
    #[arg(long, conflicts_with_all = ["period", "from", "to"])]
    next: bool,
    /// Where a custom period begins [default: where the last one ends]
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Where a custom period ends
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The IANA zone [default: that of the last one, else the tenant's]
    #[arg(long)]
    zone: Option<String>,
    /// How long after its end late usage is waited for [default: as before, else 48h]
    #[arg(long, value_name = "SPAN")]
    grace: Option<String>,
    /// The currency, where nothing says it yet
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let place = Place::find(ctx, None).await?;
    match args.action {
        Action::Open(args) => open(ctx, &place, *args).await,
        Action::List => list(ctx, &place).await,
        Action::Close { period, force_reason } => {
            let closed = match &place {
                Place::Here(here) => {
                    let accounts = accounts(ctx, here);
                    let forced = force_reason.as_deref();
                    ctx.tell(&format!("rating the period {period} …"));
                    let closed = billing::close(&accounts, &here.by, &period, forced).await?;
                    here.settle(ctx).await?;
                    closed
                }
                Place::There(remote) => {
                    let body = without_nulls(json!({ "force_reason": force_reason }));
                    let path = format!("periods/{}/close", segment(&period));
                    remote.client.post(&path, &body, None).await?
                }
            };
            print(ctx, &closed)
        }
    }
}

async fn open(ctx: &Context, place: &Place, args: Open) -> Result<ExitCode, CliError> {
    let grace = args.grace.as_deref().map(span).transpose().map_err(CliError::usage)?;
    let (from, to) = (instant(args.from.as_ref(), "from")?, instant(args.to.as_ref(), "to")?);
    let opened: PeriodReport = match place {
        Place::Here(here) => {
            let Open { period, zone, currency, .. } = args;
            let ask = OpenAsk { period, from, to, zone, grace, currency };
            let accounts = accounts(ctx, here);
            let opened = billing::open(&accounts, &here.by, &ask).await?;
            here.settle(ctx).await?;
            opened
        }
        Place::There(remote) => {
            let body = without_nulls(json!({
                "period": args.period, "from": args.from, "to": args.to, "zone": args.zone,
                "grace_ms": grace.map(|grace| grace.0), "currency": args.currency,
            }));
            remote.client.post("periods", &body, None).await?
        }
    };
    print(ctx, &opened)
}

async fn list(ctx: &Context, place: &Place) -> Result<ExitCode, CliError> {
    let periods: Vec<PeriodReport> = match place {
        Place::Here(here) => billing::periods(&accounts(ctx, here), &here.by).await?,
        Place::There(remote) => remote.client.pages("periods", &[], 500).take(usize::MAX).await?,
    };
    if ctx.is_json() {
        return output::json(&json!({ "periods": periods })).map(|()| ExitCode::Success);
    }
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    let row = |it: &PeriodReport| {
        let total = it.total.as_ref().map(|total| format!("{total} {}", it.currency));
        vec![
            it.period.clone(),
            it.status.clone(),
            it.start.clone(),
            it.end.clone(),
            or(&it.invoice),
            or(&total),
        ]
    };
    let rows = periods.iter().map(row).collect();
    let headings = ["period", "status", "from", "to", "invoice", "total"];
    output::print(&output::table(&headings, rows))?;
    Ok(ExitCode::Success)
}

fn print(ctx: &Context, it: &PeriodReport) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        return output::json(it).map(|()| ExitCode::Success);
    }
    let mut text = format!(
        "period    {}\nstatus    {}\nfrom      {}\nto        {}\nzone      {}\ncurrency  {}\n",
        it.period, it.status, it.start, it.end, it.zone, it.currency
    );
    match (&it.invoice, &it.total) {
        (Some(invoice), Some(total)) => {
            text.push_str(&format!("invoice   {invoice}: {total} {}\n", it.currency));
        }
        _ => text.push_str(&format!("due       {}\n", it.due)),
    }
    output::print(&text)?;
    Ok(ExitCode::Success)
}
