//! What the engine holds and what waits in it, in numbers, for whoever asks now and then.

use std::collections::BTreeMap;

use dagbook_events::ids::TenantId;
use dagbook_events::run::{Phase, RunState, StepBody};
use dagbook_events::time::Timestamp;

use super::Engine;

/// Numbers of an engine at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineFigures {
    /// Runs that are not over, by tenant and state: `queued`, `running`, `paused`, `stopping` or
    /// `finalizing`.
    pub runs: BTreeMap<(TenantId, &'static str), u64>,
    /// What waits for a place, by tenant and pool.
    pub queues: BTreeMap<(TenantId, String), QueueFigures>,
    /// Places of each pool, where they are bounded, and how many are taken.
    pub pools: BTreeMap<String, (Option<u32>, u64)>,
    /// Budgets by tenant and name: what part of each is spent or held, in thousandths; those whose
    /// spending is not known yet are left out.
    pub budgets: BTreeMap<(TenantId, String), u64>,
    /// Decisions of admission since this engine began.
    pub decisions: u64,
}

/// What waits for a place in one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueFigures {
    /// Steps and children.
    pub depth: u64,
    /// Since when the first of them has waited.
    pub oldest: Option<Timestamp>,
}

impl Engine {
    /// The numbers now. Walks over the runs and over their steps that are due.
    pub fn figures(&self) -> EngineFigures {
        let mut figures = EngineFigures::default();
        for slot in self.runs.values() {
            let state = &slot.state;
            let Some(submitted) = &state.submitted else { continue };
            if let Some(word) = word(state) {
                *figures.runs.entry((submitted.tenant.clone(), word)).or_default() += 1;
            }
            if state.blocked().is_some() {
                continue;
            }
            for (pool, demand) in state.pools.iter().enumerate() {
                let waits = waits(state, pool);
                if waits.depth > 0 {
                    let key = (submitted.tenant.clone(), demand.executor.to_string());
                    let queue = figures.queues.entry(key).or_default();
                    queue.depth += waits.depth;
                    queue.oldest = earlier(queue.oldest, waits.oldest);
                }
            }
        }
        for pool in self.admission.pool_figures() {
            let taken = (pool.capacity.places, pool.live.attempts);
            figures.pools.insert(pool.name.to_string(), taken);
        }
        for tenant in self.money.tenants() {
            for budget in self.money.figures(tenant) {
                let Some(left) = budget.left() else { continue };
                let used = budget.budget.saturating_sub(left).max(0);
                let part = match budget.budget {
                    ..=0 => 1_000,
                    all => used.saturating_mul(1_000) / all,
                };
                let part = u64::try_from(part).unwrap_or(u64::MAX);
                figures.budgets.insert((tenant.clone(), budget.name), part);
            }
        }
        figures.decisions = self.decisions;
        figures
    }
}

fn word(state: &RunState) -> Option<&'static str> {
    Some(match state.phase {
        Phase::Unborn | Phase::Finished(_) => return None,
        Phase::Queued => "queued",
        Phase::Finalizing => "finalizing",
        Phase::Running if state.cancel.is_some() => "stopping",
        Phase::Running if state.paused => "paused",
        Phase::Running => "running",
    })
}

fn waits(state: &RunState, pool: usize) -> QueueFigures {
    let mut all = QueueFigures::default();
    for step in state.due.get(pool).into_iter().flatten() {
        let (depth, oldest) = match &state.step(*step).body {
            StepBody::Single(unit) => (1, Some(unit.since)),
            StepBody::FanOut(fan) => {
                let new = match fan.staged {
                    true => 0,
                    false => (fan.children.len() as u64).saturating_sub(u64::from(fan.next)),
                };
                let again = fan.again.iter().filter_map(|child| fan.children.get(*child as usize));
                let again = again.map(|unit| unit.since).min();
                let new_since = (new > 0).then_some(fan.since);
                (new + fan.again.len() as u64, earlier(new_since, again))
            }
        };
        all.depth += depth;
        all.oldest = earlier(all.oldest, oldest);
    }
    all
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
