//! A rated period: what an invoice says and a closing records.

use super::book::Period;
use super::csv::lines_csv;
use super::draft::Draft;
use super::fact::{Fact, USAGE_HEADER};
use super::invoice::{Invoice, Posting, postings};
use super::ledger::Ledger;
use super::lines::{Billed, Line, bill};
use super::notes::Notes;
use super::rows::{Roots, Row};
use super::{RATING, RatingError};
use crate::billing::{CreditTaken, PeriodClosed, PeriodTotal, Whole};
use crate::digest::Sha256Digest;

/// A rated period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose.
    pub tenant: String,
    /// Of which log.
    pub origin: String,
    /// The number that the invoice has, or would have.
    pub number: String,
    /// The period.
    pub period: Period,
    /// Leaves that count.
    pub size: u64,
    /// Size of the closing before, or 0.
    pub since: u64,
    /// Facts as `usage.csv` has them; empty where they were streamed.
    pub facts: Vec<Fact>,
    /// Rows of `usage.csv`.
    pub fact_count: u64,
    /// Lines in their order.
    pub lines: Vec<Line>,
    /// Double entries, which add up to nothing.
    pub postings: Vec<Posting>,
    /// Sums that later corrections go on from.
    pub totals: Vec<PeriodTotal>,
    /// Sums of earlier periods as they are now.
    pub corrected: Vec<PeriodTotal>,
    /// What is taken from credits.
    pub credits: Vec<CreditTaken>,
    /// What is to be paid.
    pub total_minor: i128,
    /// What was odd.
    pub anomalies: Notes,
}

/// A statement as it is recorded, with its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The event.
    pub event: PeriodClosed,
    /// `lines.csv`.
    pub lines_csv: Vec<u8>,
    /// `invoice.json`.
    pub invoice_json: Vec<u8>,
}

impl Draft {
    /// The statement, once the rows of all facts were seen in their order.
    ///
    /// # Errors
    /// Where some were not, or an amount grows beyond 127 bits.
    pub fn finish(self, roots: &Roots) -> Result<Statement, RatingError> {
        if roots.rows() != self.facts {
            return Err(RatingError::Rows { row: roots.rows() });
        }
        let billed = bill(&self, roots)?;
        let Billed { lines, totals, corrected, credits, total_minor } = billed;
        Ok(Statement {
            postings: postings(&self.tenant, &lines),
            tenant: self.tenant,
            origin: self.origin,
            number: self.number,
            period: self.period,
            size: self.size,
            since: self.since,
            facts: Vec::new(),
            fact_count: self.facts,
            lines,
            totals,
            corrected,
            credits,
            total_minor,
            anomalies: self.notes,
        })
    }
}

impl Ledger {
    /// Rates a period with the leaves below `size`, with all facts in memory.
    ///
    /// # Errors
    /// See [`Ledger::draft`].
    pub fn statement(&mut self, period: &str, size: u64) -> Result<Statement, RatingError> {
        let mut facts: Vec<Fact> = Vec::new();
        let draft = self.draft(period, size, &mut facts)?;
        let mut rows: Vec<(Row, Fact)> =
            facts.into_iter().map(|fact| (Row::of(fact.told()), fact)).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut roots = Roots::new();
        let mut facts = Vec::with_capacity(rows.len());
        for (row, fact) in rows {
            roots.push(row.lent())?;
            facts.push(fact);
        }
        Ok(Statement { facts, ..draft.finish(&roots)? })
    }
}

impl Statement {
    /// `usage.csv`, where the facts are here.
    pub fn usage_csv(&self) -> Vec<u8> {
        let mut out = USAGE_HEADER.as_bytes().to_vec();
        for fact in &self.facts {
            fact.told().row(&mut out);
        }
        out
    }

    /// `lines.csv`.
    pub fn lines_csv(&self) -> Vec<u8> {
        lines_csv(&self.lines, &self.period.currency)
    }

    /// The invoice. `root` is that of the log at the statement's size.
    pub fn invoice(&self, root: Sha256Digest) -> Invoice {
        Invoice::of(self, root)
    }

    /// What a closing records, with `usage` the digest of `usage.csv`.
    ///
    /// # Errors
    /// Where a figure does not fit into the document.
    pub fn closing(&self, root: Sha256Digest, usage: Sha256Digest) -> Result<Closed, RatingError> {
        let lines_csv = self.lines_csv();
        let invoice_json = self.invoice(root).to_json()?;
        let event = PeriodClosed {
            period: self.period.name.to_string(),
            size: self.size,
            root,
            rating: RATING,
            number: self.number.clone(),
            usage,
            lines: Sha256Digest::of(&lines_csv),
            invoice: Sha256Digest::of(&invoice_json),
            total_minor: Whole(self.total_minor),
            totals: self.totals.clone(),
            corrected: self.corrected.clone(),
            credits: self.credits.clone(),
        };
        Ok(Closed { event, lines_csv, invoice_json })
    }
}
