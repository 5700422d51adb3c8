//! `dagbook rate-card`: what a site asks for usage.

use std::path::PathBuf;

use clap::Subcommand;
use dagbook_events::billing::file::read_card;
use dagbook_events::dag::FindingDto;
use dagbook_events::time::Timestamp;
use serde_json::json;

use super::difference::{Changed, differences};
use super::{accounts, draw, instant, lint, price, read, refuse};
use crate::app::billing::{self, Published};
use crate::app::reports::{PublishedReport, RateCardReport, RateCardRow};
use crate::client::{query, segment};
use crate::edge::cli::administering::Place;
use crate::edge::cli::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook rate-card lint standard.yaml
  dagbook rate-card publish standard.yaml --effective 2026-12-01T00:00:00Z
  dagbook rate-card assign standard --tenant acme
  dagbook rate-card list
  dagbook rate-card show standard --version 2
  dagbook rate-card diff standard 2 3

Versions never change, and have no gaps. Tenants that have a card follow its later versions. The
file format, with every key, is in ops/docs/billing.md.";

/// Publish what usage costs, and give it to tenants.
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
    /// Publish a version
    Publish {
        /// The file
        file: PathBuf,
        /// From when on it holds [default: as the file says, else from now on]
        #[arg(long, value_name = "TIME")]
        effective: Option<String>,
    },
    /// List cards
    List,
    /// Show a version
    Show {
        /// The card
        name: String,
        /// Which version [default: the newest]
        #[arg(long)]
        version: Option<u32>,
        /// Print the file that was published
        #[arg(long)]
        source: bool,
    },
    /// Say what differs between two versions
    Diff {
        /// The card
        name: String,
        /// One version
        from: u32,
        /// The other
        to: u32,
    },
    /// Give a card to the tenant that `--tenant` names
    Assign {
        /// The card
        name: String,
        /// From when on, also in the past while no card holds there [default: from now on]
        #[arg(long, value_name = "TIME")]
        effective: Option<String>,
    },
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    match args.action {
        Action::Lint { file } => {
            let (path, bytes) = (file.display().to_string(), read(&file)?);
            let findings =
                read_card(&bytes, &path).map_or_else(|findings| findings, |(_, found)| found);
            lint(ctx, (&path, &bytes), &findings)
        }
        Action::Publish { file, effective } => publish(ctx, &file, effective).await,
        Action::List => list(ctx).await,
        Action::Show { name, version, source } => {
            let card = show(ctx, &name, version).await?;
            if source {
                return output::raw(card.source.as_bytes()).map(|()| ExitCode::Success);
            }
            print(ctx, &card)
        }
        Action::Diff { name, from, to } => {
            let (from, to) =
                (show(ctx, &name, Some(from)).await?, show(ctx, &name, Some(to)).await?);
            diff(ctx, &differences(&from, &to))
        }
        Action::Assign { name, effective } => assign(ctx, &name, effective).await,
    }
}

async fn publish(
    ctx: &Context,
    file: &std::path::Path,
    effective: Option<String>,
) -> Result<ExitCode, CliError> {
    let (path, bytes) = (file.display().to_string(), read(file)?);
    let at = instant(effective.as_ref(), "effective")?;
    let (card, warnings) =
        read_card(&bytes, &path).map_err(|findings| refuse(&path, &bytes, &findings))?;
    draw(&path, &bytes, &warnings);
    let report = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let accounts = accounts(ctx, &here);
            let published = billing::publish(&accounts, &here.by, (&bytes, &path), at).await?;
            here.settle(ctx).await?;
            let Published { card, is_new, adopted_by, warnings } = published;
            PublishedReport {
                published: card,
                is_new,
                adopted_by: adopted_by.iter().map(ToString::to_string).collect(),
                warnings: warnings.iter().map(FindingDto::from).collect(),
            }
        }
        Place::There(remote) => {
            let body = json!({ "source": card.source, "effective_from": effective });
            let body = without_nulls(body);
            remote.client.post("rate-cards", &body, None).await?
        }
    };
    if ctx.is_json() {
        return output::json(&report).map(|()| ExitCode::Success);
    }
    let it = &report.published;
    let (name, version) = (&it.card.name, it.card.version);
    let done = if report.is_new { "published" } else { "is published already" };
    output::print(&format!("{name} version {version} {done}, from {}\n", it.effective_from))?;
    match report.adopted_by.as_slice() {
        [] if report.is_new => ctx.tell(&format!(
            "no tenant has it yet; next: dagbook rate-card assign {name} --tenant TENANT"
        )),
        [] => {}
        tenants => ctx.tell(&format!("adopted by {}", tenants.join(", "))),
    }
    Ok(ExitCode::Success)
}

/// A body whose members without a value are left out.
pub(super) fn without_nulls(mut body: serde_json::Value) -> serde_json::Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
}

async fn list(ctx: &Context) -> Result<ExitCode, CliError> {
    let rows: Vec<RateCardRow> = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            billing::list(&accounts(ctx, &here), &here.by, None, usize::MAX).await?
        }
        Place::There(remote) => {
            remote.client.pages("rate-cards", &[], 500).take(usize::MAX).await?
        }
    };
    if ctx.is_json() {
        return output::json(&json!({ "rate_cards": rows })).map(|()| ExitCode::Success);
    }
    let row = |it: &RateCardRow| {
        vec![
            it.name.clone(),
            it.version.to_string(),
            it.currency.clone(),
            it.effective_from.clone(),
            it.prices.to_string(),
        ]
    };
    let table = output::table(
        &["card", "version", "currency", "from", "prices"],
        rows.iter().map(row).collect(),
    );
    output::print(&table)?;
    Ok(ExitCode::Success)
}

async fn show(ctx: &Context, name: &str, version: Option<u32>) -> Result<RateCardReport, CliError> {
    Ok(match Place::find(ctx, None).await? {
        Place::Here(here) => billing::show(&accounts(ctx, &here), &here.by, name, version).await?,
        Place::There(remote) => {
            let pairs = [("version", version.map(|version| version.to_string()))];
            let path = format!("rate-cards/{}{}", segment(name), query(&pairs));
            remote.client.get(&path).await?
        }
    })
}

fn print(ctx: &Context, report: &RateCardReport) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        return output::json(report).map(|()| ExitCode::Success);
    }
    let card = &report.card;
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|it| it.as_str().map(str::to_string)).unwrap_or_default()
    };
    let faults = card.bill_faults;
    let mut text = format!(
        "card       {} version {}\ncurrency   {}\nfrom       {}\nbill       {}, by the clock of \
         the {}\nfaults     infra {}, policy {}, user {}\ntime       at least {} ms, in steps of \
         {} ms\nsha256     {}\n\n",
        card.name,
        card.version,
        card.currency,
        report.effective_from,
        word(serde_json::to_value(card.bill)),
        word(serde_json::to_value(card.clock)),
        faults.infra,
        faults.policy,
        faults.user,
        card.minimum_ms.0,
        card.increment_ms.0,
        report.sha256,
    );
    let rows = card.prices.iter().map(|it| {
        let matches = &it.matches;
        let named = [
            ("executor", &matches.executor),
            ("class", &matches.class),
            ("gpu_model", &matches.gpu_model),
            ("mode", &matches.mode),
        ];
        let where_it_holds: Vec<String> = named
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")))
            .collect();
        vec![
            it.sku.clone(),
            word(serde_json::to_value(it.meter)),
            where_it_holds.join(" "),
            price(&it.tiers, &it.per.to_string()),
        ]
    });
    text.push_str(&output::table(&["sku", "meter", "where", "price"], rows.collect()));
    output::print(&text)?;
    Ok(ExitCode::Success)
}

fn diff(ctx: &Context, changes: &[Changed]) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        return output::json(&json!({ "changes": changes })).map(|()| ExitCode::Success);
    }
    if changes.is_empty() {
        ctx.tell("nothing differs but the version");
        return Ok(ExitCode::Success);
    }
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    let row = |it: &Changed| vec![it.what.clone(), or(&it.before), or(&it.after)];
    output::print(&output::table(&["what", "before", "after"], changes.iter().map(row).collect()))?;
    Ok(ExitCode::Success)
}

async fn assign(
    ctx: &Context,
    name: &str,
    effective: Option<String>,
) -> Result<ExitCode, CliError> {
    let at = instant(effective.as_ref(), "effective")?;
    let adopted: Vec<RateCardReport> = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let accounts = accounts(ctx, &here);
            let adopted = billing::assign(&accounts, &here.by, name, at).await?;
            here.settle(ctx).await?;
            adopted
        }
        Place::There(remote) => {
            let body = without_nulls(json!({ "effective_from": effective }));
            let path = format!("rate-cards/{}/assign", segment(name));
            remote.client.post(&path, &body, None).await?
        }
    };
    if ctx.is_json() {
        return output::json(&json!({ "holds": adopted })).map(|()| ExitCode::Success);
    }
    for it in &adopted {
        let (name, version) = (&it.card.name, it.card.version);
        output::print(&format!("{name} version {version} holds from {}\n", it.effective_from))?;
    }
    if let Some(first) = adopted.first().filter(|_| effective.is_none()) {
        later_than_published(ctx, first).await?;
    }
    Ok(ExitCode::Success)
}

/// Says so where a card holds for the tenant from now on, and for the site since longer.
async fn later_than_published(ctx: &Context, it: &RateCardReport) -> Result<(), CliError> {
    let (name, version) = (&it.card.name, it.card.version);
    let published = show(ctx, name, Some(version)).await?.effective_from;
    let read = Timestamp::parse_rfc3339;
    if read(&published) < read(&it.effective_from) {
        ctx.tell(&format!(
            "{name} version {version} is in force since {published}, and for this tenant only from \
             now on: what it used before has no price. `--effective TIME` says from when on a card \
             holds; it cannot go back behind a card that the tenant has, nor into a closed period"
        ));
    }
    Ok(())
}
