//! Who may start next: a pure choice over the runs that have something due and the places that
//! are free. Higher priority first, then the run that came first.
//!
//! A place whose attempt has ended is free for others once that end is recorded: were it given
//! away before, a crash in between would leave more attempts on record than there are places.
//! The same run may take it at once, for both facts then stand in one append.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::ids::RunId;
use dagbook_events::run::{Ask, RunCommand, RunEvent, RunFact, RunState, UnitRef};
use dagbook_events::time::Timestamp;

use super::Engine;
use super::runs::{Asked, RunSlot};

/// Places of one executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Attempts at one time.
    pub slots: u32,
    /// Attempts that are planned and whose end is not recorded.
    pub taken: u32,
    /// Of these, the ones whose end is decided and on its way to the store.
    pub ending: u32,
}

impl Pool {
    fn has_room(&self) -> bool {
        self.taken < self.slots
    }
}

/// Where a run stands in the queue: priority, then order.
type Standing = (std::cmp::Reverse<i32>, u64, RunId);

/// For each pool the runs that have a unit which may start there.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: BTreeMap<String, BTreeSet<Standing>>,
}

impl Waiting {
    fn set(&mut self, pool: &str, standing: Standing, waits: bool) {
        match (self.queues.get_mut(pool), waits) {
            (Some(queue), true) => drop(queue.insert(standing)),
            (Some(queue), false) => drop(queue.remove(&standing)),
            (None, true) => drop(self.queues.insert(pool.to_string(), [standing].into())),
            (None, false) => {}
        }
    }

    fn first(&self, pool: &str) -> Option<RunId> {
        self.queues.get(pool)?.first().map(|standing| standing.2)
    }
}

/// Places of a run in one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    taken: u32,
    ending: u32,
}

/// Places of a run by pool.
pub(super) fn held(slot: &RunSlot) -> Vec<Held> {
    let active = slot.state.active.iter().zip(0usize..);
    let ending = |pool: usize| slot.ending.get(pool).copied().unwrap_or(0);
    active.map(|(n, pool)| Held { taken: n + ending(pool), ending: ending(pool) }).collect()
}

impl Engine {
    pub(super) fn set_pool(&mut self, name: String, slots: u32) {
        self.pools.entry(name).or_default().slots = slots;
    }

    /// Puts the run into the queues of the pools where it has something due, or takes it out.
    pub(super) fn line_up(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        let standing = (std::cmp::Reverse(slot.state.plan.priority), slot.order, run);
        let free = !slot.is_busy();
        let waits: Vec<bool> = (0..slot.state.pools.len())
            .map(|pool| free && slot.state.next_due(pool).is_some())
            .collect();
        for (pool, name) in slot.state.pools.iter().enumerate() {
            if slot.waits.get(pool).copied().unwrap_or(false) != waits[pool] {
                self.waiting.set(name, standing, waits[pool]);
            }
        }
        slot.waits = waits;
    }

    /// Takes the run out of every queue.
    pub(super) fn stand_down(&mut self, run: RunId, slot: &RunSlot) {
        let standing = (std::cmp::Reverse(slot.state.plan.priority), slot.order, run);
        for name in slot.state.pools.iter() {
            self.waiting.set(name, standing, false);
        }
    }

    /// Plans attempts until nobody who waits finds a place.
    pub(super) fn admit(&mut self) {
        if self.recovering {
            return;
        }
        let names: Vec<String> = self.waiting.queues.keys().cloned().collect();
        for name in names {
            while let Some((run, unit, at)) = self.next_for(&name) {
                let command = RunCommand { at, ask: Ask::Plan(unit) };
                let accepted = self.decide(run, Asked { request: None, command });
                self.line_up(run);
                if !accepted {
                    break;
                }
            }
        }
    }

    /// The next unit that gets a place of the pool, and the instant of the decision: that of the
    /// latest fact, for admission itself has no clock.
    fn next_for(&self, name: &str) -> Option<(RunId, UnitRef, Timestamp)> {
        let run = self.waiting.first(name)?;
        let slot = self.runs.get(&run)?;
        let pool = slot.state.pools.iter().position(|pool| pool == name)?;
        // A run may name an executor that has no pool: it gets its answer from the registry.
        let free = self.pools.get(name).is_none_or(|all| {
            let own = slot.ending.get(pool).copied().unwrap_or(0);
            all.has_room() || all.taken - own < all.slots
        });
        let unit = slot.state.next_due(pool).filter(|_| free)?;
        Some((run, unit, slot.state.updated_at.max(self.now)))
    }

    /// Keeps the pools equal to the sum over the runs.
    pub(super) fn recount(&mut self, state: &[String], before: &[Held], after: &[Held]) {
        for (index, name) in state.iter().enumerate() {
            let of = |held: &[Held]| held.get(index).copied().unwrap_or_default();
            let (old, new) = (of(before), of(after));
            if old == new {
                continue;
            }
            let unbounded = Pool { slots: u32::MAX, ..Pool::default() };
            let pool = self.pools.entry(name.clone()).or_insert(unbounded);
            pool.taken = pool.taken + new.taken - old.taken;
            pool.ending = pool.ending + new.ending - old.ending;
        }
    }

    /// What `taken` must be, from the runs alone.
    pub fn taken_by_fold(&self) -> BTreeMap<String, u32> {
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        for slot in self.runs.values() {
            for (name, held) in slot.state.pools.iter().zip(held(slot)) {
                *taken.entry(name.clone()).or_default() += held.taken;
            }
        }
        taken
    }
}

/// Keeps count of ends that are decided and not recorded. An attempt planned in the same append
/// takes such a place over.
pub(super) fn note_ends(state: &RunState, facts: &[RunFact], ending: &mut Vec<u32>) {
    ending.resize(state.pools.len(), 0);
    let pool_of = |key| state.find(key).map(|unit| usize::from(state.step(unit.step).pool));
    for fact in facts {
        match &fact.event {
            RunEvent::AttemptExited(e) => {
                if let Some(pool) = pool_of(&e.step) {
                    ending[pool] += 1;
                }
            }
            RunEvent::AttemptPlanned(e) => {
                if let Some(pool) = pool_of(&e.step) {
                    ending[pool] = ending[pool].saturating_sub(1);
                }
            }
            _ => {}
        }
    }
}
