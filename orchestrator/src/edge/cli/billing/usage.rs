//! `dagbook usage`: what a tenant used.

use super::accounts;
use crate::app::billing::{self, By};
use crate::app::reports::{UsageReport, UsageRow};
use crate::client::query;
use crate::edge::cli::administering::Place;
use crate::edge::cli::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook usage --tenant acme                          this month, by sku
  dagbook usage --tenant acme --period 2026-11 --by pipeline
  dagbook usage --period 2026-11-01T00:00:00Z/2026-11-08T00:00:00Z --by run --csv
  dagbook usage --period 2026-11 --facts > usage.csv   every fact, as an auditor gets it

Periods need not have been opened. Amounts are before discounts, credits and corrections: the
invoice has those.";

/// Say what a tenant used, and what that costs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A period that was opened, a month, a week, or FROM/TO [default: this month]
    #[arg(long)]
    period: Option<String>,
    /// What it is added up by: sku, meter, run or pipeline
    #[arg(long, default_value = "sku")]
    by: By,
    /// Print the sums as CSV
    #[arg(long)]
    csv: bool,
    /// Print `usage.csv`: every fact
    #[arg(long, conflicts_with = "csv")]
    facts: bool,
}

/// Says it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let Args { period, by, csv, facts } = args;
    let report: UsageReport = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let accounts = accounts(ctx, &here);
            billing::usage(&accounts, &here.by, period.as_deref(), (by, facts)).await?
        }
        Place::There(remote) => {
            let pairs = [
                ("period", period),
                ("by", Some(by.as_str().to_string())),
                ("facts", facts.then(|| "true".to_string())),
            ];
            remote.client.get(&format!("usage{}", query(&pairs))).await?
        }
    };
    if facts && !ctx.is_json() {
        let text = report.usage_csv.unwrap_or_default();
        return output::raw(text.as_bytes()).map(|()| ExitCode::Success);
    }
    match (ctx.is_json(), csv) {
        (true, _) => output::json(&report)?,
        (false, true) => output::raw(as_csv(&report).as_bytes())?,
        (false, false) => print(ctx, &report)?,
    }
    Ok(ExitCode::Success)
}

fn as_csv(report: &UsageReport) -> String {
    let mut text = format!("{},sku,meter,quantity,billed,facts,amount_minor,currency\n", report.by);
    for row in &report.rows {
        let amount = row.amount_minor.as_deref().unwrap_or_default();
        let fields = [
            &row.key,
            &row.sku,
            &row.meter,
            &row.quantity,
            &row.billed,
            &row.facts.to_string(),
            amount,
            &report.currency,
        ];
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// A field of RFC 4180.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_string()
}

fn print(ctx: &Context, report: &UsageReport) -> Result<(), CliError> {
    let row = |it: &UsageRow| {
        let mut cells = vec![it.key.clone()];
        if report.by != "sku" {
            cells.push(it.sku.clone());
        }
        if report.by != "meter" {
            cells.push(it.meter.clone());
        }
        cells.extend([it.quantity.clone(), it.billed.clone(), it.facts.to_string()]);
        cells.push(it.amount.clone().unwrap_or_else(|| "-".to_string()));
        cells
    };
    let mut headings = vec![report.by.as_str()];
    headings.extend((report.by != "sku").then_some("sku"));
    headings.extend((report.by != "meter").then_some("meter"));
    headings.extend(["quantity", "billed", "facts", "amount"]);
    let head =
        format!("{} of {}: {} to {}\n\n", report.period, report.tenant, report.start, report.end);
    let table = output::table(&headings, report.rows.iter().map(row).collect());
    let sum = format!("\nin all {} {}\n", report.amount, report.currency);
    output::print(&format!("{head}{table}{}", if report.rows.is_empty() { "" } else { &sum }))?;
    if report.rows.is_empty() {
        ctx.tell("nothing was used in this period");
    } else if report.currency.is_empty() {
        ctx.tell("the tenant has no rate card: nothing has a price");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (field, written) in
            [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("", ""), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(quoted(field), written);
        }
    }
}
