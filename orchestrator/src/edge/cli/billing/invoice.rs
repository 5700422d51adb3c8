//! `dagbook invoice`: what a tenant is to pay, and what that follows from.

use std::path::PathBuf;

use clap::Subcommand;
use dagbook_events::billing::file::read_card;
use serde_json::json;

use super::invoice_text;
use super::{accounts, read, refuse};
use crate::app::billing::{self, CreditRequest, InvoiceAsk};
use crate::app::reports::{CreditNoteReport, InvoiceReport, InvoiceRow, LineEventsReport};
use crate::client::{query, segment};
use crate::edge::cli::administering::Place;
use crate::edge::cli::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook invoice --tenant acme --period 2026-11
  dagbook invoice --tenant acme --period 2026-11 --rate-card new.yaml   what it would be
  dagbook invoice --period acme-000001 --csv > lines.csv
  dagbook invoice --period 2026-11 --document > invoice.json
  dagbook invoice --period 2026-11 --focus > cost_and_usage.csv
  dagbook invoice list --tenant acme
  dagbook invoice show 000001 --events --period 2026-11 --tenant acme
  dagbook invoice credit --period 2026-11 --line 000001=4.20 --reason \"an outage\" --tenant acme

An invoice is issued when its period is closed, and never changes; before, this prints a draft.
What is wrong with an issued one is taken back by a credit note.";

/// Show what a tenant is to pay, and what that follows from.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The period, or the number of its invoice
    #[arg(long, global = true)]
    period: Option<String>,
    /// Compare with this rate card, which need not be published
    #[arg(long, value_name = "FILE")]
    rate_card: Option<PathBuf>,
    /// Print `lines.csv`
    #[arg(long)]
    csv: bool,
    /// Print `invoice.json`, byte for byte
    #[arg(long, conflicts_with = "csv")]
    document: bool,
    /// Print it as FOCUS 1.2 (`cost_and_usage.csv`), a row for each fact
    #[arg(long, conflicts_with_all = ["csv", "document", "rate_card"])]
    focus: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List issued invoices, newest first
    List,
    /// Show a line
    Show {
        /// Its id, such as 000001
        line: String,
        /// With its usage, the leaves that this follows from, and the proofs of those
        #[arg(long)]
        events: bool,
        /// At most so many facts
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Facts behind this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Issue a credit note
    Credit {
        /// Take back so much of a line, or all that is left of it [default: of every line]
        #[arg(long = "line", value_name = "ID[=AMOUNT]")]
        lines: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let place = Place::find(ctx, None).await?;
    if let Some(Action::List) = args.action {
        return list(ctx, &place).await;
    }
    let period = args.period.clone().ok_or_else(|| {
        CliError::usage("`--period` is missing").hint(
            "name a period or the number of an invoice; `dagbook period list` and `dagbook invoice \
             list` show them",
        )
    })?;
    match args.action {
        None | Some(Action::List) => show(ctx, &place, period, args).await,
        Some(Action::Show { line, events, limit, after }) => {
            let limit = if events { usize::from(limit) } else { 1 };
            let found = facts(ctx, &place, (&period, &line), after, limit).await?;
            match ctx.is_json() {
                true => output::json(&found)?,
                false => output::print(&invoice_text::line(&found, events))?,
            }
            Ok(ExitCode::Success)
        }
        Some(Action::Credit { lines, reason }) => {
            let lines = lines.iter().map(|text| match text.split_once('=') {
                Some((line, amount)) => (line.to_string(), Some(amount.to_string())),
                None => (text.clone(), None),
            });
            let lines = lines.collect();
            credit(ctx, &place, CreditRequest { invoice: period, lines, reason, at: None }).await
        }
    }
}

async fn list(ctx: &Context, place: &Place) -> Result<ExitCode, CliError> {
    let rows: Vec<InvoiceRow> = match place {
        Place::Here(here) => billing::invoices(&accounts(ctx, here), &here.by).await?,
        Place::There(remote) => remote.client.pages("invoices", &[], 500).take(usize::MAX).await?,
    };
    if ctx.is_json() {
        return output::json(&json!({ "invoices": rows })).map(|()| ExitCode::Success);
    }
    let row = |it: &InvoiceRow| {
        vec![
            it.number.clone(),
            it.period.clone(),
            it.issued_at.clone(),
            format!("{} {}", it.total, it.currency),
        ]
    };
    let table =
        output::table(&["invoice", "period", "issued", "total"], rows.iter().map(row).collect());
    output::print(&table)?;
    Ok(ExitCode::Success)
}

async fn show(
    ctx: &Context,
    place: &Place,
    period: String,
    args: Args,
) -> Result<ExitCode, CliError> {
    let documents = args.csv || args.document;
    let other = args.rate_card.as_deref().map(|file| {
        let (path, bytes) = (file.display().to_string(), read(file)?);
        match read_card(&bytes, &path) {
            Ok(_) => Ok((bytes, path)),
            Err(findings) => Err(refuse(&path, &bytes, &findings)),
        }
    });
    let what_if = other.transpose()?;
    let report: InvoiceReport = match (place, what_if) {
        (Place::Here(here), what_if) => {
            let ask = InvoiceAsk { period, what_if, documents, focus: args.focus };
            billing::invoice(&accounts(ctx, here), &here.by, &ask).await?
        }
        (Place::There(remote), None) => {
            let asked = |is: bool| is.then(|| "true".to_string());
            let pairs = [("documents", asked(documents)), ("focus", asked(args.focus))];
            let path = format!("invoices/{}{}", segment(&period), query(&pairs));
            remote.client.get(&path).await?
        }
        (Place::There(remote), Some((bytes, _))) => {
            let source = String::from_utf8_lossy(&bytes).into_owned();
            let path = format!("invoices/{}/what-if", segment(&period));
            remote.client.post(&path, &json!({ "source": source }), None).await?
        }
    };
    if report.status == "draft" {
        ctx.tell("draft: the period is not closed, and everything may still change");
    }
    if let Some(focus) = report.focus_csv.as_ref().filter(|_| args.focus) {
        output::raw(focus.as_bytes())?;
        return Ok(ExitCode::Success);
    }
    match (&report.lines_csv, &report.invoice_json) {
        (Some(text), _) if args.csv => output::raw(text.as_bytes())?,
        (_, Some(text)) if args.document => output::raw(text.as_bytes())?,
        _ if ctx.is_json() => output::json(&report)?,
        _ => output::print(&invoice_text::invoice(&report))?,
    }
    Ok(ExitCode::Success)
}

async fn facts(
    ctx: &Context,
    place: &Place,
    (period, line): (&str, &str),
    after: Option<String>,
    limit: usize,
) -> Result<LineEventsReport, CliError> {
    Ok(match place {
        Place::Here(here) => {
            let accounts = accounts(ctx, here);
            billing::line(&accounts, &here.by, (period, line), after.as_deref(), limit).await?
        }
        Place::There(remote) => {
            let pairs = [("after", after), ("limit", Some(limit.to_string()))];
            let (period, line) = (segment(period), segment(line));
            remote.client.get(&format!("invoices/{period}/lines/{line}{}", query(&pairs))).await?
        }
    })
}

async fn credit(
    ctx: &Context,
    place: &Place,
    request: CreditRequest,
) -> Result<ExitCode, CliError> {
    let issued: CreditNoteReport = match place {
        Place::Here(here) => {
            let issued = billing::issue(&accounts(ctx, here), &here.by, &request).await?;
            here.settle(ctx).await?;
            issued
        }
        Place::There(remote) => {
            let line = |(id, amount): &(String, Option<String>)| match amount {
                Some(amount) => json!({ "line_id": id, "amount": amount }),
                None => json!({ "line_id": id }),
            };
            let lines: Vec<_> = request.lines.iter().map(line).collect();
            let body = json!({ "lines": lines, "reason": request.reason });
            let path = format!("invoices/{}/credit-notes", segment(&request.invoice));
            remote.client.post(&path, &body, None).await?
        }
    };
    match ctx.is_json() {
        true => output::json(&issued)?,
        false => output::print(&format!(
            "{} takes back {} {} of {}\n",
            issued.number, issued.total, issued.currency, issued.invoice
        ))?,
    }
    Ok(ExitCode::Success)
}
