//! `dagbook contract`: what was agreed with a tenant beside the list price.

use std::path::PathBuf;

use clap::Subcommand;
use dagbook_events::billing::file::read_contract;
use dagbook_events::billing::{format_decimal, format_price};
use serde_json::json;

use super::rate_card::without_nulls;
use super::{accounts, draw, instant, lint, price, read, refuse};
use crate::app::billing;
use crate::app::reports::ContractReport;
use crate::edge::cli::administering::Place;
use crate::edge::cli::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook contract lint acme.yaml
  dagbook contract publish acme.yaml --tenant acme --effective 2026-12-01T00:00:00Z
  dagbook contract show --tenant acme
  dagbook contract list --tenant acme";

/// Publish what was agreed with a tenant: prices of its own, discounts, credits.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a file
    Lint {
        /// The file
        file: PathBuf,
    },
    /// Publish a version for the tenant that `--tenant` names
    Publish {
        /// The file
        file: PathBuf,
        /// From when on it holds [default: as the file says, else from now on]
        #[arg(long, value_name = "TIME")]
        effective: Option<String>,
    },
    /// Show the newest version, or another
    Show {
        /// Which version [default: the newest]
        #[arg(long)]
        version: Option<u32>,
        /// Print the file that was published
        #[arg(long)]
        source: bool,
    },
    /// List versions, newest first
    List,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    match args.action {
        Action::Lint { file } => {
            let (path, bytes) = (file.display().to_string(), read(&file)?);
            let findings =
                read_contract(&bytes, &path).map_or_else(|findings| findings, |(_, found)| found);
            lint(ctx, (&path, &bytes), &findings)
        }
        Action::Publish { file, effective } => publish(ctx, &file, effective).await,
        Action::Show { version, source } => {
            let all = all(ctx).await?;
            let found = match version {
                None => all.first(),
                Some(version) => all.iter().find(|it| it.contract.version == version),
            };
            let found = found.ok_or_else(|| CliError::usage("there is no such contract"))?;
            if source {
                return output::raw(found.source.as_bytes()).map(|()| ExitCode::Success);
            }
            print(ctx, found)
        }
        Action::List => list(ctx, &all(ctx).await?),
    }
}

async fn publish(
    ctx: &Context,
    file: &std::path::Path,
    effective: Option<String>,
) -> Result<ExitCode, CliError> {
    let (path, bytes) = (file.display().to_string(), read(file)?);
    let at = instant(effective.as_ref(), "effective")?;
    let (contract, warnings) =
        read_contract(&bytes, &path).map_err(|findings| refuse(&path, &bytes, &findings))?;
    draw(&path, &bytes, &warnings);
    let report = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let accounts = accounts(ctx, &here);
            let (report, _) =
                billing::publish_contract(&accounts, &here.by, (&bytes, &path), at).await?;
            here.settle(ctx).await?;
            report
        }
        Place::There(remote) => {
            let body = json!({ "source": contract.source, "effective_from": effective });
            remote.client.post("contracts", &without_nulls(body), None).await?
        }
    };
    if ctx.is_json() {
        return output::json(&report).map(|()| ExitCode::Success);
    }
    let it = &report.contract;
    let text = format!("{} version {} holds from {}\n", it.name, it.version, report.effective_from);
    output::print(&text)?;
    Ok(ExitCode::Success)
}

async fn all(ctx: &Context) -> Result<Vec<ContractReport>, CliError> {
    Ok(match Place::find(ctx, None).await? {
        Place::Here(here) => billing::contracts(&accounts(ctx, &here), &here.by).await?,
        Place::There(remote) => remote.client.pages("contracts", &[], 500).take(usize::MAX).await?,
    })
}

fn list(ctx: &Context, all: &[ContractReport]) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        return output::json(&json!({ "contracts": all })).map(|()| ExitCode::Success);
    }
    let row = |it: &ContractReport| {
        vec![
            it.contract.name.clone(),
            it.contract.version.to_string(),
            it.contract.currency.clone(),
            it.effective_from.clone(),
        ]
    };
    let rows = all.iter().map(row).collect();
    output::print(&output::table(&["contract", "version", "currency", "from"], rows))?;
    Ok(ExitCode::Success)
}

fn print(ctx: &Context, report: &ContractReport) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        return output::json(report).map(|()| ExitCode::Success);
    }
    let it = &report.contract;
    let mut rows = Vec::new();
    for own in &it.overrides {
        let text = price(&own.tiers, &own.per.to_string());
        rows.push(vec!["price".to_string(), own.sku.clone(), text]);
    }
    for discount in &it.discounts {
        // A percentage is a hundred times the part of one.
        let percent = format_price(discount.parts_per_billion.0 * 100);
        let of = discount.skus.as_ref().map_or("everything".to_string(), |it| it.join(", "));
        let text = format!("{percent} % off {of}");
        rows.push(vec!["discount".to_string(), discount.name.clone(), text]);
    }
    for credit in &it.credits {
        let amount = format_decimal(credit.amount_minor.0, it.exponent);
        let text = format!("{amount} {}", it.currency);
        rows.push(vec!["credit".to_string(), credit.name.clone(), text]);
    }
    let head = format!(
        "contract   {} version {}\ncurrency   {}\nfrom       {}\nsha256     {}\n\n",
        it.name, it.version, it.currency, report.effective_from, report.sha256
    );
    output::print(&format!("{head}{}", output::table(&["what", "of", "is"], rows)))?;
    Ok(ExitCode::Success)
}
