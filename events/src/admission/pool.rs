//! Pools: places of an executor with what they have to give, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amounts::{Amounts, Need};
use super::share::{Ranks, SCALE};
use crate::ids::RunId;

/// What an executor has to give. What is not said is not bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Attempts at one time.
    pub places: Option<u32>,
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// GPUs by model; an empty map has none.
    pub gpus: Option<BTreeMap<Arc<str>, u32>>,
}

/// A bound that stands in the way of a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    /// What is short: `places`, `cpu_milli`, `memory_bytes` or `gpus`.
    pub what: &'static str,
    /// What is taken.
    pub taken: u64,
    /// What there is.
    pub bound: u64,
    /// What is asked for.
    pub asked: u64,
}

impl Capacity {
    /// So many places, and nothing else that is bounded.
    pub fn places(places: u32) -> Self {
        Self { places: Some(places), ..Self::default() }
    }

    /// What stands in the way of one more attempt beside what is used.
    pub fn short_of(&self, used: &Amounts, need: &Need) -> Option<Short> {
        let short = |what, taken: u64, bound: Option<u64>, asked: u64| {
            let bound = bound.filter(|bound| taken.saturating_add(asked) > *bound)?;
            (asked > 0).then_some(Short { what, taken, bound, asked })
        };
        short("places", used.attempts, self.places.map(u64::from), 1)
            .or_else(|| short("cpu_milli", used.cpu_milli, self.cpu_milli, need.cpu_milli))
            .or_else(|| {
                short("memory_bytes", used.memory_bytes, self.memory_bytes, need.memory_bytes)
            })
            .or_else(|| {
                let gpus = self.gpus.as_ref().filter(|_| need.gpus > 0)?;
                let asked = u64::from(need.gpus);
                let all = gpus.values().map(|n| u64::from(*n)).sum();
                let model = need.gpu_model.as_deref();
                let of_model = model.and_then(|model| {
                    let bound = gpus.get(model).copied().map_or(0, u64::from);
                    short("gpus", used.of_model(model), Some(bound), asked)
                });
                of_model.or_else(|| short("gpus", used.gpus, Some(all), asked))
            })
    }

    /// Whether one attempt of the need fits when nothing else is there.
    pub fn could_take(&self, need: &Need) -> bool {
        self.short_of(&Amounts::default(), need).is_none()
    }

    /// The largest part that the amounts are of anything that the pool gives, in [`SCALE`]ths.
    pub fn dominant(&self, amounts: &Amounts) -> u64 {
        let part = |used: u64, bound: Option<u64>| match bound {
            _ if used == 0 => 0,
            None => 0,
            Some(0) => SCALE,
            Some(bound) => {
                let part = u128::from(used) * u128::from(SCALE) / u128::from(bound);
                u64::try_from(part).unwrap_or(u64::MAX).min(SCALE * 16)
            }
        };
        let mut most = part(amounts.attempts, self.places.map(u64::from));
        most = most.max(part(amounts.cpu_milli, self.cpu_milli));
        most = most.max(part(amounts.memory_bytes, self.memory_bytes));
        if let Some(gpus) = &self.gpus {
            let all = gpus.values().map(|n| u64::from(*n)).sum();
            most = most.max(part(amounts.gpus, Some(all)));
            for (model, used) in &amounts.models {
                most = most.max(part(*used, gpus.get(model).copied().map(u64::from)));
            }
        }
        most
    }
}

/// Tenants that wait for a place of one size. Those of runs that count already stand apart from
/// those of runs that would begin to count, for a bound on running runs holds the latter back.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) begun: Ranks,
    pub(super) fresh: Ranks,
}

impl Lane {
    pub(super) fn of(&mut self, fresh: bool) -> &mut Ranks {
        if fresh { &mut self.fresh } else { &mut self.begun }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.fresh.is_empty()
    }
}

/// A pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) name: Arc<str>,
    pub(super) capacity: Capacity,
    /// What the record may show as held, and what is held.
    pub(super) used: Amounts,
    pub(super) live: Amounts,
    /// Who waits, by size.
    pub(super) lanes: BTreeMap<Need, Lane>,
    /// Sum of the weights of tenants of which something may start as far as they are concerned.
    pub(super) weight: u64,
    /// Sum of the dominant parts of the others.
    pub(super) idle: u128,
    /// Where those begin who come to wait: the pass of the one that was served last.
    pub(super) pass: u128,
    /// The one for which everything that becomes free is kept.
    pub(super) kept_for: Option<(RunId, u16)>,
    /// Tenants that hold or wait.
    pub(super) tenants: BTreeSet<u32>,
}

impl Pool {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, ..Self::default() }
    }

    /// The share that each tenant that waits would have if all had the same for their weight.
    pub(super) fn level(&self) -> u64 {
        let idle = u64::try_from(self.idle).unwrap_or(u64::MAX);
        let left = SCALE.saturating_sub(idle);
        match self.weight {
            0 => 0,
            weight => left.saturating_mul(100) / weight,
        }
    }
}
