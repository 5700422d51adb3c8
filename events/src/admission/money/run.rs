//! What a run came to so far, at the prices that budgets count with.

use std::collections::BTreeMap;

use super::price::{Shape, cost_of, ended_cost};
use super::terms::{Span, Terms};
use crate::billing::{Bill, RateCard};
use crate::dag::{Action, Plan};
use crate::ids::AttemptId;
use crate::run::event::AttemptPlanned;
use crate::run::{Heard, RunEvent, RunFact};
use crate::step::{Requested, Usage};
use crate::time::Timestamp;

/// What a run came to in one currency, in billionths of its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCost {
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// Of attempts that ended, and of those that were given up what is known.
    pub settled: i128,
    /// So far, of attempts that are not at their end.
    pub running: i128,
    /// How many these are.
    pub open: u32,
}

/// An attempt that is not at its end.
struct Open<'a> {
    planned: &'a AttemptPlanned,
    at: Timestamp,
    started: Option<Timestamp>,
}

/// What is known of the attempts of a run.
#[derive(Default)]
struct Known<'a> {
    open: BTreeMap<AttemptId, Open<'a>>,
    measured: BTreeMap<AttemptId, (&'a Usage, Heard)>,
    /// Given up, and nothing that is true was heard of them since.
    lost: BTreeMap<AttemptId, ()>,
    ended: BTreeMap<AttemptId, (Usage, Option<Heard>)>,
}

impl<'a> Known<'a> {
    fn take(&mut self, fact: &'a RunFact) {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                let open = Open { planned: e, at: fact.at, started: None };
                self.open.insert(e.attempt, open);
            }
            RunEvent::AttemptStarted(e) => {
                if let Some(open) = self.open.get_mut(&e.attempt) {
                    open.started = Some(fact.at);
                }
            }
            RunEvent::UsageCheckpoint(e) => {
                self.measured.insert(e.attempt, (&e.usage, e.heard));
            }
            RunEvent::AttemptExited(e) => {
                self.open.remove(&e.attempt);
                let measured = self.measured.remove(&e.attempt);
                let usage = &e.exit.usage;
                if usage.outcome != "lost" {
                    self.ended.insert(e.attempt, (usage.clone(), e.heard));
                    return;
                }
                self.lost.insert(e.attempt, ());
                // What was measured last counts, by the fault of the end.
                if let Some((last, heard)) = measured {
                    let last = Usage { fault: usage.fault, ..last.clone() };
                    self.ended.insert(e.attempt, (last, Some(heard)));
                }
            }
            RunEvent::ReportStale(e) => {
                if let Some(usage) = &e.usage
                    && self.lost.remove(&e.attempt).is_some()
                {
                    self.ended.insert(e.attempt, (usage.clone(), e.heard));
                }
            }
            _ => {}
        }
    }
}

/// What a run came to, by currency. Of attempts that go on counts what they came to until `now`;
/// where that is not known, nothing. Nothing at all where no card is in force.
pub fn run_cost(
    terms: &Terms,
    plan: &Plan,
    facts: &[RunFact],
    now: Option<Timestamp>,
) -> Vec<RunCost> {
    let mut known = Known::default();
    facts.iter().for_each(|fact| known.take(fact));
    let mut costs: Vec<RunCost> = Vec::new();
    if let Some(card) = facts.last().and_then(|last| terms.card_at(last.at)) {
        of_currency(&mut costs, card);
    }
    let always = Span { name: String::new(), start: Timestamp(i64::MIN), end: None };
    for (usage, heard) in known.ended.values() {
        if let Some(card) = terms.card_at(usage.allocated_ms) {
            let cost = ended_cost(terms, usage, heard.as_ref(), &always);
            let sum = of_currency(&mut costs, card);
            sum.settled = sum.settled.saturating_add(cost);
        }
    }
    for open in known.open.values() {
        if let Some(card) = terms.card_at(open.at) {
            let cost = now.map_or(0, |now| so_far(terms, plan, open, now));
            let sum = of_currency(&mut costs, card);
            sum.open += 1;
            sum.running = sum.running.saturating_add(cost);
        }
    }
    costs
}

fn of_currency<'a>(costs: &'a mut Vec<RunCost>, card: &RateCard) -> &'a mut RunCost {
    let found = costs.iter().position(|cost| cost.currency == card.currency);
    let at = found.unwrap_or_else(|| {
        costs.push(RunCost {
            currency: card.currency.clone(),
            exponent: card.exponent,
            settled: 0,
            running: 0,
            open: 0,
        });
        costs.len() - 1
    });
    &mut costs[at]
}

/// What an attempt came to until an instant.
fn so_far(terms: &Terms, plan: &Plan, open: &Open<'_>, now: Timestamp) -> i128 {
    let name = open.planned.step.split().0;
    let step = plan.steps.iter().find(|step| step.name.as_str() == name);
    let Some(Action::Task(task)) = step.map(|step| &step.action) else { return 0 };
    let begun = match terms.rules_at(open.at).map(|card| card.bill) {
        Some(Bill::Started) => open.started,
        Some(Bill::Allocated) | None => Some(open.at),
    };
    let Some(begun) = begun else { return 0 };
    let executor = open.planned.executor.clone();
    let class = open.planned.class.clone().unwrap_or_else(|| executor.clone());
    let shape = Shape { executor, class, requested: Requested::of(&task.resources) };
    cost_of(terms, &shape, now.since(begun), begun)
}
