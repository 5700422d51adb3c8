//! What was agreed with a tenant, as far as its budgets need it: a light fold of its stream
//! `billing`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::billing::{BillingEvent, BudgetAction, Contract, RateCard};
use crate::time::Timestamp;

/// Prices, periods and budgets of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    cards: Vec<(Timestamp, Arc<RateCard>)>,
    contracts: Vec<(Timestamp, Arc<Contract>)>,
    /// Start, name and end of each.
    periods: BTreeMap<Timestamp, (String, Timestamp)>,
    /// Where the log has to be read from for a period, by its start.
    needs: BTreeMap<Timestamp, u64>,
    /// By name.
    pub budgets: BTreeMap<String, Budget>,
    /// Since when there is one.
    since: Option<Timestamp>,
}

/// What may be spent in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Minor units.
    pub minor: i128,
    /// ISO 4217.
    pub currency: String,
    /// What happens when it would be exceeded.
    pub on_exceed: BudgetAction,
}

/// The time that a budget is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Name of the period; empty between periods.
    pub name: String,
    /// From this instant on.
    pub start: Timestamp,
    /// To before this one; none: until a period is opened.
    pub end: Option<Timestamp>,
}

impl Span {
    /// Milliseconds of [a, b) that lie in it.
    pub fn of(&self, a: Timestamp, b: Timestamp) -> u64 {
        let end = self.end.map_or(b, |end| end.min(b));
        end.since(a.max(self.start)).0
    }

    /// Whether it goes on.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

impl Aggregate for Terms {
    type Event = BillingEvent;

    fn apply(&mut self, at: Timestamp, event: &BillingEvent) {
        match event {
            BillingEvent::CardAdopted(e) => {
                self.cards.push((e.effective_from, Arc::new(e.card.clone())));
            }
            BillingEvent::ContractPublished(e) => {
                self.contracts.push((e.effective_from, Arc::new(e.contract.clone())));
            }
            BillingEvent::PeriodOpened(e) => {
                self.periods.insert(e.start, (e.period.clone(), e.end));
                self.needs.insert(e.start, e.needs_from);
            }
            BillingEvent::BudgetSet(e) => {
                let budget = Budget {
                    minor: e.minor.0,
                    currency: e.currency.clone(),
                    on_exceed: e.on_exceed,
                };
                self.budgets.insert(e.name.clone(), budget);
                self.since.get_or_insert(at);
            }
            BillingEvent::BudgetRemoved(e) => drop(self.budgets.remove(&e.name)),
            _ => {}
        }
    }
}

impl Terms {
    /// The span that the instant lies in. Between periods it begins where the last one ended; where
    /// there never was one, with the first budget.
    pub fn span_at(&self, at: Timestamp) -> Span {
        let before = self.periods.range(..=at).next_back();
        let next = self.periods.range(at..).map(|(start, _)| *start).find(|start| *start > at);
        match before {
            Some((start, (name, end))) if at < *end => {
                Span { name: name.clone(), start: *start, end: Some(*end) }
            }
            Some((_, (_, end))) => Span { name: String::new(), start: *end, end: next },
            None => {
                let start = self.since.unwrap_or(at);
                Span { name: String::new(), start, end: next }
            }
        }
    }

    /// From which index of the tenant's log on leaves can matter to a span.
    pub fn needs_from(&self, span: &Span) -> u64 {
        self.needs.range(..=span.start).next_back().map_or(0, |(_, from)| *from)
    }

    /// The card in force at an instant: of the adoptions up to then the one that came into force
    /// last, and of equal ones the last.
    pub fn card_at(&self, at: Timestamp) -> Option<&Arc<RateCard>> {
        in_force(&self.cards, at)
    }

    /// The contract in force at an instant.
    pub fn contract_at(&self, at: Timestamp) -> Option<&Arc<Contract>> {
        in_force(&self.contracts, at)
    }

    /// The rules for what began at an instant: of the card in force, or else of the first one.
    pub fn rules_at(&self, at: Timestamp) -> Option<&Arc<RateCard>> {
        let first = || {
            let earliest = self.cards.iter().map(|(from, _)| *from).min()?;
            in_force(&self.cards, earliest)
        };
        self.card_at(at).or_else(first)
    }
}

fn in_force<T>(all: &[(Timestamp, T)], at: Timestamp) -> Option<&T> {
    let begun = all.iter().filter(|(from, _)| *from <= at);
    // Of equal ones the last: that is what `max_by_key` takes.
    begun.max_by_key(|(from, _)| *from).map(|(_, what)| what)
}
