//! What the record says a tenant spent in a span of time: a fold of its log, leaf by leaf.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::Deserialize;

use super::estimate::of_hundred;
use super::figures::Typical;
use super::price::ended_cost;
use super::terms::{Span, Terms};
use crate::ids::{AttemptId, RunId};
use crate::run::Heard;
use crate::step::Usage;
use crate::time::Millis;

/// Runs whose pipeline is remembered, at most.
const RUNS_MAX: usize = 100_000;
/// Lost attempts whose late truth is waited for, at most.
const LOST_MAX: usize = 10_000;
/// Steps whose times are remembered, at most, and how many of each.
const STEPS_MAX: usize = 4_096;
const TIMES_MAX: usize = 64;

/// What was spent, read so far.
#[derive(Debug, Clone)]
pub struct Spending {
    terms: Arc<Terms>,
    span: Span,
    nanos: i128,
    /// Of attempts whose end is not known.
    measured: BTreeMap<AttemptId, Of>,
    /// What was counted for those that were given up.
    lost: BTreeMap<AttemptId, i128>,
    pipelines: BTreeMap<RunId, Arc<str>>,
    times: BTreeMap<(Arc<str>, String), VecDeque<u64>>,
    changed: BTreeSet<(Arc<str>, String)>,
}

/// What all leaves with usage have.
#[derive(Debug, Clone, Deserialize)]
struct Of {
    step: String,
    attempt: AttemptId,
    usage: Usage,
    #[serde(default)]
    heard: Option<Heard>,
}

#[derive(Deserialize)]
struct OfPipeline {
    pipeline: String,
}

impl Spending {
    /// Nothing is read yet.
    pub fn new(terms: Arc<Terms>, span: Span) -> Self {
        Self {
            terms,
            span,
            nanos: 0,
            measured: BTreeMap::new(),
            lost: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            times: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The time that it is about.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Billionths of the currency's unit.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// How long attempts at steps take, where that changed since it was asked last: by pipeline
    /// and step.
    pub fn take_typical(&mut self) -> Vec<(String, String, Typical)> {
        let changed = std::mem::take(&mut self.changed);
        let told = changed.into_iter().filter_map(|key| {
            let mut times: Vec<u64> = self.times.get(&key)?.iter().copied().collect();
            times.sort_unstable();
            let p95 = of_hundred(&times, 95);
            let known = u32::try_from(times.len()).unwrap_or(u32::MAX);
            Some((key.0.to_string(), key.1, Typical { p95: Millis(p95), known }))
        });
        told.collect()
    }

    /// Takes in a leaf of a run: its type and data. What says nothing of usage is passed over, and
    /// so is what does not have the shape of its type: the bill finds that, a budget need not.
    pub fn take(&mut self, run: RunId, kind: &str, data: &str) {
        match kind {
            "run.submitted" => {
                if let Ok(of) = serde_json::from_str::<OfPipeline>(data) {
                    if self.pipelines.len() >= RUNS_MAX {
                        self.pipelines.pop_first();
                    }
                    self.pipelines.insert(run, Arc::from(of.pipeline));
                }
            }
            "run.finished" => drop(self.pipelines.remove(&run)),
            "usage.checkpoint" => {
                if let Ok(of) = serde_json::from_str::<Of>(data) {
                    self.measured.insert(of.attempt, of);
                }
            }
            "attempt.exited" => {
                if let Ok(of) = serde_json::from_str::<Of>(data) {
                    self.ended(run, &of);
                }
            }
            "report.stale" => {
                if let Ok(of) = serde_json::from_str::<Of>(data)
                    && let Some(counted) = self.lost.remove(&of.attempt)
                {
                    self.nanos += self.cost(&of) - counted;
                }
            }
            _ => {}
        }
    }

    fn cost(&self, of: &Of) -> i128 {
        ended_cost(&self.terms, &of.usage, of.heard.as_ref(), &self.span)
    }

    fn ended(&mut self, run: RunId, of: &Of) {
        let measured = self.measured.remove(&of.attempt);
        if of.usage.outcome == "lost" {
            // Of one that was given up counts what was measured last, by the fault of its end.
            let cost = measured.map_or(0, |mut last| {
                last.usage.fault = of.usage.fault;
                self.cost(&last)
            });
            self.nanos += cost;
            if self.lost.len() >= LOST_MAX {
                self.lost.pop_first();
            }
            self.lost.insert(of.attempt, cost);
            return;
        }
        self.nanos += self.cost(of);
        if matches!(of.usage.outcome.as_str(), "succeeded" | "failed")
            && let Some(pipeline) = self.pipelines.get(&run)
        {
            let step = of.step.split_once('[').map_or(of.step.as_str(), |(step, _)| step);
            let key = (Arc::clone(pipeline), step.to_string());
            if self.times.len() >= STEPS_MAX && !self.times.contains_key(&key) {
                return;
            }
            let times = self.times.entry(key.clone()).or_default();
            if times.len() >= TIMES_MAX {
                times.pop_front();
            }
            times.push_back(of.usage.released_ms.since(of.usage.allocated_ms).0);
            self.changed.insert(key);
        }
    }
}
