//! All attempts of the ledger, rated for one period: facts out, sums kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RatingError;
use super::attempt::{Counts, Found, Live, Slot};
use super::book::Period;
use super::corrections::carried;
use super::fact::{FactClass, FactSink, IdStart, ToldFact};
use super::ledger::Ledger;
use super::names::plus;
use super::notes::Notes;
use super::prices::{Group, GroupName, Groups, Prices};
use super::slices::{Piece, cut, interval};
use crate::billing::{Contract, CreditTaken};

/// Sums of a period before they are made into lines: the facts have gone to a [`FactSink`].
#[derive(Debug)]
pub struct Draft {
    pub(super) tenant: String,
    pub(super) origin: String,
    pub(super) number: String,
    pub(super) period: Period,
    pub(super) size: u64,
    pub(super) since: u64,
    pub(super) sums: Vec<Sum>,
    pub(super) contract: Option<Contract>,
    pub(super) credits: Vec<CreditTaken>,
    pub(super) facts: u64,
    pub(super) notes: Notes,
}

/// What was added up on its own.
#[derive(Debug)]
pub(super) struct Sum {
    pub group: Group,
    pub quantity: i128,
    pub facts: u64,
    /// Of a correction: the period, and what was billed for it so far.
    pub carried: Option<(Period, i128)>,
}

/// An attempt while it is rated.
pub(super) struct Subject {
    pub(super) number: u32,
    pub(super) live: Live,
}

pub(super) struct Rating<'a, S: FactSink + ?Sized> {
    pub(super) ledger: &'a Ledger,
    pub(super) sink: &'a mut S,
    pub(super) groups: Groups,
    /// Of usage (no period) and corrections (the period's place in the book).
    pub(super) numbers: BTreeMap<(Option<usize>, u32), u32>,
    pub(super) sums: Vec<(Option<usize>, u32, i128, u64)>,
    pub(super) facts: u64,
    /// Usage of this period.
    pub(super) account: usize,
    /// Those that were closed before.
    pub(super) earlier: Vec<usize>,
    unpriced: GroupName,
}

impl Ledger {
    /// Rates a period with the leaves below `size`, all of which were pushed. Facts go to the
    /// sink in no order.
    ///
    /// # Errors
    /// Where leaves behind `size` were pushed, there is no such period, or figures grow beyond
    /// 127 bits.
    pub fn draft(
        &mut self,
        period: &str,
        size: u64,
        sink: &mut (impl FactSink + ?Sized),
    ) -> Result<Draft, RatingError> {
        if let Some(last) = self.last().filter(|last| *last >= size) {
            return Err(RatingError::Passed { size, last });
        }
        if size > 0 {
            self.cross(size - 1);
        }
        self.supply_card(size);
        let unknown = || RatingError::UnknownPeriod { period: period.to_string(), size };
        let account = self.book.find(period, size).ok_or_else(unknown)?;
        let earlier = self.closed_before(account, size)?;
        let last = earlier.last().and_then(|at| self.book.accounts[*at].closing.as_ref());
        let since = last.map_or(0, |closing| closing.event.size);
        if since != size && since != self.base {
            return Err(RatingError::Passed { size: since, last: self.base });
        }
        let mut now = Prices::new(&self.book, size);
        let mut then = Prices::new(&self.book, since);
        let empty = || Arc::from("");
        let mut rating = Rating {
            ledger: self,
            sink,
            groups: Groups::default(),
            numbers: BTreeMap::new(),
            sums: Vec::new(),
            facts: 0,
            account,
            earlier,
            unpriced: GroupName { sku: empty(), label: empty(), version: empty() },
        };
        let mut notes = if since < size { self.notes.clone() } else { Notes::default() };
        let (mut pieces, mut old) = (Vec::new(), Vec::new());
        let records = &self.attempts.records;
        for (number, slot) in self.attempts.iter() {
            let Slot::Live(live) = *slot else { continue };
            let subject = Subject { number, live };
            pieces.clear();
            if let Some(counts) = live.known.counts(records) {
                cut(counts, &mut now, &self.shapes, &mut rating.groups, &mut pieces)?;
                rating.usage(&subject, counts, &pieces)?;
            }
            if since < size {
                rating.note(&subject, &now, since, &mut notes);
                let is_touched = !live.is_settled();
                if is_touched && !rating.earlier.is_empty() {
                    old.clear();
                    let known = live.known_before();
                    if let Some(counts) = known.and_then(|known| known.counts(records)) {
                        cut(counts, &mut then, &self.shapes, &mut rating.groups, &mut old)?;
                    }
                    rating.correct(&subject, &pieces, &old)?;
                }
            }
        }
        rating.finish(&now, size, since, notes)
    }

    /// Periods that were closed before this one is, in the order of their closings.
    fn closed_before(&self, account: usize, size: u64) -> Result<Vec<usize>, RatingError> {
        let closing = |at: usize| self.book.accounts[at].closing.as_ref();
        let own = closing(account);
        if let Some(own) = own.filter(|own| own.event.size != size) {
            let period = own.event.period.clone();
            return Err(RatingError::Closed { period, closed: own.event.size, size });
        }
        let closed = self.book.closed.iter().copied();
        Ok(closed
            .filter(|at| match (closing(*at), own) {
                (Some(other), Some(own)) => other.order < own.order,
                (Some(other), None) => other.event.size <= size,
                (None, _) => false,
            })
            .collect())
    }

    /// The card of a what-if where none was adopted.
    fn supply_card(&mut self, size: u64) {
        if self.book.cards.iter().any(|card| card.index < size) {
            return;
        }
        if let Some(card) = &self.options.what_if {
            let what = Arc::new(card.clone());
            self.book.cards.insert(0, super::book::Since { index: 0, from: i64::MIN, what });
        }
    }
}

impl<S: FactSink + ?Sized> Rating<'_, S> {
    fn usage(
        &mut self,
        subject: &Subject,
        counts: Counts<'_>,
        pieces: &[Piece],
    ) -> Result<(), RatingError> {
        if !pieces.iter().any(|piece| piece.account == self.account) {
            return Ok(());
        }
        let (run, attempt) = self.ledger.attempts.name(subject.number);
        let step = self.ledger.texts.text(counts.record.step);
        let ids = IdStart::new(&run, &step, &attempt);
        let names = Names { run, step, attempt };
        let account = self.account;
        for piece in pieces.iter().filter(|piece| piece.account == account) {
            let group = piece.is_billed.then(|| self.number(None, piece.group));
            let told = Told { class: FactClass::Usage, piece, counts, quantity: piece.quantity };
            self.emit(&names, &ids, told, group)?;
        }
        Ok(())
    }

    /// The number under which it is added up.
    pub(super) fn number(&mut self, account: Option<usize>, group: u32) -> u32 {
        let next = u32::try_from(self.sums.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry((account, group)).or_insert(next);
        if number == next {
            self.sums.push((account, group, 0, 0));
        }
        number
    }

    pub(super) fn emit(
        &mut self,
        names: &Names,
        ids: &IdStart,
        told: Told<'_>,
        group: Option<u32>,
    ) -> Result<(), RatingError> {
        let Told { class, piece, counts, quantity } = told;
        if let Some(group) = group {
            let sum = &mut self.sums[group as usize];
            sum.2 = plus("a sum of quantities", sum.2, quantity)?;
            sum.3 += 1;
        }
        let meter = &self.ledger.shapes.get(counts.record.shape).meters[piece.meter];
        let name = self.groups.all.get(piece.group as usize).map(|group| &group.name);
        let name = name.unwrap_or(&self.unpriced);
        self.facts += 1;
        self.sink.fact(ToldFact {
            id: ids.id(&meter.key, piece.slice),
            class,
            period: &self.ledger.book.accounts[piece.account].period.name,
            leaf_index: counts.record.index,
            run: &names.run,
            step: &names.step,
            attempt: &names.attempt,
            sku: &name.sku,
            meter: &meter.key,
            quantity,
            start: piece.start,
            end: piece.end,
            rate_card: &name.label,
            rate_card_version: &name.version,
            fault: counts.fault,
            billed: group.is_some(),
            group,
        });
        Ok(())
    }

    /// What is odd about an attempt, where that was learned since the closing before.
    fn note(&self, subject: &Subject, prices: &Prices<'_>, since: u64, notes: &mut Notes) {
        let (known, records) = (subject.live.known, &self.ledger.attempts.records);
        let (counts, end) = (known.counts(records), known.end.map(|end| records.get(end)));
        let Some(record) = counts.map(|counts| counts.record).or(end) else { return };
        if record.index < since {
            return;
        }
        let mut odd = Vec::new();
        match counts {
            Some(counts) => {
                interval(counts, prices.rules(counts), |found| odd.push(found));
                odd.extend(counts.is_lost.then_some(Found::Lost));
            }
            None => odd.push(Found::Lost),
        }
        if odd.is_empty() {
            return;
        }
        let (run, attempt) = self.ledger.attempts.name(subject.number);
        let step = self.ledger.texts.text(record.step);
        for found in odd {
            notes.add(found, record.index, &run, &step, &attempt);
        }
    }

    fn finish(
        mut self,
        prices: &Prices<'_>,
        size: u64,
        since: u64,
        notes: Notes,
    ) -> Result<Draft, RatingError> {
        let ledger = self.ledger;
        let account = &ledger.book.accounts[self.account];
        let mut period = account.period.clone();
        ledger.check_currency(&mut period, prices)?;
        let closings: Vec<_> = self
            .earlier
            .iter()
            .filter_map(|at| ledger.book.accounts[*at].closing.as_ref())
            .collect();
        let mut sums = Vec::new();
        for (account, group, quantity, facts) in std::mem::take(&mut self.sums) {
            let group = self.groups.all[group as usize].clone();
            let carried = account.map(|at| {
                let charged = ledger.book.accounts[at].period.clone();
                let sum = closings.iter().fold(0, |sum, closing| {
                    carried(&closing.event, &charged.name, &group.name).unwrap_or(sum)
                });
                (charged, sum)
            });
            if let Some((charged, _)) = &carried
                && (&charged.currency, charged.exponent) != (&period.currency, period.exponent)
                && ledger.options.what_if.is_none()
            {
                return Err(RatingError::Currency {
                    name: charged.name.to_string(),
                    found: format!("{}/{}", charged.currency, charged.exponent),
                    wanted: format!("{}/{}", period.currency, period.exponent),
                });
            }
            sums.push(Sum { group, quantity, facts, carried });
        }
        let credits = closings.iter().flat_map(|closing| closing.event.credits.clone()).collect();
        let number = format!("{}-{:06}", ledger.options.tenant, closings.len() + 1);
        Ok(Draft {
            tenant: ledger.options.tenant.clone(),
            origin: ledger.options.origin.clone(),
            number,
            contract: prices.contract_at(period.end - 1).cloned(),
            period,
            size,
            since,
            sums,
            credits,
            facts: self.facts,
            notes,
        })
    }
}

pub(super) struct Names {
    pub(super) run: Arc<str>,
    pub(super) step: Arc<str>,
    pub(super) attempt: Arc<str>,
}

/// A fact that is about to be told.
pub(super) struct Told<'a> {
    pub(super) class: FactClass,
    pub(super) piece: &'a Piece,
    pub(super) counts: Counts<'a>,
    pub(super) quantity: i128,
}
