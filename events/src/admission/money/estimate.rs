//! What a plan may come to before it is run: a range by step, from how long its steps took before,
//! or what they ask for until their timeout where that is not known.

use std::collections::BTreeMap;

use super::figures::KNOWN_LEAST;
use super::price::{Shape, cost_of};
use super::terms::Terms;
use crate::dag::{Action, FanOut, Plan};
use crate::run::HoldBasis;
use crate::step::Requested;
use crate::time::{Millis, Timestamp};

/// How long attempts at a step took, in milliseconds, in any order.
pub type Times = BTreeMap<String, Vec<u64>>;

/// What a step may come to, for all its units together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEstimate {
    /// The step.
    pub step: String,
    /// Its units: itself, or the children that a matrix has.
    pub units: u64,
    /// The list that it fans out over is only known when it runs: this is for one item of it.
    pub is_per_item: bool,
    /// What the times rest on.
    pub basis: HoldBasis,
    /// Attempts that are known.
    pub known: u32,
    /// One unit, at the least and at the most: half of the known took no longer, and 95 of 100.
    pub ms: (Millis, Millis),
    /// Billionths of the currency's unit, at the least and at the most.
    pub nanos: (i128, i128),
}

/// What each step that runs something may come to, once and without retries, at the prices of an
/// instant. Steps that wait, ask or call other pipelines cost nothing themselves.
pub fn estimate(
    plan: &Plan,
    terms: &Terms,
    times: &Times,
    classes: &BTreeMap<String, String>,
    at: Timestamp,
) -> Vec<StepEstimate> {
    let of_step = |step: &crate::dag::PlannedStep| {
        let Action::Task(task) = &step.action else { return None };
        let (units, is_per_item) = match &step.fan_out {
            FanOut::None => (1, false),
            FanOut::Matrix(cells) => (cells.len() as u64, false),
            FanOut::ForEach(_) => (1, true),
        };
        let timeout = step.timeouts.attempt;
        let mut known = times.get(step.name.as_str()).cloned().unwrap_or_default();
        known.sort_unstable();
        let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let (basis, ms) = match count >= KNOWN_LEAST {
            true => {
                let part = |percent| Millis(of_hundred(&known, percent)).min(timeout);
                (HoldBasis::Recorded, (part(50), part(95)))
            }
            false => (HoldBasis::Timeout, (Millis(0), timeout)),
        };
        let class = classes.get(&task.executor).unwrap_or(&task.executor);
        let shape = Shape {
            executor: task.executor.clone(),
            class: class.clone(),
            requested: Requested::of(&task.resources),
        };
        let cost = |ms| cost_of(terms, &shape, ms, at).saturating_mul(i128::from(units));
        Some(StepEstimate {
            step: step.name.to_string(),
            units,
            is_per_item,
            basis,
            known: count,
            ms,
            nanos: (cost(ms.0), cost(ms.1)),
        })
    };
    plan.steps.iter().filter_map(of_step).collect()
}

/// So many of a hundred are no larger than this. Of none: 0.
pub(super) fn of_hundred(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
