//! Prices, contracts, periods and closings, and what of them held at a size of the log.

use std::sync::Arc;

use super::RatingError;
use super::leaf::Billing;
use crate::billing::{Contract, PeriodClosed, RateCard, Tiers};

/// A period of account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its name.
    pub name: Arc<str>,
    /// From this instant on, ms.
    pub start: i64,
    /// To before this one.
    pub end: i64,
    /// The zone that it was computed in.
    pub zone: Arc<str>,
    /// ISO 4217.
    pub currency: Arc<str>,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
}

/// Something that holds from an instant on, since a leaf.
#[derive(Debug, Clone)]
pub(super) struct Since<T> {
    pub index: u64,
    pub from: i64,
    pub what: Arc<T>,
}

/// A period as it was opened, and its closing.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub index: u64,
    pub period: Period,
    pub closing: Option<Closing>,
}

/// A closing.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    /// From 0, in the order of closings.
    pub order: usize,
    pub event: Arc<PeriodClosed>,
}

/// All that the stream `billing` says.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub last: Option<u64>,
    pub cards: Vec<Since<RateCard>>,
    pub contracts: Vec<Since<Contract>>,
    pub accounts: Vec<Account>,
    /// Positions in `accounts`, in the order of closings.
    pub closed: Vec<usize>,
}

impl Book {
    /// Takes a leaf; one that it has seen is passed over. Returns the size of a closing.
    pub(super) fn take(&mut self, index: u64, leaf: Billing) -> Result<Option<u64>, RatingError> {
        if self.last.is_some_and(|last| index <= last) {
            return Ok(None);
        }
        self.last = Some(index);
        match leaf {
            Billing::Card(event) => {
                let from = event.effective_from.0;
                self.refuse_closed(index, from)?;
                check(index, "rate_card.adopted", card_is_sound(&event.card))?;
                self.cards.push(Since { index, from, what: Arc::new(event.card) });
            }
            Billing::Contract(event) => {
                let from = event.effective_from.0;
                self.refuse_closed(index, from)?;
                check(index, "contract.published", contract_is_sound(&event.contract))?;
                self.contracts.push(Since { index, from, what: Arc::new(event.contract) });
            }
            Billing::Opened(event) => {
                self.refuse_closed(index, event.start.0)?;
                let period = Period {
                    name: Arc::from(event.period),
                    start: event.start.0,
                    end: event.end.0,
                    zone: Arc::from(event.zone),
                    currency: Arc::from(event.currency),
                    exponent: event.exponent,
                };
                self.open(index, period)?;
            }
            Billing::Closed(event) => {
                let size = event.size;
                self.close(index, Arc::new(*event))?;
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    pub(super) fn open(&mut self, index: u64, period: Period) -> Result<(), RatingError> {
        let refuse = |reason: String| RatingError::Shape {
            index,
            kind: "period.opened".to_string(),
            reason,
        };
        if period.end <= period.start || period.exponent > 9 {
            return Err(refuse(format!("{} has no time or no currency", period.name)));
        }
        for account in &self.accounts {
            let other = &account.period;
            if other.name == period.name {
                return Err(refuse(format!("{} was opened before", period.name)));
            }
            if other.start < period.end && period.start < other.end {
                return Err(refuse(format!("{} and {} overlap", other.name, period.name)));
            }
        }
        self.accounts.push(Account { index, period, closing: None });
        Ok(())
    }

    fn close(&mut self, index: u64, event: Arc<PeriodClosed>) -> Result<(), RatingError> {
        let refuse = |reason: String| RatingError::Shape {
            index,
            kind: "period.closed".to_string(),
            reason,
        };
        let before = self.closings().last().map_or(0, |closing| closing.event.size);
        if event.size > index || event.size < before {
            return Err(refuse(format!("it cannot count {} leaves", event.size)));
        }
        let order = self.closed.len();
        let found = self.accounts.iter_mut().enumerate().find(|(_, account)| {
            *account.period.name == *event.period && account.index < event.size
        });
        let Some((at, account)) = found else {
            return Err(refuse(format!("{} is not open", event.period)));
        };
        if account.closing.is_some() {
            return Err(refuse(format!("{} was closed before", event.period)));
        }
        let (end, size) = (account.period.end, event.size);
        account.closing = Some(Closing { order, event });
        let name = account.period.name.to_string();
        self.closed.push(at);
        // What was recorded behind the leaves that were counted, and before this one.
        let late = |index: u64, from: i64| index >= size && from < end;
        let cards = self.cards.iter().map(|card| (card.index, card.from));
        let contracts = self.contracts.iter().map(|contract| (contract.index, contract.from));
        let opened = self.accounts.iter().map(|account| (account.index, account.period.start));
        match cards.chain(contracts).chain(opened).find(|(index, from)| late(*index, *from)) {
            Some((index, from)) => Err(RatingError::Retroactive { index, from, period: name }),
            None => Ok(()),
        }
    }

    /// Nothing may begin to hold in what is closed.
    fn refuse_closed(&self, index: u64, from: i64) -> Result<(), RatingError> {
        let closed = self.closed.iter().map(|at| &self.accounts[*at]);
        match closed.into_iter().find(|account| from < account.period.end) {
            Some(account) => Err(RatingError::Retroactive {
                index,
                from,
                period: account.period.name.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Closings in their order.
    pub(super) fn closings(&self) -> impl DoubleEndedIterator<Item = &Closing> {
        self.closed.iter().filter_map(|at| self.accounts[*at].closing.as_ref())
    }

    /// Where the period is, if it was opened below this size.
    pub(super) fn find(&self, name: &str, size: u64) -> Option<usize> {
        let found = |account: &Account| *account.period.name == *name && account.index < size;
        self.accounts.iter().position(found)
    }
}

/// What was adopted or published below this size and holds at the instant: that with the
/// latest beginning, and of equal ones the later leaf.
pub(super) fn in_force<T>(list: &[Since<T>], size: u64, at: i64) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (number, one) in list.iter().enumerate() {
        if one.index >= size || one.from > at {
            continue;
        }
        if best.is_none_or(|best| list[best].from <= one.from) {
            best = Some(number);
        }
    }
    best
}

/// The adoption that begins first, and of equal ones the later leaf.
pub(super) fn earliest<T>(list: &[Since<T>], size: u64) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (number, one) in list.iter().enumerate() {
        if one.index < size && best.is_none_or(|best| list[best].from >= one.from) {
            best = Some(number);
        }
    }
    best
}

/// The figures of a card with which an amount can be computed.
fn card_is_sound(card: &RateCard) -> bool {
    card.exponent <= 9
        && card.increment_ms.0 >= 1
        && card.prices.iter().all(|price| price.per.0 >= 1 && tiers_are_sound(&price.tiers))
}

fn contract_is_sound(contract: &Contract) -> bool {
    contract.exponent <= 9
        && contract.overrides.iter().all(|own| own.per.0 >= 1 && tiers_are_sound(&own.tiers))
        && contract.discounts.iter().all(|discount| discount.parts_per_billion.0 >= 0)
        && contract.credits.iter().all(|credit| credit.amount_minor.0 >= 0)
}

fn tiers_are_sound(tiers: &Tiers) -> bool {
    tiers
        .steps
        .iter()
        .all(|step| step.price_nanos.0 >= 0 && step.up_to.is_none_or(|up_to| up_to.0 >= 0))
}

fn check(index: u64, kind: &str, is_sound: bool) -> Result<(), RatingError> {
    let kind = kind.to_string();
    let reason = "a number in it is negative or 0 where no amount can be computed then".to_string();
    if is_sound { Ok(()) } else { Err(RatingError::Shape { index, kind, reason }) }
}
