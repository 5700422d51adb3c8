//! Who may start next: a pure choice over the runs that have something due and the places that
//! are free. Higher priority first, then the run that came first.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::ids::RunId;
use dagbook_events::run::{Ask, RunCommand, UnitRef};
use dagbook_events::time::Timestamp;

use super::Engine;
use super::runs::Asked;

/// Places of one executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Attempts at one time.
    pub slots: u32,
    /// Attempts that are planned and not at their end.
    pub taken: u32,
}

impl Pool {
    fn has_room(&self) -> bool {
        self.taken < self.slots
    }
}

/// Where a run stands in the queue: priority, then order.
pub(super) type Standing = (std::cmp::Reverse<i32>, u64, RunId);

/// Runs that have a unit which may start.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: BTreeSet<Standing>,
}

impl Waiting {
    pub(super) fn leave(&mut self, standing: Standing) {
        self.queue.remove(&standing);
    }
}

impl Engine {
    pub(super) fn set_pool(&mut self, name: String, slots: u32) {
        self.pools.entry(name).or_default().slots = slots;
    }

    /// Puts the run into the queue, or takes it out.
    pub(super) fn line_up(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        let wanted = (!slot.is_busy() && slot.state.has_due())
            .then(|| (std::cmp::Reverse(slot.state.plan.priority), slot.order, run));
        if slot.standing == wanted {
            return;
        }
        if let Some(old) = slot.standing.take() {
            self.waiting.queue.remove(&old);
        }
        if let Some(new) = wanted {
            slot.standing = Some(new);
            self.waiting.queue.insert(new);
        }
    }

    /// Plans attempts until nobody who waits finds a place.
    pub(super) fn admit(&mut self) {
        let standings: Vec<Standing> = self.waiting.queue.iter().copied().collect();
        for standing in standings {
            if !self.any_room() {
                return;
            }
            self.admit_run(standing.2);
        }
    }

    fn any_room(&self) -> bool {
        // A run may name an executor that has no pool: it gets its answer from the registry.
        self.pools.values().any(Pool::has_room) || self.pools.is_empty()
    }

    fn admit_run(&mut self, run: RunId) {
        while let Some((unit, at)) = self.next_unit(run) {
            let command = RunCommand { at, ask: Ask::Plan(unit) };
            self.decide(run, Asked { request: None, command });
        }
        self.line_up(run);
    }

    /// The next unit of the run that has a place, and the instant of the decision: that of the
    /// latest fact, for admission itself has no clock.
    fn next_unit(&self, run: RunId) -> Option<(UnitRef, Timestamp)> {
        let slot = self.runs.get(&run)?;
        if slot.is_busy() {
            return None;
        }
        let state = &slot.state;
        state.pools.iter().enumerate().find_map(|(pool, name)| {
            let room = self.pools.get(name).is_none_or(Pool::has_room);
            let unit = state.next_due(pool).filter(|_| room)?;
            Some((unit, state.updated_at.max(self.now)))
        })
    }

    /// Keeps `taken` equal to the sum over the runs.
    pub(super) fn recount(&mut self, pools: &[String], before: &[u32], after: &[u32]) {
        for (index, name) in pools.iter().enumerate() {
            let pool = self.pools.entry(name.clone()).or_insert(Pool { slots: u32::MAX, taken: 0 });
            pool.taken += after.get(index).copied().unwrap_or(0);
            pool.taken -= before.get(index).copied().unwrap_or(0);
        }
    }

    /// What `taken` must be, from the runs alone.
    pub fn taken_by_fold(&self) -> BTreeMap<String, u32> {
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        for slot in self.runs.values() {
            for (name, active) in slot.state.pools.iter().zip(&slot.state.active) {
                *taken.entry(name.clone()).or_default() += active;
            }
        }
        taken
    }
}
