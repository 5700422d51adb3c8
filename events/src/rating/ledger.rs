//! The fold of one tenant's log: what is kept of each attempt until nothing more can follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::RatingError;
use super::attempt::{
    CLOCK_WINDOW_MS, CountsPrint, Found, Maybe, MaybeHeard, Print, Rates, Record, Slot,
    TRUTH_WINDOW_MS, differs,
};
use super::attempts::Attempts;
use super::book::{Book, Period, Since, in_force};
use super::leaf::{Leaf, LeafParts, Leaves};
use super::names::{Shapes, Texts};
use super::notes::Notes;
use super::prices::Prices;
use super::slices::interval;
use super::usage::{Sort, Usage};
use crate::billing::{PeriodClosed, RateCard};
use crate::digest::Sha256Digest;

/// What a ledger is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The tenant.
    pub tenant: String,
    /// The origin of the tenant's log, as its checkpoints have it.
    pub origin: String,
    /// What if: this card in the place of every card that is in force; where none is at all,
    /// from the beginning of time.
    pub what_if: Option<RateCard>,
    /// A span of time in the place of all opened periods. There are no closings then, so
    /// nothing is corrected and credits are whole.
    pub span: Option<Span>,
}

/// A span of time that is looked at as if it were a period.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// From this instant on, ms.
    pub start: i64,
    /// To before this one.
    pub end: i64,
}

/// The fold of one tenant's log.
///
/// Leaves are pushed in the order of the log; those of the stream `billing` may all be shown
/// before ([`Ledger::foresee`]), and must be where closings stand behind usage that they do not
/// count. A statement is asked for when all leaves below its size were pushed and none behind.
#[derive(Debug)]
pub struct Ledger {
    pub(super) options: Options,
    pub(super) book: Book,
    pub(super) texts: Texts,
    pub(super) shapes: Shapes,
    pub(super) attempts: Attempts,
    /// What was odd since the last cut.
    pub(super) notes: Notes,
    /// The last size at which a closing cut the log.
    pub(super) base: u64,
    crossed: BTreeSet<u64>,
    cuts: BTreeSet<u64>,
    last: Option<u64>,
    last_usage: Option<u64>,
    leaves: Leaves,
}

impl Ledger {
    /// A ledger that has seen nothing.
    ///
    /// # Errors
    /// Where the span has no time in it.
    pub fn new(options: Options) -> Result<Self, RatingError> {
        let mut book = Book::default();
        if let Some(span) = &options.span {
            let period = Period {
                name: Arc::from(span.name.as_str()),
                start: span.start,
                end: span.end,
                zone: Arc::from("UTC"),
                currency: Arc::from(""),
                exponent: 0,
            };
            book.open(0, period)?;
        }
        Ok(Self {
            options,
            book,
            texts: Texts::default(),
            shapes: Shapes::default(),
            attempts: Attempts::default(),
            notes: Notes::default(),
            base: 0,
            crossed: BTreeSet::from([0]),
            cuts: BTreeSet::new(),
            last: None,
            last_usage: None,
            leaves: Leaves::default(),
        })
    }

    /// Shows a leaf of the stream `billing` ahead of its turn. Leaves that were shown may be
    /// pushed again in their turn.
    ///
    /// # Errors
    /// Where it is not what its type says, or contradicts those before.
    pub fn foresee(&mut self, index: u64, leaf: &[u8]) -> Result<(), RatingError> {
        self.reading(index, leaf, |this, leaf| match leaf {
            Leaf::Billing(billing) => this.account(index, billing),
            _ => Ok(()),
        })
    }

    /// Names the origin of the log as it was when what is asked for next was closed.
    pub fn set_origin(&mut self, origin: String) {
        self.options.origin = origin;
    }

    /// Announces that a closing counts so many leaves.
    pub fn cut_at(&mut self, size: u64) {
        if size > self.base {
            self.cuts.insert(size);
        }
    }

    /// Takes the next leaf.
    ///
    /// # Errors
    /// Where it stands before the one before, or is not what its type says.
    pub fn push(&mut self, index: u64, leaf: &[u8]) -> Result<(), RatingError> {
        self.turn(index)?;
        self.reading(index, leaf, |this, leaf| this.take(index, leaf))
    }

    /// Reads a leaf, and does something with what it is.
    pub(super) fn reading(
        &mut self,
        index: u64,
        leaf: &[u8],
        then: impl FnOnce(&mut Self, Leaf<'_>) -> Result<(), RatingError>,
    ) -> Result<(), RatingError> {
        let mut leaves = std::mem::take(&mut self.leaves);
        let done = leaves.read(index, leaf).and_then(|leaf| then(self, leaf));
        self.leaves = leaves;
        done
    }

    /// Takes the next leaf, which was read.
    ///
    /// # Errors
    /// As [`Ledger::push`].
    pub fn push_read(&mut self, index: u64, leaf: &LeafParts<'_>) -> Result<(), RatingError> {
        self.turn(index)?;
        let leaf = self.leaves.read_parts(index, leaf)?;
        self.take(index, leaf)
    }

    fn turn(&mut self, index: u64) -> Result<(), RatingError> {
        if let Some(last) = self.last.filter(|last| index <= *last) {
            return Err(RatingError::Order { index, last });
        }
        self.cross(index);
        self.last = Some(index);
        Ok(())
    }

    fn take(&mut self, index: u64, leaf: Leaf<'_>) -> Result<(), RatingError> {
        match leaf {
            Leaf::Other => Ok(()),
            Leaf::Billing(billing) => self.account(index, billing),
            Leaf::Usage(usage) => {
                self.last_usage = Some(index);
                self.attempt(index, &usage)
            }
        }
    }

    /// The last leaf that was pushed.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Bytes of memory that are held for attempts: some for each that there was, and more for each
    /// that something may still follow from.
    pub fn held_bytes(&self) -> usize {
        self.attempts.held()
    }

    /// Periods in the order in which they were opened.
    pub fn periods(&self) -> impl Iterator<Item = &Period> {
        self.book.accounts.iter().map(|account| &account.period)
    }

    /// Closings in their order.
    pub fn closings(&self) -> impl DoubleEndedIterator<Item = &PeriodClosed> {
        self.book.closings().map(|closing| &*closing.event)
    }

    /// The card in force at an instant, of those that were taken in so far.
    pub fn card_at(&self, at: i64) -> Option<&RateCard> {
        in_force(&self.book.cards, u64::MAX, at).map(|at| &*self.book.cards[at].what)
    }

    /// No leaf before this index, but those of the stream `billing`, can matter to a period that
    /// begins at `start` or later. `size` is how many leaves there are.
    pub fn needs_from(&self, start: i64, size: u64) -> u64 {
        let records = &self.attempts.records;
        let lives = self.attempts.iter().filter_map(|(_, slot)| match slot {
            Slot::Live(live) => Some(live.known),
            Slot::Closed { .. } => None,
        });
        let needed = lives.filter(|known| match known.end.map(|end| records.get(end)) {
            None => true,
            Some(end) => {
                let window = if end.is_lost { TRUTH_WINDOW_MS } else { CLOCK_WINDOW_MS };
                end.rt >= start.saturating_sub(window)
            }
        });
        let indexes = needed.flat_map(|known| known.all().map(|at| records.get(at).index));
        indexes.min().unwrap_or(size)
    }

    /// Crosses all cuts up to and with this size: what is known now is what they counted.
    pub(super) fn cross(&mut self, upto: u64) {
        while let Some(cut) = self.cuts.first().copied().filter(|cut| *cut <= upto) {
            self.cuts.pop_first();
            self.base = cut;
            self.crossed.insert(cut);
            self.notes = Notes::default();
            self.attempts.each(|slot, records| {
                if let Slot::Live(live) = slot {
                    live.settle(records);
                }
            });
            self.retire();
        }
    }

    fn account(
        &mut self,
        index: u64,
        mut billing: super::leaf::Billing,
    ) -> Result<(), RatingError> {
        use super::leaf::Billing;
        if self.options.span.is_some() && matches!(billing, Billing::Opened(_) | Billing::Closed(_))
        {
            return Ok(());
        }
        if let (Billing::Card(adopted), Some(card)) = (&mut billing, &self.options.what_if) {
            adopted.card = card.clone();
        }
        let period = match &billing {
            Billing::Closed(event) => event.period.clone(),
            _ => String::new(),
        };
        let Some(size) = self.book.take(index, billing)? else { return Ok(()) };
        if self.crossed.contains(&size) {
            self.retire();
        } else if self.last.is_none_or(|last| last < size) {
            self.cuts.insert(size);
        } else if self.last_usage.is_none_or(|last| last < size) {
            self.cuts.insert(size);
            self.cross(size);
        } else {
            return Err(RatingError::Unforeseen { period, index, size });
        }
        Ok(())
    }

    fn attempt(&mut self, index: u64, usage: &Usage<'_>) -> Result<(), RatingError> {
        let record = self.record(index, usage)?;
        let (slot, records) = self.attempts.slot(&usage.run, &usage.attempt);
        let odd = match slot {
            Slot::Live(live) => match live.known.judge(records, usage.sort, &record) {
                Ok(()) => {
                    live.take(records, usage.sort, record);
                    None
                }
                Err(odd) => odd,
            },
            Slot::Closed { end, counts } => match usage.sort {
                Sort::Checkpoint => Some(Found::AfterEnd),
                Sort::End => differs(Some(*end), &record),
                Sort::Truth => differs(counts.get(*end), &record),
            },
        };
        if let Some(odd) = odd {
            self.notes.add(odd, index, &usage.run, &usage.step, &usage.attempt);
        }
        Ok(())
    }

    pub(super) fn record(&mut self, index: u64, usage: &Usage<'_>) -> Result<Record, RatingError> {
        let figures = &usage.figures;
        let shape = self.shapes.number(figures).map_err(|reason| RatingError::Shape {
            index,
            kind: "usage".to_string(),
            reason,
        })?;
        let requested = &figures.requested;
        let mut print: Print = [0; 16];
        print.copy_from_slice(&Sha256Digest::of(usage.text.as_bytes()).0[..16]);
        Ok(Record {
            index,
            rt: usage.rt,
            allocated: figures.allocated,
            released: figures.released,
            started: Maybe::of(figures.started),
            heard: MaybeHeard::of(usage.heard),
            egress: figures.egress,
            rates: Rates {
                cpu_milli: requested.cpu_milli,
                mem_mib: requested.mem_mib,
                disk_mib: requested.disk_mib,
            },
            step: self.texts.number(&usage.step),
            shape,
            print,
            fault: figures.fault,
            is_lost: figures.is_lost,
        })
    }

    /// Lets go of attempts that lie in closed periods and of which nothing more can come but
    /// repeats and contradictions.
    fn retire(&mut self) {
        let Some(horizon) = self.horizon() else { return };
        let prices = Prices::new(&self.book, self.base);
        self.attempts.each(|slot, records| {
            let Slot::Live(live) = *slot else { return };
            let Some(end) = live.known.end.map(|end| records.get(end)) else { return };
            let window = if end.is_lost { TRUTH_WINDOW_MS } else { CLOCK_WINDOW_MS };
            if !live.is_settled() || end.rt >= horizon.saturating_sub(window) {
                return;
            }
            let counts = live.known.counts(records);
            let is_behind = counts
                .is_none_or(|counts| interval(counts, prices.rules(counts), |_| {}).end <= horizon);
            if is_behind {
                let end = end.print;
                let counts = CountsPrint::of(counts.map(|counts| counts.record.print), end);
                live.known.all().for_each(|at| records.remove(at));
                *slot = Slot::Closed { end, counts };
            }
        });
    }

    /// Before this instant every period is closed, and none can be opened.
    fn horizon(&self) -> Option<i64> {
        let is_closed = |account: &&super::book::Account| {
            account.closing.as_ref().is_some_and(|closing| closing.event.size <= self.base)
        };
        let closed = self.book.accounts.iter().filter(is_closed);
        let end = closed.map(|account| account.period.end).max()?;
        // The rules of an attempt from before all cards are those of the first: it must be known.
        let is_settled = |card: &Since<RateCard>| card.index < self.base && card.from < end;
        if !self.book.cards.iter().any(is_settled) {
            return None;
        }
        let open = self.book.accounts.iter().filter(|account| !is_closed(account));
        Some(open.map(|account| account.period.start).min().map_or(end, |start| start.min(end)))
    }
}
