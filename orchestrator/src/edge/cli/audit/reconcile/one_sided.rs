//! What of the record is compared with something that is no second keeping of it: the store with
//! itself, attempts with their executor, closed periods with their leaves.

use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::reconciliation::{Comparison, ReconciliationReported};
use serde::Serialize;

use crate::app::reconcile::Reconciling;
use crate::edge::cli::keeping;
use crate::edge::cli::output::{self, BAD, BUSY, GOOD, RESET};
use crate::edge::cli::{CliError, Context, ExitCode};
use crate::wiring::{Installation, Purpose, kept};

/// What to do where something does not agree.
const RUNBOOK: &str = "see ops/runbooks/reconciliation-failed.md";

/// A report with whom it concerns.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(flatten)]
    report: ReconciliationReported,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    agrees: bool,
    recorded: bool,
    reports: Vec<Row>,
}

/// Compares, and records what was found where that is asked for.
pub(super) async fn run(
    ctx: &Context,
    comparison: Comparison,
    is_recorded: bool,
) -> Result<ExitCode, CliError> {
    let (installation, reconciling) = open(ctx, is_recorded).await?;
    let mut found: Vec<(Option<TenantId>, ReconciliationReported)> = Vec::new();
    match comparison {
        Comparison::Executors => {
            let data = installation.data.clone();
            found.push((None, reconciling.executors(move || kept(&data)).await?));
        }
        Comparison::Periods => {
            let tenants =
                match ctx.tenant() {
                    Some(name) => vec![TenantId::new(&name).map_err(|error| {
                        CliError::usage(format!("`{name}` is no tenant: {error}"))
                    })?],
                    None => reconciling.tenants().await?,
                };
            for tenant in tenants {
                if let Some(report) = reconciling.periods(&tenant).await? {
                    found.push((Some(tenant), report));
                }
            }
        }
        Comparison::Store | Comparison::Copy => found.push((None, reconciling.store().await?)),
    }
    if is_recorded {
        for (tenant, report) in &found {
            reconciling.report(tenant.as_ref(), report).await?;
        }
        keeping::settle(ctx, &installation).await?;
    }
    let row = |(tenant, report): (Option<TenantId>, ReconciliationReported)| Row {
        tenant: tenant.map(|tenant| tenant.to_string()),
        report,
    };
    let reports: Vec<Row> = found.into_iter().map(row).collect();
    let agrees = reports.iter().all(|row| row.report.agrees);
    let report = Report { agrees, recorded: is_recorded, reports };
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&report.to_text(comparison))?;
    }
    Ok(if report.agrees { ExitCode::Success } else { ExitCode::Damaged })
}

/// Records a report on the site.
pub(super) async fn record(ctx: &Context, report: &ReconciliationReported) -> Result<(), CliError> {
    let (installation, reconciling) = open(ctx, true).await?;
    reconciling.report(None, report).await?;
    keeping::settle(ctx, &installation).await
}

/// The record here: a server's machines are looked at on them.
async fn open(ctx: &Context, is_recorded: bool) -> Result<(Installation, Reconciling), CliError> {
    if ctx.server_options()?.is_some() {
        return Err(CliError::usage(
            "`dagbook audit reconcile` looks at the record and the folders here, not at a server",
        )
        .hint(
            "run it on the machine of the server, with its configuration; the server that leads \
             does it once a day, and `dagbook_reconciliation_findings` says what it found",
        ));
    }
    let installation = match is_recorded {
        true => Installation::open(ctx.config(), &ctx.data(None)?, Purpose::Append).await?,
        false => ctx.record().await?.installation,
    };
    let person: Actor = installation.deps.person.clone();
    let reconciling = installation.reconciling(ctx.config(), person).await?;
    Ok((installation, reconciling))
}

impl Report {
    fn to_text(&self, comparison: Comparison) -> String {
        let things = match comparison {
            Comparison::Executors => "attempt",
            Comparison::Periods => "closed period",
            Comparison::Store | Comparison::Copy => "event",
        };
        let mut text = String::new();
        for Row { tenant, report } in &self.reports {
            let of = tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
            let compared = output::count(report.compared as usize, things);
            if report.agrees {
                text.push_str(&format!("{GOOD}✓{RESET} {compared}{of}: all of them agree\n"));
                continue;
            }
            for finding in &report.findings {
                text.push_str(&format!(
                    "{BAD}✗ {} {}{RESET}: {}\n",
                    finding.kind,
                    output::clean(&finding.subject),
                    output::clean(&finding.detail)
                ));
            }
            if report.further > 0 {
                text.push_str(&format!("… and {} more\n", report.further));
            }
            text.push_str(&format!("{} of {compared}{of} do not agree\n", report.found()));
        }
        if self.reports.is_empty() {
            text.push_str(&format!(
                "{BUSY}!{RESET} there is nothing to compare: no period was closed\n"
            ));
        }
        if !self.agrees {
            text.push_str(&format!("{RUNBOOK}\n"));
        }
        text
    }
}
