//! Prices, periods, budgets, usage and invoices: what their commands have in common.

pub mod budget;
pub mod contract;
pub mod difference;
pub mod invoice;
mod invoice_text;
pub mod period;
pub mod rate_card;
pub mod usage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dagbook_events::billing::file::MAX_FILE_BYTES;
use dagbook_events::billing::{TierKind, Tiers, format_price};
use dagbook_events::dag::{self, Finding, FindingDto, SourceBundle};
use dagbook_events::time::Timestamp;
use serde::Serialize;

use super::administering::Here;
use super::{CliError, Context, ExitCode, output};
use crate::app::billing::Accounts;

/// How often a person is told how far a log was read.
const TOLD: Duration = Duration::from_secs(1);

/// What billing works with here; a person is told how far a long log was read.
fn accounts(ctx: &Context, here: &Here) -> Accounts {
    let mut accounts = here.administration.accounts();
    if !ctx.is_quiet() {
        let told = Mutex::new(Instant::now());
        let ctx = ctx.clone();
        accounts.progress = Some(Arc::new(move |read, all| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() >= TOLD {
                *told = Instant::now();
                ctx.tell(&format!("read {read} of {all} leaves of the log …"));
            }
        }));
    }
    accounts
}

/// The bytes of a file that is published: no more than one may have is read.
fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    use std::io::Read as _;
    let failed =
        |error: std::io::Error| CliError::usage(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn sources(path: &str, bytes: &[u8]) -> SourceBundle {
    let text = String::from_utf8_lossy(bytes).into_owned();
    SourceBundle { entry: path.to_string(), files: BTreeMap::from([(path.to_string(), text)]) }
}

/// Draws findings on standard error.
fn draw(path: &str, bytes: &[u8], findings: &[Finding]) {
    use std::io::Write as _;
    // The summary says the same in one line should this not come through.
    let drawn = dag::render(findings, &sources(path, bytes), true);
    let _ = write!(anstream::stderr().lock(), "{drawn}");
}

/// A file that has errors: draws them, and says so.
fn refuse(path: &str, bytes: &[u8], findings: &[Finding]) -> CliError {
    draw(path, bytes, findings);
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    CliError::usage(format!("{path} cannot be used: {}", output::count(errors, "error")))
}

#[derive(Serialize)]
struct Linted {
    file: String,
    findings: Vec<FindingDto>,
}

/// Says what is wrong with a file, and nothing else.
fn lint(
    ctx: &Context,
    (path, bytes): (&str, &[u8]),
    findings: &[Finding],
) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        let findings = findings.iter().map(FindingDto::from).collect();
        output::json(&Linted { file: path.to_string(), findings })?;
    } else {
        output::print(&dag::render(findings, &sources(path, bytes), true))?;
        if findings.is_empty() {
            ctx.tell(&format!("{path}: nothing to say"));
        }
    }
    let bad = findings.iter().any(Finding::is_error);
    Ok(if bad { ExitCode::Usage } else { ExitCode::Success })
}

/// An instant that was typed.
fn instant(text: Option<&String>, flag: &str) -> Result<Option<Timestamp>, CliError> {
    text.map(|text| {
        Timestamp::parse_rfc3339(text).ok_or_else(|| {
            CliError::usage(format!("`--{flag}` takes a time such as 2026-11-01T00:00:00Z"))
        })
    })
    .transpose()
}

/// A price in a few words.
fn price(tiers: &Tiers, per: &str) -> String {
    let mut parts = Vec::new();
    for step in &tiers.steps {
        let price = format_price(step.price_nanos.0);
        parts.push(match step.up_to {
            Some(end) => format!("{price} up to {end}"),
            None if parts.is_empty() => price,
            None => format!("{price} beyond"),
        });
    }
    let kind = match tiers.kind {
        TierKind::Flat => "",
        TierKind::Graduated => ", graduated",
        TierKind::Volume => ", by volume",
    };
    format!("{} per {per}{kind}", parts.join(", "))
}
