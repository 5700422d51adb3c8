//! Admission alone: 1,000 tenants that always want more, of different weights and sizes, and
//! places that become free one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use dagbook_events::admission::{Admission, Capacity, Demand, Line, Need, Quota, RunDemand};
use dagbook_events::ids::{RunId, TenantId};

use crate::Options;
use crate::report::Report;

const TENANTS: usize = 1_000;
const RUNS_EACH: usize = 10;
const MANY: u32 = 20_000;
const FEW: u32 = 300;

const DECISIONS_MANY: &str = "decisions, 1,000 tenants, 20,000 places";
const DECISIONS_FEW: &str = "decisions, 1,000 tenants, 300 places, 8 sizes";
const ERROR_MANY: &str = "share error, 20,000 places, worst tenant";
const ERROR_FEW: &str = "share error, 300 places, worst tenant";
const WHY: &str = "explanations of a wait";

/// Runs the suite.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let decisions = if options.short { 200_000 } else { 1_000_000 };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let mut many = Site::new(MANY, 1);
        let (rate, error) = many.measure(decisions)?;
        report.sample(DECISIONS_MANY, "1/s", rate);
        report.sample(ERROR_MANY, "%", error);
        let mut few = Site::new(FEW, 8);
        let (rate, error) = few.measure(decisions)?;
        report.sample(DECISIONS_FEW, "1/s", rate);
        report.sample(ERROR_FEW, "%", error);
        report.sample(WHY, "1/s", few.explain()?);
    }
    report.demand(DECISIONS_MANY, -10_000.0);
    report.demand(DECISIONS_FEW, -10_000.0);
    report.demand(ERROR_MANY, 5.0);
    report.demand(ERROR_FEW, 5.0);
    Ok(report)
}

struct Site {
    admission: Admission,
    tenants: Vec<TenantId>,
    weights: Vec<u64>,
    runs: Vec<Run>,
    live: VecDeque<(usize, usize)>,
}

struct Run {
    tenant: usize,
    demands: Arc<[Demand]>,
    active: Vec<u32>,
}

impl Site {
    /// Sizes differ in memory of which there is enough, so that shares are those of places and
    /// the work is that of many sizes.
    fn new(places: u32, sizes: u64) -> Self {
        let tenants: Vec<TenantId> =
            (0..TENANTS).map(|n| TenantId::new(&format!("tenant-{n}")).expect("a slug")).collect();
        let weights: Vec<u64> = (0..TENANTS as u64).map(|n| 100 * (1 + n % 4)).collect();
        let mut admission = Admission::new();
        let memory_bytes = Some(u64::from(places) * 1_000);
        admission.set_pool("local", Capacity { memory_bytes, ..Capacity::places(places) });
        for (tenant, weight) in tenants.iter().zip(&weights) {
            let weight = u32::try_from(*weight).ok();
            let attempts = Some(u32::MAX / 2);
            admission.set_quota(tenant, Quota { weight, attempts, ..Quota::default() });
        }
        let demand = |size| {
            let need = Need { memory_bytes: 1 + size, ..Need::default() };
            Demand { executor: Arc::from("local"), need }
        };
        let runs = (0..TENANTS * RUNS_EACH).map(|n| {
            let size = (n as u64 / 3) % sizes;
            let demands: Arc<[Demand]> = Arc::from([demand(size)]);
            Run { tenant: n % TENANTS, demands, active: vec![0] }
        });
        let runs: Vec<Run> = runs.collect();
        let mut site = Self { admission, tenants, weights, runs, live: VecDeque::new() };
        for run in 0..site.runs.len() {
            site.tell(run);
        }
        site
    }

    fn tell(&mut self, at: usize) {
        let run = &self.runs[at];
        let lines = [Line { waits: true, active: run.active[0] }];
        self.admission.update(&RunDemand {
            run: RunId(uuid::Uuid::from_u128(at as u128)),
            tenant: &self.tenants[run.tenant],
            priority: i32::try_from(at % 3).unwrap_or(0),
            order: at as u64,
            has_begun: true,
            would_begin: false,
            is_recorded: true,
            demands: &run.demands,
            lines: &lines,
        });
    }

    fn decide(&mut self) -> Option<usize> {
        let choice = self.admission.decide()?;
        let at = usize::try_from(choice.run.0.as_u128()).ok()?;
        let demand = usize::from(choice.demand);
        self.runs[at].active[demand] += 1;
        self.tell(at);
        self.live.push_back((at, demand));
        Some(self.runs[at].tenant)
    }

    /// Decisions each second, with the telling of what follows from them and of the ends that
    /// make room; and by how much the tenant that is worst off differs from its fair share of
    /// the starts, in percent.
    fn measure(&mut self, decisions: usize) -> Result<(f64, f64)> {
        while self.decide().is_some() {}
        let mut starts = vec![0u64; TENANTS];
        let begun = Instant::now();
        for _ in 0..decisions {
            let Some((run, demand)) = self.live.pop_front() else { break };
            self.runs[run].active[demand] -= 1;
            self.tell(run);
            let tenant = self.decide();
            ensure!(tenant.is_some(), "a place is free and nobody gets it");
            starts[tenant.unwrap_or(0)] += 1;
        }
        let rate = decisions as f64 / begun.elapsed().as_secs_f64();
        let weight: u64 = self.weights.iter().sum();
        let errors = starts.iter().zip(&self.weights).map(|(starts, own)| {
            let fair = decisions as f64 * *own as f64 / weight as f64;
            (*starts as f64 - fair).abs() * 100.0 / fair
        });
        Ok((rate, errors.fold(0.0, f64::max)))
    }

    fn explain(&self) -> Result<f64> {
        let (begun, n) = (Instant::now(), self.runs.len());
        for at in 0..n {
            let run = RunId(uuid::Uuid::from_u128(at as u128));
            ensure!(self.admission.why(run, 0).is_some(), "everything waits");
        }
        Ok(n as f64 / begun.elapsed().as_secs_f64())
    }
}
