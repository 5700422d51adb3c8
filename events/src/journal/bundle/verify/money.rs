//! From leaves to the invoice, once more, and byte for byte what the bundle says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};

use super::super::layout::{self, INVOICE, LINES, USAGE};
use super::super::manifest::{Control, Manifest, PeriodPart, RATING};
use super::super::{Failure, Reason};
use super::billing::Billing;
use super::folder::{Folder, unreadable};
use super::leaves::shown;
use super::sort::Sorter;
use super::tree::Tree;
use crate::billing::PeriodClosed;
use crate::digest::Sha256Digest;
use crate::rating::{Draft, LeafParts, Roots, Statement, USAGE_HEADER};

/// The money of a bundle, while its leaves go by. What is wrong with it is kept until it is
/// asked for: leaves are judged first.
pub(super) struct Money {
    period: PeriodPart,
    billing: Result<Billing, Failure>,
    /// Where the closing stands, and what it says.
    closing: Option<(u64, PeriodClosed)>,
    draft: Option<Result<(Draft, Sorter), Failure>>,
}

impl Money {
    /// Of this bundle, whose period is this.
    pub fn new(manifest: &Manifest, period: &PeriodPart) -> Self {
        let billing = Billing::new(&manifest.tenant, &manifest.log.origin);
        Self { period: period.clone(), billing, closing: None, draft: None }
    }

    /// Every leaf, before any is taken.
    pub fn foresee(&mut self, index: u64, leaf: &[u8]) {
        if let Ok(billing) = &mut self.billing
            && Billing::may_be(leaf)
            && let Err(failure) = billing.take(index, leaf)
        {
            self.billing = Err(failure);
        }
    }

    /// All leaves were foreseen.
    pub fn begin(&mut self) {
        if let Ok(billing) = &mut self.billing {
            match billing.closing(&self.period) {
                Ok(closing) => self.closing = Some(closing),
                Err(failure) => self.billing = Err(failure),
            }
        }
    }

    /// The next leaf, which is an event.
    pub fn take(&mut self, index: u64, leaf: &LeafParts<'_>) {
        let Some((_, closing)) = &self.closing else { return };
        let Ok(billing) = &mut self.billing else { return };
        if self.draft.is_some() {
            return;
        }
        let wrong = |what: String| Failure::new(Reason::Usage, what);
        if index >= closing.size {
            let mut sorter = Sorter::new();
            let draft = billing.ledger.draft(&closing.period, closing.size, &mut sorter);
            let draft = draft.map(|draft| (draft, sorter));
            self.draft = Some(draft.map_err(|error| wrong(error.to_string())));
        } else if let Err(error) = billing.ledger.push_read(index, leaf) {
            self.billing = Err(wrong(error.to_string()));
        }
    }

    /// Compares the usage.
    pub fn usage(
        self,
        folder: &Folder<'_>,
        manifest: &Manifest,
        tree: &Tree,
    ) -> Result<Rated, Failure> {
        let wrong = |what: String| Failure::new(Reason::Usage, what);
        let billing = self.billing?;
        let (index, closing) =
            self.closing.ok_or_else(|| wrong("there is no closing".to_string()))?;
        let root = tree.root_at(folder, closing.size)?;
        if root != closing.root {
            let what = format!("leaf {index} closes at {} leaves with another root", closing.size);
            return Err(Failure::new(Reason::Root, what));
        }
        let (draft, sorter) =
            self.draft.ok_or_else(|| wrong("no leaf stands behind its size".to_string()))??;
        let roots = compare(folder, sorter)?;
        // Its bytes have the digest that the manifest has.
        if manifest.file(USAGE).is_none_or(|file| file.sha256 != closing.usage) {
            return Err(wrong(format!("leaf {index} has another digest of {USAGE}")));
        }
        let finished = draft.finish(&roots);
        Ok(Rated { billing, closing, finished: finished.map_err(|error| error.to_string()), roots })
    }
}

/// Compares the rows with `usage.csv`.
fn compare(folder: &Folder<'_>, sorter: Sorter) -> Result<Roots, Failure> {
    let broken = |error: io::Error| unreadable(Reason::Usage, USAGE, &error);
    let wrong = |what: String| Failure::new(Reason::Usage, what);
    let file = File::open(folder.at(USAGE)).map_err(broken)?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut next = |line: u64, wanted: &[u8]| {
        let there = differing(&mut file, wanted).map_err(broken)?;
        let Some(there) = there else { return Ok(()) };
        let text = |bytes: &[u8]| shown(String::from_utf8_lossy(bytes).trim_end());
        let (there, wanted) = (text(&there), text(wanted));
        Err(wrong(format!("{USAGE}, line {line}: there is `{there}`, it follows `{wanted}`")))
    };
    next(1, USAGE_HEADER.as_bytes())?;
    let (mut rows, mut roots, mut line) = (sorter.sorted().map_err(broken)?, Roots::new(), 1);
    while let Some(row) = rows.next().map_err(broken)? {
        line += 1;
        next(line, row.csv())?;
        roots.push(row).map_err(|error| wrong(error.to_string()))?;
    }
    match file.fill_buf().map_err(broken)?.is_empty() {
        true => Ok(roots),
        false => Err(wrong(format!("{USAGE} has more lines than follow"))),
    }
}

/// What comes next in a file where that is something else than what is wanted, as many bytes.
fn differing(file: &mut BufReader<File>, wanted: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let buffered = file.fill_buf()?;
    if buffered.starts_with(wanted) {
        file.consume(wanted.len());
        return Ok(None);
    }
    let mut there = Vec::new();
    file.take(wanted.len() as u64).read_to_end(&mut there)?;
    Ok((there != wanted).then_some(there))
}

/// A period whose usage is right.
pub(super) struct Rated {
    billing: Billing,
    closing: PeriodClosed,
    finished: Result<Statement, String>,
    roots: Roots,
}

impl Rated {
    /// Rows of usage.
    pub fn facts(&self) -> u64 {
        self.roots.rows()
    }

    /// Compares prices and lines.
    pub fn lines(self, folder: &Folder<'_>, manifest: &Manifest) -> Result<Lines, Failure> {
        let wrong = |what: String| Failure::new(Reason::Rating, what);
        let mut wanted: BTreeMap<&str, &[u8]> = BTreeMap::new();
        for published in &self.billing.published {
            if published.index >= self.closing.size {
                continue;
            }
            let [(json_path, json), _] = &published.files;
            if Sha256Digest::of(json.trim_ascii_end()) != published.sha256 {
                let what = format!("leaf {} has another digest of {json_path}", published.index);
                return Err(wrong(what));
            }
            for (path, bytes) in &published.files {
                let before = wanted.insert(path, bytes);
                if before.is_some_and(|before| before != bytes) {
                    return Err(wrong(format!("{} was recorded differently", shown(path))));
                }
            }
        }
        copies(Reason::Rating, folder, manifest, &wanted, &["ratecards/", "contracts/"])?;
        let documents = wanted.len() / 2;
        let statement = self.finished.map_err(wrong)?;
        let csv = statement.lines_csv();
        same(Reason::Rating, folder, LINES, &csv)?;
        if Sha256Digest::of(&csv) != self.closing.lines {
            return Err(wrong(format!("the closing has another digest of {LINES}")));
        }
        let Self { billing, closing, .. } = self;
        Ok(Lines { billing, closing, statement, documents })
    }
}

/// A period whose lines are right.
pub(super) struct Lines {
    billing: Billing,
    closing: PeriodClosed,
    statement: Statement,
    documents: usize,
}

impl Lines {
    /// What was found, as a sentence.
    pub fn found(&self) -> String {
        let lines = self.statement.lines.len();
        format!("{lines} lines, byte for byte; {} rate cards and contracts", self.documents)
    }

    /// Compares the invoice, and all that the closing and the manifest say. Returns the number
    /// and how many credit notes there are.
    pub fn invoice(
        self,
        folder: &Folder<'_>,
        manifest: &Manifest,
        events: u64,
    ) -> Result<(Statement, usize), Failure> {
        let wrong = |what: String| Failure::new(Reason::Invoice, what);
        let Self { billing, closing, statement, .. } = self;
        if closing.rating != u64::from(RATING) {
            return Err(wrong(format!("the closing has the rating {}", closing.rating)));
        }
        let json = statement.invoice(closing.root).to_json();
        let json = json.map_err(|error| wrong(error.to_string()))?;
        same(Reason::Invoice, folder, INVOICE, &json)?;
        let differs = [
            ("digest of the invoice", Sha256Digest::of(&json) != closing.invoice),
            ("number", statement.number != closing.number),
            ("totals", statement.totals != closing.totals),
            ("corrected sums", statement.corrected != closing.corrected),
            ("credits", statement.credits != closing.credits),
            ("total", statement.total_minor != closing.total_minor.0),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(wrong(format!("the closing has another {what}")));
        }
        let notes = credit_notes(folder, manifest, &billing, &statement.number)?;
        let control = Control {
            currency: Some(statement.period.currency.to_string()),
            events,
            facts: Some(statement.fact_count),
            lines: Some(statement.lines.len() as u64),
            total_minor: Some(statement.total_minor.to_string()),
        };
        match manifest.control == control {
            true => Ok((statement, notes)),
            false => Err(wrong(format!("control is {:?}, not {control:?}", manifest.control))),
        }
    }
}

fn credit_notes(
    folder: &Folder<'_>,
    manifest: &Manifest,
    billing: &Billing,
    number: &str,
) -> Result<usize, Failure> {
    let wrong = |what: String| Failure::new(Reason::Invoice, what);
    let mut notes: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (index, note) in billing.notes.iter().filter(|(_, note)| note.invoice == number) {
        if Sha256Digest::of(note.document.as_bytes()) != note.sha256 {
            return Err(wrong(format!("leaf {index} has another digest of its credit note")));
        }
        let bytes = format!("{}\n", note.document).into_bytes();
        let before = notes.insert(layout::credit_note(&note.number), bytes.clone());
        if before.is_some_and(|before| before != bytes) {
            return Err(wrong(format!("the credit note {} came twice", shown(&note.number))));
        }
    }
    let wanted = notes.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    copies(Reason::Invoice, folder, manifest, &wanted, &["credit_notes/"])?;
    Ok(notes.len())
}

/// The files of these folders are exactly those that follow from leaves.
fn copies(
    reason: Reason,
    folder: &Folder<'_>,
    manifest: &Manifest,
    wanted: &BTreeMap<&str, &[u8]>,
    folders: &[&str],
) -> Result<(), Failure> {
    let paths = manifest.files.iter().map(|file| file.path.as_str());
    let mut there = paths.filter(|path| folders.iter().any(|folder| path.starts_with(folder)));
    if let Some(extra) = there.find(|path| !wanted.contains_key(path)) {
        return Err(Failure::new(reason, format!("{extra} does not follow from a leaf")));
    }
    for (path, bytes) in wanted {
        if !manifest.has(path) {
            return Err(Failure::new(reason, format!("{} is missing", shown(path))));
        }
        same(reason, folder, path, bytes)?;
    }
    Ok(())
}

/// A file has these bytes.
fn same(reason: Reason, folder: &Folder<'_>, path: &str, wanted: &[u8]) -> Result<(), Failure> {
    let there = folder.read(reason, path, wanted.len() as u64)?;
    if there == wanted {
        return Ok(());
    }
    let lines = there.split(|byte| *byte == b'\n').zip(wanted.split(|byte| *byte == b'\n'));
    let differs = (1..).zip(lines).find(|(_, (there, wanted))| there != wanted);
    let what = differs.map_or_else(String::new, |(line, (there, wanted))| {
        let text = |bytes: &[u8]| shown(&String::from_utf8_lossy(bytes));
        format!(", line {line}: there is `{}`, it follows `{}`", text(there), text(wanted))
    });
    Err(Failure::new(reason, format!("{path} is not what follows{what}")))
}
