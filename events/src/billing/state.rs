//! The fold of a tenant's stream `billing`.

use std::collections::BTreeMap;

use super::{
    BillingEvent, BudgetSet, CardAdopted, ContractPublished, CreditNoteIssued, PeriodClosed,
    PeriodOpened, exponent_of,
};
use crate::aggregate::Aggregate;
use crate::time::Timestamp;

/// Prices, periods and budgets of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Billing {
    /// Cards that were given to it, in the order recorded.
    pub cards: Vec<CardAdopted>,
    /// Its contracts, in the order recorded.
    pub contracts: Vec<ContractPublished>,
    /// Its periods: one begins where the other ends.
    pub periods: Vec<Period>,
    /// Its credit notes.
    pub credit_notes: Vec<CreditNoteIssued>,
    /// Its budgets by name.
    pub budgets: BTreeMap<String, BudgetSet>,
}

/// A period, and its closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// As it was opened.
    pub opened: PeriodOpened,
    /// As it was closed.
    pub closed: Option<PeriodClosed>,
    /// When that was recorded.
    pub closed_at: Option<Timestamp>,
    /// Why it was closed before its grace was over.
    pub waived: Option<String>,
}

impl Period {
    /// From when on it may be closed.
    pub fn due(&self) -> Timestamp {
        self.opened.end + self.opened.grace_ms
    }
}

impl Aggregate for Billing {
    type Event = BillingEvent;

    fn apply(&mut self, at: Timestamp, event: &BillingEvent) {
        match event {
            BillingEvent::CardAdopted(it) => self.cards.push(it.clone()),
            BillingEvent::ContractPublished(it) => self.contracts.push(it.clone()),
            BillingEvent::PeriodOpened(it) => self.periods.push(Period {
                opened: it.clone(),
                closed: None,
                closed_at: None,
                waived: None,
            }),
            BillingEvent::GraceWaived(it) => {
                if let Some(period) = self.period_mut(&it.period) {
                    period.waived = Some(it.reason.clone());
                }
            }
            BillingEvent::PeriodClosed(it) => {
                if let Some(period) = self.period_mut(&it.period) {
                    period.closed = Some(it.clone());
                    period.closed_at = Some(at);
                }
            }
            BillingEvent::CreditNoteIssued(it) => self.credit_notes.push(it.clone()),
            BillingEvent::BudgetSet(it) => {
                self.budgets.insert(it.name.clone(), it.clone());
            }
            BillingEvent::BudgetRemoved(it) => {
                self.budgets.remove(&it.name);
            }
        }
    }
}

impl Billing {
    fn period_mut(&mut self, name: &str) -> Option<&mut Period> {
        self.periods.iter_mut().find(|period| period.opened.period == name)
    }

    /// A period by its name.
    pub fn period(&self, name: &str) -> Option<&Period> {
        self.periods.iter().find(|period| period.opened.period == name)
    }

    /// A closed period by the number of its invoice.
    pub fn invoiced(&self, number: &str) -> Option<(&Period, &PeriodClosed)> {
        let closed = self.periods.iter().filter_map(|it| Some((it, it.closed.as_ref()?)));
        closed.into_iter().find(|(_, closed)| closed.number == number)
    }

    /// The period that is next to be closed.
    pub fn first_open(&self) -> Option<&Period> {
        self.periods.iter().find(|period| period.closed.is_none())
    }

    /// Where the last closed period ends: nothing before that changes.
    pub fn settled_until(&self) -> Option<Timestamp> {
        let closed = self.periods.iter().rev().find(|period| period.closed.is_some());
        closed.map(|period| period.opened.end)
    }

    /// The name of the card that the tenant has.
    pub fn card_name(&self) -> Option<&str> {
        self.cards.last().map(|adopted| adopted.card.name.as_str())
    }

    /// The one currency of the tenant, and the digits of its minor unit.
    pub fn currency(&self) -> Option<(&str, u8)> {
        let cards = self.cards.first().map(|it| (it.card.currency.as_str(), it.card.exponent));
        let contracts =
            self.contracts.first().map(|it| (it.contract.currency.as_str(), it.contract.exponent));
        let periods =
            self.periods.first().map(|it| (it.opened.currency.as_str(), it.opened.exponent));
        let budgets = self.budgets.values().next().and_then(|budget| {
            exponent_of(&budget.currency).map(|exponent| (budget.currency.as_str(), exponent))
        });
        cards.or(contracts).or(periods).or(budgets)
    }

    /// Closings so far: invoices are numbered by them.
    pub fn closings(&self) -> usize {
        self.periods.iter().filter(|period| period.closed.is_some()).count()
    }
}
