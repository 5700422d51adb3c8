//! What follows from the leaves in money: rated again, compared with what was closed, and written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use super::book::{Book, Closing};
use super::folder::Folder;
use super::proofs::TileFiles;
use super::sort::{Sorted, Sorter};
use super::{ExportError, Plan, layout};
use crate::billing::{BillingEvent, PeriodClosed};
use crate::canonical;
use crate::digest::Sha256Digest;
use crate::rating::{
    Draft, FocusWriter, Ledger, LineClass, Options, RatingError, Roots, Statement, USAGE_HEADER,
};

/// Leaves behind one line whose proofs a bundle may hold.
const MAX_PROVEN_LEAVES: usize = 20_000;

/// Takes leaves, and writes what follows from them.
pub(super) struct Money {
    rating: Option<Box<Ledger>>,
    size: u64,
}

/// What was billed.
pub(super) struct Billed {
    pub(super) currency: String,
    pub(super) facts: u64,
    pub(super) lines: u64,
    pub(super) total_minor: i128,
}

impl Money {
    /// Of a history nothing follows.
    pub(super) fn begin(plan: &Plan) -> Result<Self, ExportError> {
        let Some(closing) = &plan.closing else { return Ok(Self { rating: None, size: 0 }) };
        let mut ledger = Ledger::new(Options {
            tenant: plan.tenant.to_string(),
            origin: plan.origin_of(closing),
            ..Options::default()
        })?;
        for entry in plan.book.entries.iter().filter(|entry| entry.index <= closing.closed_at) {
            ledger.foresee(entry.index, &entry.leaf)?;
        }
        Ok(Self { rating: Some(Box::new(ledger)), size: closing.closed.size })
    }

    /// The next leaf.
    pub(super) fn leaf(&mut self, index: u64, leaf: &[u8]) -> Result<(), ExportError> {
        match &mut self.rating {
            Some(ledger) if index < self.size => Ok(ledger.push(index, leaf)?),
            _ => Ok(()),
        }
    }

    /// Writes what follows.
    pub(super) async fn write(
        self,
        plan: &Plan,
        folder: &mut Folder,
    ) -> Result<Option<Billed>, ExportError> {
        let (Some(closing), Some(ledger)) = (&plan.closing, self.rating) else { return Ok(None) };
        let periods: BTreeMap<Arc<str>, (i64, i64)> =
            ledger.periods().map(|it| (it.name.clone(), (it.start, it.end))).collect();
        let (draft, sorted) = rate(ledger, closing, folder).await?;
        let (usage, roots) = write_usage(folder, &sorted).await?;
        let statement = draft.finish(&roots)?;
        let closed = statement.closing(closing.closed.root, usage)?;
        if plan.first > 0 && !differing(&closed.event, &closing.closed).is_empty() {
            return Err(ExportError::TooMuch(format!(
                "what was recorded before leaf {} matters to the period {}, because something was \
                 said late of an attempt that had ended: export it whole, not since its opening",
                plan.first, closing.closed.period
            )));
        }
        same_as_recorded(&closed.event, &closing.closed)?;
        folder.put(layout::LINES, closed.lines_csv).await?;
        folder.put(layout::INVOICE, closed.invoice_json).await?;
        write_prices(plan, closing, folder).await?;
        write_notes(&plan.book, &closing.closed.number, folder).await?;
        let statement = Arc::new(statement);
        write_focus(folder, &sorted, &statement, periods, closing.closed.root).await?;
        write_proofs(plan, folder, &sorted, &statement).await?;
        Ok(Some(Billed {
            currency: closing.opened.currency.clone(),
            facts: statement.fact_count,
            lines: statement.lines.len() as u64,
            total_minor: statement.total_minor,
        }))
    }
}

async fn rate(
    mut ledger: Box<Ledger>,
    closing: &Closing,
    folder: &Folder,
) -> Result<(Draft, Arc<Sorted>), ExportError> {
    let (period, size) = (closing.closed.period.clone(), closing.closed.size);
    let beside = folder.beside();
    super::folder::blocking(move || {
        let mut sorter = Sorter::new(&beside);
        let draft = ledger.draft(&period, size, &mut sorter)?;
        let sorted = sorter.finish().map_err(|error| ExportError::file(&beside, &error))?;
        Ok((draft, Arc::new(sorted)))
    })
    .await
}

async fn write_usage(
    folder: &mut Folder,
    sorted: &Arc<Sorted>,
) -> Result<(Sha256Digest, Roots), ExportError> {
    let sorted = sorted.clone();
    let write = move |out: &mut dyn Write| {
        let mut roots = Roots::new();
        out.write_all(USAGE_HEADER.as_bytes())?;
        for row in sorted.rows()? {
            let row = row?;
            out.write_all(row.csv())?;
            roots.push(row.lent()).map_err(io::Error::other)?;
        }
        Ok(roots)
    };
    let (written, roots) = folder.stream(layout::USAGE, write).await?;
    Ok((written.sha256, roots))
}

/// Members of a closing that do not follow from the leaves.
pub(super) fn differing(found: &PeriodClosed, recorded: &PeriodClosed) -> Vec<&'static str> {
    let members = [
        ("rating", found.rating == recorded.rating),
        ("number", found.number == recorded.number),
        ("usage", found.usage == recorded.usage),
        ("totals", found.totals == recorded.totals),
        ("corrected", found.corrected == recorded.corrected),
        ("lines", found.lines == recorded.lines),
        ("credits", found.credits == recorded.credits),
        ("total_minor", found.total_minor == recorded.total_minor),
        ("invoice", found.invoice == recorded.invoice),
    ];
    members.into_iter().filter(|(_, is_same)| !is_same).map(|(member, _)| member).collect()
}

/// The record says what was billed; what follows from its leaves must be the same.
fn same_as_recorded(found: &PeriodClosed, recorded: &PeriodClosed) -> Result<(), ExportError> {
    match differing(found, recorded).first() {
        None => Ok(()),
        Some(member) => Err(ExportError::Damaged(format!(
            "the period {} does not give again what was billed: `{member}` of its closing differs; \
             see ops/runbooks/reconciliation-failed.md",
            recorded.period
        ))),
    }
}

/// Cards and contracts that were recorded below the size of the closing.
async fn write_prices(
    plan: &Plan,
    closing: &Closing,
    folder: &mut Folder,
) -> Result<(), ExportError> {
    let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in plan.book.entries.iter().filter(|entry| entry.index < closing.closed.size) {
        let (paths, json, source) = match &entry.event {
            Some(BillingEvent::CardAdopted(it)) => {
                let paths = layout::rate_card(&it.card.name, it.card.version);
                (paths, canonical::to_vec(&it.card)?, &it.source)
            }
            Some(BillingEvent::ContractPublished(it)) => {
                let paths = layout::contract(&it.contract.name, it.contract.version);
                (paths, canonical::to_vec(&it.contract)?, &it.source)
            }
            _ => continue,
        };
        let json = [json.as_slice(), b"\n"].concat();
        for (path, bytes) in paths.into_iter().zip([json, source.clone().into_bytes()]) {
            match written.get(&path) {
                Some(there) if *there != bytes => {
                    let what = format!("leaf {} records another {path} than before", entry.index);
                    return Err(ExportError::Damaged(what));
                }
                _ => written.insert(path, bytes),
            };
        }
    }
    folder.put_all(written.into_iter().collect()).await
}

/// Credit notes of the invoice.
async fn write_notes(book: &Book, invoice: &str, folder: &mut Folder) -> Result<(), ExportError> {
    let notes = book.entries.iter().filter_map(|entry| match &entry.event {
        Some(BillingEvent::CreditNoteIssued(note)) if note.invoice == invoice => Some(note),
        _ => None,
    });
    let files = notes.map(|note| {
        (layout::credit_note(&note.number), format!("{}\n", note.document).into_bytes())
    });
    folder.put_all(files.collect()).await
}

async fn write_focus(
    folder: &mut Folder,
    sorted: &Arc<Sorted>,
    statement: &Arc<Statement>,
    periods: BTreeMap<Arc<str>, (i64, i64)>,
    root: Sha256Digest,
) -> Result<(), ExportError> {
    let (sorted, statement) = (sorted.clone(), statement.clone());
    let write = move |out: &mut dyn Write| {
        let mut focus = FocusWriter::new(&statement, periods, root);
        let mut text = focus.header();
        for row in sorted.rows()? {
            focus.row(row?.lent(), &mut text).map_err(io::Error::other)?;
            if text.len() > 1 << 16 {
                out.write_all(&text)?;
                text.clear();
            }
        }
        focus.finish(&mut text);
        out.write_all(&text)
    };
    folder.stream(layout::FOCUS, write).await.map(|_| ())
}

/// Proofs of the leaves behind the lines that were asked for.
async fn write_proofs(
    plan: &Plan,
    folder: &mut Folder,
    sorted: &Arc<Sorted>,
    statement: &Arc<Statement>,
) -> Result<(), ExportError> {
    if plan.lines.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeMap<String, Option<u32>> = BTreeMap::new();
    for id in &plan.lines {
        let line = statement.lines.iter().find(|line| line.line_id == *id);
        let line = line.ok_or_else(|| ExportError::NoLine {
            line: id.clone(),
            last: statement.lines.last().map_or("none", |line| line.line_id.as_str()).to_string(),
        })?;
        let has_leaves = matches!(line.class, LineClass::Usage | LineClass::Correction);
        wanted.insert(id.clone(), line.group.filter(|_| has_leaves));
    }
    let (sorted, path) = (sorted.clone(), folder.path().to_path_buf());
    let size = plan.size();
    let checkpoint = plan.heads.end.note.encode();
    let prove = move || {
        let leaves = leaves_of(&sorted, wanted.values().copied().flatten().collect())?;
        let mut tiles = TileFiles::new(&path, size);
        let mut files = Vec::new();
        for (line, group) in wanted {
            let mut text = String::new();
            for leaf in group.and_then(|group| leaves.get(&group)).into_iter().flatten() {
                text.push_str(&tiles.proof(*leaf, &checkpoint)?);
            }
            files.push((layout::line_proof(&line), text.into_bytes()));
        }
        Ok(files)
    };
    let files = super::folder::blocking(prove).await?;
    folder.put_all(files).await
}

fn leaves_of(
    sorted: &Sorted,
    groups: BTreeSet<u32>,
) -> Result<BTreeMap<u32, BTreeSet<u64>>, ExportError> {
    let failed = |error: io::Error| ExportError::Internal(error.to_string());
    let mut leaves: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for row in sorted.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        let group = row.lent().group().filter(|group| groups.contains(group));
        let Some(group) = group else { continue };
        let index = std::str::from_utf8(row.csv()).ok().and_then(|csv| csv.split(',').nth(1));
        let index = index.and_then(|index| index.parse::<u64>().ok());
        let index =
            index.ok_or_else(|| ExportError::Internal("a row names no leaf".to_string()))?;
        let of_group = leaves.entry(group).or_default();
        of_group.insert(index);
        if of_group.len() > MAX_PROVEN_LEAVES {
            let what = format!(
                "a line whose leaves are proven one by one has at most {MAX_PROVEN_LEAVES} of them; \
                 the tiles of the bundle prove all of them together"
            );
            return Err(ExportError::TooMuch(what));
        }
    }
    Ok(leaves)
}

impl From<RatingError> for ExportError {
    fn from(error: RatingError) -> Self {
        Self::Damaged(format!("the leaves cannot be rated: {error}"))
    }
}
