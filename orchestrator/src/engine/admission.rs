//! Who may start next. The rules are [`dagbook_events::admission`]'s: it is told of every run as
//! it now stands, and what it chooses is planned.
//!
//! A place whose attempt has ended is free for others once that end is recorded: were it given
//! away before, a crash in between would leave more attempts on record than there are places.
//! The same run may take it at once, for both facts then stand in one append.

use std::collections::BTreeMap;

use dagbook_events::admission::{Admission, Capacity, Line, Quota, RunDemand, Wait};
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::run::{Ask, Hold, Phase, Planning, RunCommand, UnitStatus};

use super::Engine;
use super::planted::Planted;
use super::runs::{Asked, RunSlot};

impl Engine {
    pub(super) fn set_pool(&mut self, name: &str, capacity: Capacity) {
        self.admission.set_pool(name, capacity);
    }

    pub(super) fn set_quota(&mut self, tenant: &TenantId, quota: Quota) {
        self.admission.set_quota(tenant, quota);
        self.fill_held_back();
    }

    pub(super) fn set_limits(&mut self, limits: Quota) {
        self.admission.set_site(limits);
        self.fill_held_back();
    }

    /// Tells admission how the run now stands: what it holds, and what of it could start.
    pub(super) fn line_up(&mut self, run: RunId) {
        let keeps = self.has_planted(Planted::SlotKept);
        let Some(slot) = self.runs.get_mut(&run) else { return };
        let is_busy = slot.is_busy();
        let state = &slot.state;
        let Some(submitted) = &state.submitted else { return };
        let keeps = keeps && state.cancel.is_some();
        slot.lines.resize(state.active.len(), Line::default());
        for (demand, line) in slot.lines.iter_mut().enumerate() {
            let may = !is_busy && !slot.turned_down && !is_short(&slot.short, demand);
            line.waits = may && state.next_due(demand).is_some();
            line.active = state.active[demand].max(if keeps { line.active } else { 0 });
        }
        // A run that another asked for is part of that one. `finally` is owed even to a run that
        // never began.
        let counts = submitted.parent.is_none();
        let is_owed = state.phase == Phase::Finalizing;
        let is_recorded = slot.open.is_empty() && !is_busy;
        if !self.money.is_empty() {
            self.money.update(run, &slot.tenant, state.held_nanos, is_recorded);
        }
        self.admission.update(&RunDemand {
            run,
            tenant: &slot.tenant,
            priority: state.plan.priority,
            order: u64::try_from(state.submitted_at.0).unwrap_or(0),
            has_begun: counts && state.has_begun,
            would_begin: counts && !state.has_begun && !is_owed,
            is_recorded,
            demands: &state.pools,
            lines: &slot.lines,
        });
    }

    /// Plans attempts until nobody who waits finds a place. The instant of a decision is that of
    /// the latest fact, for admission itself has no clock.
    pub(super) fn admit(&mut self) {
        if self.recovering {
            return;
        }
        while let Some(choice) = self.admission.decide() {
            let run = choice.run;
            self.decisions += 1;
            let Some(slot) = self.runs.get(&run) else { break };
            let demand = usize::from(choice.demand);
            let executor = slot.state.pools[demand].executor.clone();
            let place = self.places.get(&*executor).cloned();
            let class = self.classes.get(&*executor).cloned();
            let at = slot.state.updated_at.max(self.now);
            let next = slot.state.next_due(demand);
            let hold = match next {
                Some(unit) => self.put_aside(run, unit, class.as_deref().unwrap_or(&executor)),
                None => Ok(None),
            };
            let hold = match hold {
                Ok(hold) => hold,
                Err(hold) => {
                    self.keep_aside(run, choice.demand, hold);
                    continue;
                }
            };
            let planned = next.is_some_and(|unit| {
                let planning = Planning { place, class, hold };
                let command = RunCommand { at, ask: Ask::Plan(unit, planning) };
                self.decide(run, Asked::own(command))
            });
            if !planned && let Some(slot) = self.runs.get_mut(&run) {
                slot.turned_down = true;
                self.line_up(run);
            }
        }
    }

    /// What admission knows: pools, tenants, and what they hold.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Decisions that admission took so far.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Why a step of a run, or a child of it, waits for its place; none: it waits for none, or
    /// the run is not here or not the tenant's.
    pub fn waits(&self, tenant: &TenantId, run: RunId, step: &StepKey) -> Option<Wait> {
        let slot = self.runs.get(&run).filter(|slot| slot.tenant == *tenant)?;
        if let Some(wait) = self.waits_to_begin(slot) {
            return Some(wait);
        }
        let unit = slot.state.find(step)?;
        if slot.state.unit(unit).status != UnitStatus::Due {
            return None;
        }
        let demand = slot.state.step(unit.step).pool;
        let of_money = self.waits_for_money(slot, demand);
        of_money.or_else(|| self.admission.why(run, demand))
    }

    /// What waits for places, at most so much: whose it is, the run, which of its demands, why.
    pub fn all_waits(&self, most: usize) -> Vec<(TenantId, RunId, u16, Wait)> {
        let waiting = self.admission.waiting().filter_map(|(run, demand)| {
            let tenant = self.runs.get(&run)?.tenant.clone();
            Some((tenant, run, demand, self.admission.why(run, demand)?))
        });
        let outside = self.held_back().filter_map(|run| {
            let slot = self.runs.get(&run)?;
            Some((slot.tenant.clone(), run, 0, self.waits_to_begin(slot)?))
        });
        let for_money = self.all_aside().filter_map(|(tenant, run, demand)| {
            let wait = self.waits_for_money(self.runs.get(&run)?, demand)?;
            Some((tenant.clone(), run, demand, wait))
        });
        outside.chain(for_money).chain(waiting).take(most).collect()
    }

    /// Runs of the tenant that are here and not over, and those of all tenants.
    pub fn open_runs(&self, tenant: &TenantId) -> (u64, u64) {
        let is_open = |slot: &&RunSlot| !slot.state.is_finished();
        let open = self.runs.values().filter(is_open);
        open.fold((0, 0), |(own, all), slot| (own + u64::from(slot.tenant == *tenant), all + 1))
    }

    /// What is held of each pool, from the runs alone.
    pub fn held_by_fold(&self) -> BTreeMap<String, u64> {
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        for slot in self.runs.values() {
            for (demand, active) in slot.state.pools.iter().zip(&slot.state.active) {
                *held.entry(demand.executor.to_string()).or_default() += u64::from(*active);
            }
        }
        held
    }
}

fn is_short(short: &BTreeMap<u16, Hold>, demand: usize) -> bool {
    !short.is_empty() && u16::try_from(demand).is_ok_and(|demand| short.contains_key(&demand))
}
