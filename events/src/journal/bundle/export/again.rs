//! Closed periods rated again: does everything still follow from the leaves?

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::book::Book;
use super::sort::{Sorted, Sorter};
use super::{ExportError, money};
use crate::billing::{BillingEvent, PeriodClosed};
use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::journal::bundle::layout;
use crate::ports::EventStore;
use crate::rating::{FocusWriter, Ledger, Options, RatingError, Roots, Statement, USAGE_HEADER};
use crate::reconciliation::Discrepancy;
use crate::tlog::{Frontier, leaf_hash};

/// Leaves read at a time.
const PAGE: usize = 4_000;

/// What was found of a tenant's closed periods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RatedAgain {
    /// Periods.
    pub periods: u64,
    /// What does not agree.
    pub findings: Vec<Discrepancy>,
}

/// Rates all closed periods of a tenant again, in one pass over its log. `origin` is the name of a
/// timeline's log, `scratch` a folder name that is free for what is sorted.
///
/// # Errors
/// Where the record cannot be read. What does not agree is a finding.
pub async fn rate_again(
    store: &dyn EventStore,
    tenant: &TenantId,
    origin: impl Fn(u64) -> String,
    scratch: &Path,
) -> Result<RatedAgain, ExportError> {
    let book = Book::read(store, tenant).await?;
    let mut closings: Vec<(u64, &PeriodClosed)> = book
        .entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Some(BillingEvent::PeriodClosed(closed)) => Some((entry.timeline, closed)),
            _ => None,
        })
        .collect();
    closings.sort_by_key(|(_, closed)| closed.size);
    let mut again = RatedAgain::default();
    let mut frontier = Frontier::new();
    // The name of the log is that of the timeline on which it was closed; a ledger has one.
    let mut ledgers: BTreeMap<u64, Ledger> = BTreeMap::new();
    for (timeline, _) in &closings {
        if !ledgers.contains_key(timeline) {
            let (tenant, origin) = (tenant.to_string(), origin(*timeline));
            let options = Options { tenant, origin, ..Options::default() };
            let mut ledger = Ledger::new(options)?;
            for entry in &book.entries {
                ledger.foresee(entry.index, &entry.leaf)?;
            }
            ledgers.insert(*timeline, ledger);
        }
    }
    for (timeline, closed) in closings {
        while frontier.size() < closed.size {
            let left = usize::try_from(closed.size - frontier.size()).unwrap_or(PAGE);
            let page = store.read_log(tenant, frontier.size(), left.min(PAGE)).await?;
            if page.is_empty() {
                let what = format!("leaf {} of {tenant} is missing", frontier.size());
                return Err(ExportError::Damaged(what));
            }
            for event in page {
                for ledger in ledgers.values_mut() {
                    ledger.push(frontier.size(), &event.leaf)?;
                }
                frontier.push(leaf_hash(&event.leaf));
            }
        }
        again.periods += 1;
        let Some(mut ledger) = ledgers.remove(&timeline) else { continue };
        let (root, beside, recorded) = (frontier.root(), scratch.to_path_buf(), closed.clone());
        let rated = super::folder::blocking(move || {
            let found = rate(&mut ledger, &recorded, root, &beside);
            Ok((ledger, found))
        });
        let (ledger, found) = rated.await?;
        ledgers.insert(timeline, ledger);
        match found {
            Ok(found) => again.findings.extend(found),
            Err(error) => {
                let detail = format!("it cannot be rated: {error}");
                again.findings.push(Discrepancy::new("unrated", &closed.period, detail));
            }
        }
    }
    Ok(again)
}

/// Rates one period, and says what of it does not agree.
fn rate(
    ledger: &mut Ledger,
    recorded: &PeriodClosed,
    root: Sha256Digest,
    scratch: &Path,
) -> Result<Vec<Discrepancy>, ExportError> {
    let mut findings = Vec::new();
    let mut found = |kind: &str, detail: String| {
        findings.push(Discrepancy::new(kind, &recorded.period, detail));
    };
    if root != recorded.root {
        let (size, theirs) = (recorded.size, recorded.root);
        found("root", format!("its {size} leaves have the root {root}, {theirs} was recorded"));
    }
    let failed = |error: io::Error| ExportError::file(scratch, &error);
    let mut sorter = Sorter::new(scratch);
    let draft = ledger.draft(&recorded.period, recorded.size, &mut sorter)?;
    let sorted = sorter.finish().map_err(failed)?;
    let (usage, roots) = usage(&sorted).map_err(failed)?;
    let statement = draft.finish(&roots)?;
    let closing = statement.closing(recorded.root, usage)?.event;
    for member in money::differing(&closing, recorded) {
        found("period", format!("`{member}` of its closing does not follow from the leaves"));
    }
    let sum: i128 = statement.postings.iter().map(|posting| posting.minor.0).sum();
    if sum != 0 {
        found("postings", format!("its postings add up to {sum} and not to nothing"));
    }
    let (billed, payable) = billed(&statement, ledger, &sorted, root).map_err(failed)?;
    if billed != payable {
        let file = layout::FOCUS;
        found(
            "billed_cost",
            format!("{file} adds up to {billed} nano-units, {payable} is payable"),
        );
    }
    Ok(findings)
}

fn usage(sorted: &Sorted) -> io::Result<(Sha256Digest, Roots)> {
    let mut hashed = super::folder::Hashed::default();
    let mut roots = Roots::new();
    hashed.write_all(USAGE_HEADER.as_bytes())?;
    for row in sorted.rows()? {
        let row = row?;
        hashed.write_all(row.csv())?;
        roots.push(row.lent()).map_err(|error: RatingError| io::Error::other(error))?;
    }
    Ok((hashed.digest(), roots))
}

fn billed(
    statement: &Statement,
    ledger: &Ledger,
    sorted: &Sorted,
    root: Sha256Digest,
) -> io::Result<(i128, i128)> {
    let periods: BTreeMap<Arc<str>, (i64, i64)> =
        ledger.periods().map(|it| (it.name.clone(), (it.start, it.end))).collect();
    let mut focus = FocusWriter::new(statement, periods, root);
    let mut text = Vec::new();
    for row in sorted.rows()? {
        focus.row(row?.lent(), &mut text).map_err(io::Error::other)?;
        text.clear();
    }
    focus.finish(&mut text);
    Ok((focus.billed(), focus.payable()))
}
