//! Money that is put aside before an attempt is planned. The rules are
//! [`dagbook_events::admission::money`]'s: it is told of every run and every end of tenants with a
//! budget, and says whether one more attempt can be paid. Tenants without one are passed over by a
//! look into an empty map.
//!
//! What cannot be paid does not stand in line: it is kept aside, by priority and age, and lines up
//! again as soon as there may be room for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::admission::Wait;
use dagbook_events::admission::money::{Shape, Spent, Terms};
use dagbook_events::dag::Action;
use dagbook_events::ids::{AttemptId, RunId, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::run::{Ask, Hold, RunCommand, RunEvent, RunFact, UnitRef};
use dagbook_events::step::{Requested, StopCause};

use super::Engine;
use super::runs::RunSlot;

/// Who cancels what runs when a budget says so.
pub const BUDGET_ACTOR: &str = "budget";
/// Those kept aside that are looked at when there is room.
const LOOKED_AT: usize = 4_096;
/// Of these so many line up again in any case: what the first cannot use for want of a place the
/// others may.
const AT_LEAST: usize = 64;

/// What waits for money, of one tenant: by priority and age, with what would be put aside.
pub(super) type Aside = BTreeMap<(Reverse<i32>, u64, RunId, u16), i128>;

impl Engine {
    pub(super) fn set_terms(&mut self, tenant: &TenantId, terms: Arc<Terms>) {
        self.money.set_terms(tenant, terms, self.now);
        let own = self.runs.iter().filter(|(_, slot)| slot.tenant == *tenant);
        for run in own.map(|(run, _)| *run).collect::<Vec<_>>() {
            self.line_up(run);
        }
    }

    pub(super) fn set_spent(&mut self, tenant: &TenantId, spent: Spent) {
        self.money.set_spent(tenant, spent, self.now);
    }

    /// Who spent what and who holds what.
    pub fn money(&self) -> &dagbook_events::admission::money::Money {
        &self.money
    }

    /// Puts money aside for the next attempt at a unit.
    ///
    /// # Errors
    /// What it would have been, where it cannot be paid.
    pub(super) fn put_aside(
        &mut self,
        run: RunId,
        unit: UnitRef,
        class: &str,
    ) -> Result<Option<Hold>, Hold> {
        let Some(slot) = self.runs.get(&run).filter(|slot| self.money.watches(&slot.tenant)) else {
            return Ok(None);
        };
        let planned = slot.state.planned(unit.step);
        let Action::Task(task) = &planned.action else { return Ok(None) };
        let shape = Shape {
            executor: task.executor.clone(),
            class: class.to_string(),
            requested: Requested::of(&task.resources),
        };
        let facts = slot.state.facts();
        let step = (facts.pipeline.as_str(), planned.name.as_str());
        let timeout = planned.timeouts.attempt;
        let tenant = slot.tenant.clone();
        let Some(hold) = self.money.hold(&tenant, step, &shape, timeout, self.now) else {
            return Ok(None);
        };
        match self.money.afford(&tenant, hold, self.now) {
            Ok(()) => Ok(Some(hold)),
            Err(refused) => Err(refused.hold),
        }
    }

    /// The demand waits for money, and for nothing else until there may be room.
    pub(super) fn keep_aside(&mut self, run: RunId, demand: u16, hold: Hold) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        slot.short.insert(demand, hold);
        let key = place_of(slot, run, demand);
        let tenant = slot.tenant.clone();
        self.aside.entry(tenant).or_default().insert(key, hold.nanos.0);
        self.line_up(run);
    }

    /// What is kept aside of a run is forgotten: it is over, or something about it changed.
    pub(super) fn not_aside(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run).filter(|slot| !slot.short.is_empty()) else {
            return;
        };
        let demands = std::mem::take(&mut slot.short);
        let keys: Vec<_> = demands.keys().map(|demand| place_of(slot, run, *demand)).collect();
        let tenant = slot.tenant.clone();
        if let Some(aside) = self.aside.get_mut(&tenant) {
            for key in keys {
                aside.remove(&key);
            }
            if aside.is_empty() {
                self.aside.remove(&tenant);
            }
        }
    }

    /// Tells of ends that became durable.
    pub(super) fn settle_money(&mut self, tenant: &TenantId, facts: &[RunFact]) {
        if !self.money.watches(tenant) {
            return;
        }
        for fact in facts {
            match &fact.event {
                RunEvent::AttemptExited(e) => {
                    self.money.ended(tenant, e.attempt, &e.exit.usage, e.heard);
                }
                RunEvent::ReportStale(e) => {
                    if let Some(usage) = &e.usage {
                        self.money.ended(tenant, e.attempt, usage, e.heard);
                    }
                }
                _ => {}
            }
        }
    }

    /// After an input: what may have become possible lines up again, and what a budget does not
    /// let go on is cancelled.
    pub(super) fn money_moved(&mut self) {
        for tenant in self.money.take_moved() {
            self.line_up_again(&tenant);
            self.stop_for_money(&tenant);
        }
    }

    fn line_up_again(&mut self, tenant: &TenantId) {
        let Some(aside) = self.aside.get(tenant) else { return };
        let room = self.money.room(tenant);
        let mut left = room.unwrap_or(i128::MAX);
        let mut again = Vec::new();
        for (key, nanos) in aside.iter().take(LOOKED_AT) {
            if room.is_some_and(|room| *nanos > room) {
                continue;
            }
            if left <= 0 && again.len() >= AT_LEAST {
                break;
            }
            left = left.saturating_sub(*nanos);
            again.push(*key);
        }
        for key in again {
            let (_, _, run, demand) = key;
            if let Some(aside) = self.aside.get_mut(tenant) {
                aside.remove(&key);
            }
            if let Some(slot) = self.runs.get_mut(&run) {
                slot.short.remove(&demand);
            }
            self.line_up(run);
        }
        if self.aside.get(tenant).is_some_and(BTreeMap::is_empty) {
            self.aside.remove(tenant);
        }
    }

    fn stop_for_money(&mut self, tenant: &TenantId) {
        let Some(figures) = self.money.must_stop(tenant) else { return };
        let spent = figures.spent.unwrap_or(0);
        let reason = format!(
            "budget `{}` of {} is used up: {} spent, {} held for what runs",
            figures.name,
            figures.words(figures.budget),
            figures.words(spent),
            figures.words(figures.held),
        );
        let actor = Arc::new(Actor {
            kind: "system".to_string(),
            id: BUDGET_ACTOR.to_string(),
            on_behalf_of: None,
            token: None,
        });
        let runs = self.runs.iter().filter(|(_, slot)| {
            let state = &slot.state;
            slot.tenant == *tenant
                && state.submitted.is_some()
                && !state.is_finished()
                && state.cancel.is_none()
                && !state.live.is_empty()
        });
        for run in runs.map(|(run, _)| *run).collect::<Vec<_>>() {
            let ask =
                Ask::Cancel { cause: StopCause::Budget, reason: reason.clone(), force: false };
            let at = self.now;
            self.command(None, Some(actor.clone()), run, RunCommand { at, ask });
        }
    }

    /// Why a demand of a run waits for money, if it does.
    pub(super) fn waits_for_money(&self, slot: &RunSlot, demand: u16) -> Option<Wait> {
        let hold = slot.short.get(&demand)?;
        self.money.why(&slot.tenant, hold)
    }

    /// What waits for money: the run and its demand.
    pub(super) fn all_aside(&self) -> impl Iterator<Item = (&TenantId, RunId, u16)> + '_ {
        self.aside.iter().flat_map(|(tenant, aside)| {
            aside.keys().map(move |(_, _, run, demand)| (tenant, *run, *demand))
        })
    }

    /// Ends of a tenant's attempts that the record was not read to say yet.
    pub fn unseen_ends(&self, tenant: &TenantId) -> std::collections::BTreeSet<AttemptId> {
        self.money.unseen(tenant)
    }
}

fn place_of(slot: &RunSlot, run: RunId, demand: u16) -> (Reverse<i32>, u64, RunId, u16) {
    let order = u64::try_from(slot.state.submitted_at.0).unwrap_or(0);
    (Reverse(slot.state.plan.priority), order, run, demand)
}
