//! A tenant with a budget: what it was told to spend, who reads the record for it, and what must
//! be true of its money whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook::engine::Input;
use dagbook_events::admission::money::{Spending, Spent, Terms, ended_cost};
use dagbook_events::aggregate::Aggregate as _;
use dagbook_events::billing::{
    Bill, BillFaults, BillingEvent, BudgetAction, BudgetSet, CardAdopted, Clock, Match, Meter,
    Price, RateCard, Rounding, Step, TierKind, Tiers, Whole,
};
use dagbook_events::codec::run::encode;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{AttemptId, RunId, TenantId};
use dagbook_events::run::{RunEvent, RunFact};
use dagbook_events::time::{Millis, Timestamp};

use super::people::tenant;
use super::rng::Rng;
use super::world::{Check, Delivery, EPOCH_MS, World};

/// Which tenant has one, in the seeds in which one has.
const WHOSE: usize = 1;
/// A day, which is the timeout of a step that says nothing, at one nano-unit a millisecond.
const DAY: i128 = 86_400_000;

/// A tenant's budget, and what the record says of it.
pub(super) struct Budgeted {
    pub(super) tenant: TenantId,
    pub(super) terms: Arc<Terms>,
    action: BudgetAction,
    /// As the reader of the record has it.
    spending: Spending,
    /// Holds of attempts whose end is not recorded.
    held: BTreeMap<AttemptId, i128>,
    /// What ended attempts came to, but no more than was held for each.
    spent: i128,
    budget: i128,
}

impl Budgeted {
    /// In two seeds of three there is one.
    pub(super) fn new(rng: &mut Rng) -> Option<Self> {
        let action = match rng.below(6) {
            0 | 1 => return None,
            2 => BudgetAction::Warn,
            3 => BudgetAction::Stop,
            _ => BudgetAction::HoldNew,
        };
        let budget = DAY * i128::from(rng.between(1, 6)) + 1_000_000;
        let mut terms = Terms::default();
        terms.apply(Timestamp(EPOCH_MS), &card());
        terms.apply(Timestamp(EPOCH_MS), &set(budget, action));
        let terms = Arc::new(terms);
        let spending = Spending::new(Arc::clone(&terms), terms.span_at(Timestamp(EPOCH_MS)));
        let held = BTreeMap::new();
        Some(Self { tenant: tenant(WHOSE), terms, action, spending, held, spent: 0, budget })
    }

    /// People pay more: nothing is held back any more.
    fn raise(&mut self) {
        let mut terms = (*self.terms).clone();
        self.budget = i128::from(i64::MAX);
        terms.apply(Timestamp(EPOCH_MS), &set(self.budget, BudgetAction::HoldNew));
        (self.terms, self.action) = (Arc::new(terms), BudgetAction::HoldNew);
    }

    /// A fact was recorded for a run of the tenant.
    pub(super) fn recorded(&mut self, run: RunId, fact: &RunFact) -> Check {
        match &fact.event {
            RunEvent::AttemptPlanned(e) => {
                let Some(hold) = e.hold else {
                    return Err(format!("money: nothing is held for attempt {}", e.attempt));
                };
                let held: i128 = self.held.values().sum();
                let all = self.spent + held + hold.nanos.0;
                if self.action != BudgetAction::Warn && all > self.budget {
                    return Err(format!(
                        "money: attempt {} makes it {all} of {}: {} spent, {held} held",
                        e.attempt, self.budget, self.spent
                    ));
                }
                self.held.insert(e.attempt, hold.nanos.0);
            }
            RunEvent::AttemptExited(e) => {
                let Some(held) = self.held.remove(&e.attempt) else {
                    return Err(format!("money: attempt {} ended and held nothing", e.attempt));
                };
                let heard = e.heard.as_ref();
                let span = self.spending.span();
                self.spent += ended_cost(&self.terms, &e.exit.usage, heard, span).min(held);
            }
            _ => {}
        }
        if let Ok(encoded) = encode(&fact.event)
            && let Ok(data) = std::str::from_utf8(&encoded.data)
        {
            self.spending.take(run, encoded.kind, data);
        }
        Ok(())
    }
}

/// One nano-unit a millisecond, in a currency whose minor unit is one.
fn card() -> BillingEvent {
    let step = Step { price_nanos: Whole(1), up_to: None };
    let price = Price {
        sku: "runner".to_string(),
        meter: Meter::RunnerMs,
        matches: Match::default(),
        per: Whole(1),
        tiers: Tiers { kind: TierKind::Flat, steps: vec![step] },
    };
    let card = RateCard {
        name: "sim".to_string(),
        version: 1,
        currency: "XTS".to_string(),
        exponent: 9,
        bill: Bill::Allocated,
        clock: Clock::Executor,
        bill_faults: BillFaults { infra: false, policy: true, user: true },
        minimum_ms: Millis(0),
        increment_ms: Millis(1),
        rounding: Rounding::HalfEven,
        prices: vec![price],
    };
    BillingEvent::CardAdopted(CardAdopted {
        card,
        effective_from: Timestamp(0),
        sha256: Sha256Digest([0; 32]),
        source: String::new(),
    })
}

fn set(minor: i128, on_exceed: BudgetAction) -> BillingEvent {
    let (name, currency) = ("all".to_string(), "XTS".to_string());
    BillingEvent::BudgetSet(BudgetSet { name, minor: Whole(minor), currency, on_exceed })
}

impl World {
    /// What the engine is told before it takes anything over.
    pub(super) fn terms(&self) -> Option<Input> {
        let budgeted = self.store.budgeted.as_ref()?;
        let (tenant, terms) = (budgeted.tenant.clone(), Arc::clone(&budgeted.terms));
        Some(Input::Terms { tenant, terms, at: self.wall() })
    }

    /// Whoever reads the record first asks what of it was not read yet.
    pub(super) fn ask_spent(&mut self) {
        let (Some(engine), Some(budgeted)) = (&self.engine, &self.store.budgeted) else { return };
        let seen = engine.unseen_ends(&budgeted.tenant);
        let after = self.chance.money.delay();
        self.later(after, Delivery::TellSpent(self.life, seen));
    }

    /// Then reads it to its end, says what was spent, and comes again.
    pub(super) fn tell_spent(&mut self, seen: std::collections::BTreeSet<AttemptId>) -> Check {
        let at = self.wall();
        let Some(budgeted) = &mut self.store.budgeted else { return Ok(()) };
        let spent = Spent {
            since: budgeted.spending.span().start,
            nanos: budgeted.spending.nanos(),
            seen,
            typical: Vec::new(),
        };
        let tenant = budgeted.tenant.clone();
        self.coverage.mark("spending read");
        self.feed(Input::Spent { tenant, spent, at })?;
        if self.faults {
            let after = self.chance.money.between(500, 5_000);
            self.later(after, Delivery::AskSpent(self.life));
        }
        Ok(())
    }

    /// Faults stop, and nobody waits for money any more.
    pub(super) fn raise_budget(&mut self) -> Check {
        let Some(budgeted) = &mut self.store.budgeted else { return Ok(()) };
        budgeted.raise();
        match self.terms() {
            Some(terms) => self.feed(terms),
            None => Ok(()),
        }
    }

    /// After every input: each open attempt of the tenant holds what was put aside for it, no ended
    /// one does, and nobody else holds anything.
    pub(super) fn money(&self) -> Check {
        if let Some(broken) = &self.store.broken {
            return Err(broken.clone());
        }
        let (Some(engine), Some(budgeted)) = (&self.engine, &self.store.budgeted) else {
            return Ok(());
        };
        let mut peaks = 0;
        for (run, live, peak) in engine.money().held_by_run() {
            let Some(state) = engine.run(run) else {
                return Err(format!("money: run {run} is gone and holds {peak}"));
            };
            if state.facts().tenant != budgeted.tenant {
                return Err(format!("money: run {run} of a tenant without a budget holds {peak}"));
            }
            if live != state.held_nanos || peak < live {
                return Err(format!(
                    "money: run {run} holds {}, the book has {live} and at most {peak}",
                    state.held_nanos
                ));
            }
            if engine.is_settled() && !engine.is_reading() && peak != live {
                return Err(format!("money: run {run} leaks: {peak} held, {live} live"));
            }
            peaks += peak;
        }
        for figures in engine.money().figures(&budgeted.tenant) {
            if figures.held != peaks {
                return Err(format!("money: {} held, the runs hold {peaks}", figures.held));
            }
        }
        Ok(())
    }

    /// When nothing is under way: what the engine holds is what the record says.
    pub(super) fn money_when_quiet(&mut self) -> Check {
        let (Some(engine), Some(budgeted)) = (&self.engine, &self.store.budgeted) else {
            return Ok(());
        };
        let recorded: i128 = budgeted
            .held
            .iter()
            .map(|(attempt, held)| {
                let run = self.store.planned[attempt].0;
                let note = engine.run(run).and_then(|state| state.notes.get(attempt));
                note.map_or(*held, dagbook_events::run::AttemptNote::held)
            })
            .sum();
        for figures in engine.money().figures(&budgeted.tenant) {
            let is_stale = |run: &RunId| {
                engine.run(*run).is_none_or(|state| {
                    state.version != self.store.runs.get(run).map_or(0, |facts| facts.len() as u64)
                })
            };
            if figures.held != recorded && !self.store.unfinished().iter().any(is_stale) {
                return Err(format!("money: {} held, on record {recorded}", figures.held));
            }
            let waits = engine.all_waits(usize::MAX);
            if waits.iter().any(|wait| wait.3.code == "budget") {
                self.coverage.mark("held for money");
            }
        }
        Ok(())
    }
}
