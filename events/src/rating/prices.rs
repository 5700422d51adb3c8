//! What holds when, as of a size of the log: stretches of time in which nothing changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attempt::Counts;
use super::book::{Book, Since, earliest, in_force};
use super::names::{Shape, ShapeMeter, Shapes};
use crate::billing::{Bill, BillFaults, Clock, Contract, Meter, Override, Price, RateCard, Tiers};

/// No price.
pub(super) const UNPRICED: u32 = u32::MAX;

/// What is added up on its own: a sku by what priced it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupName {
    pub sku: Arc<str>,
    pub label: Arc<str>,
    pub version: Arc<str>,
}

/// A group with its price.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub name: GroupName,
    pub per: i128,
    pub tiers: Tiers,
}

/// Groups by number.
#[derive(Debug, Default)]
pub(super) struct Groups {
    numbers: BTreeMap<GroupName, u32>,
    pub all: Vec<Group>,
}

impl Groups {
    fn number(&mut self, name: GroupName, per: i128, tiers: &Tiers) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(UNPRICED);
        self.numbers.insert(name.clone(), number);
        self.all.push(Group { name, per, tiers: tiers.clone() });
        number
    }
}

/// A stretch of time in which nothing changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Where it begins; the first has no beginning.
    pub from: i64,
    /// Its period, as a position in the book.
    pub account: Option<usize>,
    card: Option<usize>,
    contract: Option<usize>,
}

/// How the time of an attempt is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub bill: Bill,
    pub clock: Clock,
    pub faults: BillFaults,
    pub minimum: i64,
    pub increment: i64,
}

/// What holds with the leaves below a size.
pub(super) struct Prices<'a> {
    book: &'a Book,
    size: u64,
    /// In order; the first begins before all time.
    pub stretches: Vec<Stretch>,
    found: BTreeMap<(usize, usize, u32), Arc<[u32]>>,
}

impl<'a> Prices<'a> {
    pub(super) fn new(book: &'a Book, size: u64) -> Self {
        let below = |index: u64| index < size;
        let mut cuts = vec![i64::MIN];
        cuts.extend(book.cards.iter().filter(|card| below(card.index)).map(|card| card.from));
        let contracts = book.contracts.iter().filter(|contract| below(contract.index));
        cuts.extend(contracts.map(|contract| contract.from));
        for account in book.accounts.iter().filter(|account| below(account.index)) {
            cuts.extend([account.period.start, account.period.end]);
        }
        cuts.sort_unstable();
        cuts.dedup();
        let account = |at: i64| {
            book.accounts.iter().position(|account| {
                below(account.index) && account.period.start <= at && at < account.period.end
            })
        };
        let stretch = |from: i64| Stretch {
            from,
            account: account(from),
            card: in_force(&book.cards, size, from),
            contract: in_force(&book.contracts, size, from),
        };
        let stretches = cuts.into_iter().map(stretch).collect();
        Self { book, size, stretches, found: BTreeMap::new() }
    }

    /// The stretch that the instant lies in.
    pub(super) fn stretch_at(&self, at: i64) -> usize {
        self.stretches.partition_point(|stretch| stretch.from <= at) - 1
    }

    /// The contract in force at the instant.
    pub(super) fn contract_at(&self, at: i64) -> Option<&'a Contract> {
        self.stretches[self.stretch_at(at)].contract.map(|at| &*self.book.contracts[at].what)
    }

    /// Cards and contracts that hold somewhere from `start` to `end`.
    pub(super) fn all_within(
        &self,
        start: i64,
        end: i64,
    ) -> (Vec<&'a RateCard>, Vec<&'a Contract>) {
        let (from, to) = (self.stretch_at(start), self.stretch_at(end - 1));
        let mut cards: Vec<usize> = Vec::new();
        let mut contracts: Vec<usize> = Vec::new();
        for stretch in &self.stretches[from..=to] {
            cards.extend(stretch.card);
            contracts.extend(stretch.contract);
        }
        cards.dedup();
        contracts.dedup();
        let card = |at: usize| &*self.book.cards[at].what;
        let contract = |at: usize| &*self.book.contracts[at].what;
        (cards.into_iter().map(card).collect(), contracts.into_iter().map(contract).collect())
    }

    /// The rules for an attempt.
    pub(super) fn rules(&self, counts: Counts<'_>) -> Rules {
        let stretch = self.stretches[self.stretch_at(counts.record.allocated)];
        let card = stretch.card.or_else(|| earliest(&self.book.cards, self.size));
        match card.map(|at| &self.book.cards[at]) {
            Some(Since { what: card, .. }) => Rules {
                bill: card.bill,
                clock: card.clock,
                faults: card.bill_faults,
                minimum: i64::try_from(card.minimum_ms.0).unwrap_or(i64::MAX),
                increment: i64::try_from(card.increment_ms.0).unwrap_or(i64::MAX).max(1),
            },
            None => Rules {
                bill: Bill::Allocated,
                clock: Clock::Executor,
                faults: BillFaults { infra: false, policy: true, user: true },
                minimum: 0,
                increment: 1,
            },
        }
    }

    /// For each meter of the shape the group that prices it in the stretch; none where no card
    /// is in force at all.
    pub(super) fn groups(
        &mut self,
        stretch: usize,
        number: u32,
        shapes: &Shapes,
        groups: &mut Groups,
    ) -> Option<Arc<[u32]>> {
        let stretch = self.stretches[stretch];
        let card_at = stretch.card?;
        let key = (card_at, stretch.contract.unwrap_or(usize::MAX), number);
        if let Some(found) = self.found.get(&key) {
            return Some(Arc::clone(found));
        }
        let card = &*self.book.cards[card_at].what;
        let contract = stretch.contract.map(|at| &*self.book.contracts[at].what);
        let shape = shapes.get(number);
        let price = |meter: &ShapeMeter| find_price(card, contract, shape, meter, groups);
        let found: Arc<[u32]> = shape.meters.iter().map(price).collect();
        self.found.insert(key, Arc::clone(&found));
        Some(found)
    }
}

fn find_price(
    card: &RateCard,
    contract: Option<&Contract>,
    shape: &Shape,
    meter: &ShapeMeter,
    groups: &mut Groups,
) -> u32 {
    let Some(price) = card.prices.iter().find(|price| holds(price, shape, meter)) else {
        return UNPRICED;
    };
    let own = |contract: &&Contract| -> Option<Override> {
        contract.overrides.iter().find(|own| own.sku == price.sku).cloned()
    };
    if let Some(contract) = contract
        && let Some(own) = own(&contract)
    {
        let name = agreed_name(card, contract, &price.sku);
        return groups.number(name, own.per.0, &own.tiers);
    }
    groups.number(list_name(card, &price.sku), price.per.0, &price.tiers)
}

fn list_name(card: &RateCard, sku: &str) -> GroupName {
    GroupName {
        sku: Arc::from(sku),
        label: Arc::from(card.name.as_str()),
        version: Arc::from(card.version.to_string()),
    }
}

fn agreed_name(card: &RateCard, contract: &Contract, sku: &str) -> GroupName {
    GroupName {
        sku: Arc::from(sku),
        label: Arc::from(format!("{}+{}", card.name, contract.name)),
        version: Arc::from(format!("{}+{}", card.version, contract.version)),
    }
}

fn holds(price: &Price, shape: &Shape, meter: &ShapeMeter) -> bool {
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    let gpu = match meter.meter {
        Meter::GpuMs => meter.gpu.as_ref(),
        _ => None,
    };
    price.meter == meter.meter
        && is(&price.matches.class, Some(&*shape.class))
        && is(&price.matches.executor, Some(&*shape.executor))
        && is(&price.matches.gpu_model, gpu.map(|gpu| gpu.model.as_str()))
        && is(&price.matches.mode, gpu.map(|gpu| gpu.mode.as_str()))
}
