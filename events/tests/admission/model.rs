//! Runs, a record that hears of what was decided later and in its own order, and crashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::admission::{
    Admission, Amounts, Capacity, Choice, Demand, Line, Need, Quota, RunDemand,
};
use dagbook_events::ids::{RunId, TenantId};

pub const POOLS: [&str; 2] = ["local", "gpu"];

/// Something decided that the record does not have yet.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Plan(usize),
    End(usize),
}

#[derive(Debug, Clone)]
pub struct Run {
    pub tenant: usize,
    pub priority: i32,
    pub order: u64,
    pub is_child: bool,
    pub is_paused: bool,
    pub demands: Arc<[Demand]>,
    /// Units that are not started, by demand.
    pub left: Vec<u32>,
    pub live: Vec<u32>,
    pub has_begun: bool,
    /// As recorded.
    pub recorded: Vec<u32>,
    pub recorded_begun: bool,
    pub open: Vec<Step>,
    pub flight: Option<Vec<Step>>,
}

impl Run {
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.flight.is_none()
    }

    pub fn waits(&self, line: usize) -> bool {
        self.flight.is_none() && !self.is_paused && self.left[line] > 0
    }

    pub fn is_fresh(&self) -> bool {
        !self.is_child && !self.has_begun
    }

    pub fn standing(&self, id: RunId) -> (std::cmp::Reverse<i32>, u64, RunId) {
        (std::cmp::Reverse(self.priority), self.order, id)
    }

    /// What the counts come to in a pool, or everywhere.
    fn sum(&self, counts: &[u32], pool: Option<&str>) -> Amounts {
        let mut sum = Amounts::default();
        for (demand, n) in self.demands.iter().zip(counts) {
            if pool.is_none_or(|pool| *demand.executor == *pool) {
                sum.add(&Amounts::of(&demand.need, *n));
            }
        }
        sum
    }

    pub fn live_sum(&self, pool: Option<&str>) -> Amounts {
        self.sum(&self.live, pool)
    }

    /// The most that the record may show before all is recorded: every state that it passes.
    pub fn peak(&self, pool: Option<&str>) -> Amounts {
        let mut counts = self.recorded.clone();
        let mut peak = self.sum(&counts, pool);
        for step in self.flight.iter().flatten().chain(&self.open) {
            match step {
                Step::Plan(line) => counts[*line] += 1,
                Step::End(line) => counts[*line] -= 1,
            }
            peak.raise(&self.sum(&counts, pool));
        }
        peak
    }
}

/// A bound and the highest that it was while something was on its way under it.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub runs: BTreeMap<RunId, Run>,
    pub tenants: Vec<TenantId>,
    pub quotas: Vec<Quota>,
    pub site: Quota,
    pub capacities: Vec<Capacity>,
    next: u64,
}

pub struct Play {
    pub admission: Admission,
    pub world: World,
    /// The loosest bounds since everything was recorded: what is on its way was decided on them.
    loosest: (Vec<Capacity>, Vec<Quota>, Quota),
    pub choices: Vec<Choice>,
}

pub fn run_id(n: u64) -> RunId {
    RunId(uuid::Uuid::from_u128(u128::from(n) + 1))
}

pub fn need(cpu_milli: u64, gpus: u32) -> Need {
    let gpu_model = (gpus > 0).then(|| Arc::from("H200"));
    Need { cpu_milli, memory_bytes: cpu_milli * 1_000, gpus, gpu_model }
}

impl Play {
    pub fn new(tenants: usize, capacities: Vec<Capacity>) -> Self {
        let tenants: Vec<TenantId> =
            (0..tenants).map(|n| TenantId::new(&format!("t{n}")).expect("a slug")).collect();
        let quotas = vec![Quota::default(); tenants.len()];
        let world = World { tenants, quotas, capacities, ..World::default() };
        let loosest = (world.capacities.clone(), world.quotas.clone(), world.site);
        let mut play = Self { admission: Admission::new(), world, loosest, choices: Vec::new() };
        play.set_up();
        play
    }

    fn set_up(&mut self) {
        for (name, capacity) in POOLS.iter().zip(&self.world.capacities) {
            self.admission.set_pool(name, capacity.clone());
        }
        for (tenant, quota) in self.world.tenants.iter().zip(&self.world.quotas) {
            self.admission.set_quota(tenant, *quota);
        }
        self.admission.set_site(self.world.site);
    }

    pub fn submit(
        &mut self,
        tenant: usize,
        priority: i32,
        is_child: bool,
        lines: &[(usize, Need, u32)],
    ) -> RunId {
        let mut demands: Vec<Demand> = Vec::new();
        let mut left: Vec<u32> = Vec::new();
        for (pool, need, units) in lines {
            let demand = Demand { executor: Arc::from(POOLS[*pool]), need: need.clone() };
            match demands.iter().position(|known| *known == demand) {
                Some(at) => left[at] += units,
                None => {
                    demands.push(demand);
                    left.push(*units);
                }
            }
        }
        self.world.next += 1;
        let id = run_id(self.world.next);
        let none = vec![0; demands.len()];
        let run = Run {
            tenant,
            priority,
            order: self.world.next,
            is_child,
            is_paused: false,
            demands: demands.into(),
            left,
            live: none.clone(),
            has_begun: false,
            recorded: none,
            recorded_begun: false,
            open: Vec::new(),
            flight: None,
        };
        self.world.runs.insert(id, run);
        self.tell(id);
        id
    }

    /// Tells admission how a run now stands.
    pub fn tell(&mut self, id: RunId) {
        let run = &self.world.runs[&id];
        let lines: Vec<Line> = (0..run.demands.len())
            .map(|line| Line { waits: run.waits(line), active: run.live[line] })
            .collect();
        self.admission.update(&RunDemand {
            run: id,
            tenant: &self.world.tenants[run.tenant],
            priority: run.priority,
            order: run.order,
            has_begun: !run.is_child && run.has_begun,
            would_begin: run.is_fresh(),
            is_recorded: run.is_settled(),
            demands: &run.demands,
            lines: &lines,
        });
    }

    /// One decision, performed.
    pub fn decide(&mut self) -> Option<Choice> {
        let choice = self.admission.decide()?;
        self.perform(&choice);
        Some(choice)
    }

    pub fn perform(&mut self, choice: &Choice) {
        self.choices.push(choice.clone());
        let line = usize::from(choice.demand);
        let run = self.world.runs.get_mut(&choice.run).expect("a run that is there");
        assert!(run.waits(line), "{choice:?} of a run that does not wait: {run:?}");
        run.left[line] -= 1;
        run.live[line] += 1;
        run.has_begun = true;
        run.open.push(Step::Plan(line));
        self.tell(choice.run);
    }

    pub fn end(&mut self, id: RunId, line: usize) {
        let run = self.world.runs.get_mut(&id).expect("a run");
        run.live[line] -= 1;
        run.open.push(Step::End(line));
        self.tell(id);
    }

    pub fn send(&mut self, id: RunId) {
        let run = self.world.runs.get_mut(&id).expect("a run");
        run.flight = Some(std::mem::take(&mut run.open));
        self.tell(id);
    }

    /// The append is recorded, fact by fact, and every state of the record keeps the bounds.
    pub fn confirm(&mut self, id: RunId) {
        let steps = self.world.runs.get_mut(&id).expect("a run").flight.take().expect("an append");
        for step in steps {
            let run = self.world.runs.get_mut(&id).expect("a run");
            match step {
                Step::Plan(line) => {
                    run.recorded[line] += 1;
                    run.recorded_begun = true;
                }
                Step::End(line) => run.recorded[line] -= 1,
            }
            if matches!(step, Step::Plan(_)) {
                self.check_record();
            }
        }
        self.tell(id);
        let run = &self.world.runs[&id];
        if run.left.iter().chain(&run.live).all(|n| *n == 0) && run.is_settled() {
            self.world.runs.remove(&id);
            self.admission.remove(id);
        }
        if self.world.runs.values().all(Run::is_settled) {
            self.tighten();
        }
    }

    /// Nothing of it was recorded; ends are decided again later.
    pub fn conflict(&mut self, id: RunId) {
        let run = self.world.runs.get_mut(&id).expect("a run");
        run.flight = None;
        back_to_record(run);
        self.tell(id);
    }

    /// Everything that is not recorded is gone, and admission is made anew from the rest.
    pub fn crash(&mut self) {
        self.world.runs.values_mut().for_each(back_to_record);
        self.admission = Admission::new();
        self.set_up();
        let ids: Vec<RunId> = self.world.runs.keys().rev().copied().collect();
        ids.into_iter().for_each(|id| self.tell(id));
        self.tighten();
    }

    pub fn set_quota(&mut self, tenant: usize, quota: Quota) {
        self.world.quotas[tenant] = quota;
        self.loosest.1[tenant] = looser(&self.loosest.1[tenant], &quota);
        self.admission.set_quota(&self.world.tenants[tenant].clone(), quota);
    }

    pub fn set_site(&mut self, site: Quota) {
        self.world.site = site;
        self.loosest.2 = looser(&self.loosest.2, &site);
        self.admission.set_site(site);
    }

    pub fn set_pool(&mut self, pool: usize, capacity: Capacity) {
        let loosest = &mut self.loosest.0[pool];
        loosest.places = most(loosest.places, capacity.places);
        loosest.cpu_milli = most(loosest.cpu_milli, capacity.cpu_milli);
        self.admission.set_pool(POOLS[pool], capacity.clone());
        self.world.capacities[pool] = capacity;
    }

    /// All is recorded: from here on the bounds are those of now, or what is held already.
    fn tighten(&mut self) {
        let all = |tenant: Option<usize>, pool: Option<&str>| {
            let mut sum = Amounts::default();
            for run in self.world.runs.values().filter(|r| tenant.is_none_or(|t| r.tenant == t)) {
                sum.add(&run.sum(&run.recorded, pool));
            }
            sum
        };
        let running = |tenant: Option<usize>| self.world.running(tenant, |run| run.recorded_begun);
        let held = |sum: Amounts, running: u32| Quota {
            weight: None,
            open_runs: None,
            running_runs: Some(running),
            attempts: Some(u32::try_from(sum.attempts).expect("few")),
            cpu_milli: Some(sum.cpu_milli),
            memory_bytes: Some(sum.memory_bytes),
            gpus: Some(u32::try_from(sum.gpus).expect("few")),
        };
        let quotas = self.world.quotas.iter().enumerate();
        let quotas = quotas.map(|(t, q)| looser(q, &held(all(Some(t), None), running(Some(t)))));
        let pools = self.world.capacities.iter().zip(POOLS).map(|(capacity, name)| {
            let sum = all(None, Some(name));
            let mut capacity = capacity.clone();
            capacity.places = most(capacity.places, u32::try_from(sum.attempts).ok());
            capacity.cpu_milli = most(capacity.cpu_milli, Some(sum.cpu_milli));
            capacity
        });
        let site = looser(&self.world.site, &held(all(None, None), running(None)));
        self.loosest = (pools.collect(), quotas.collect(), site);
    }

    fn check_record(&self) {
        let zero = Need::default();
        let mut site = Amounts::default();
        for (tenant, quota) in self.loosest.1.iter().enumerate() {
            let mut sum = Amounts::default();
            for run in self.world.runs.values().filter(|run| run.tenant == tenant) {
                sum.add(&run.sum(&run.recorded, None));
            }
            within(&sum, quota, &format!("tenant {tenant}"));
            let running = self.world.running(Some(tenant), |run| run.recorded_begun);
            assert!(quota.running_runs.is_none_or(|most| running <= most), "{running} running");
            site.add(&sum);
        }
        within(&site, &self.loosest.2, "the site");
        let running = self.world.running(None, |run| run.recorded_begun);
        assert!(self.loosest.2.running_runs.is_none_or(|most| running <= most), "{running}");
        for (name, capacity) in POOLS.iter().zip(&self.loosest.0) {
            let mut sum = Amounts::default();
            for run in self.world.runs.values() {
                sum.add(&run.sum(&run.recorded, Some(name)));
            }
            let places = capacity.places.map_or(u64::MAX, u64::from);
            assert!(sum.attempts <= places, "{} of {places} in {name}", sum.attempts);
            sum.attempts = 0;
            let short = Capacity { places: None, ..capacity.clone() }.short_of(&sum, &zero);
            assert_eq!(short, None, "{name}");
            assert!(capacity.cpu_milli.is_none_or(|most| sum.cpu_milli <= most), "{name}: {sum:?}");
        }
    }
}

impl World {
    pub fn running(&self, tenant: Option<usize>, begun: impl Fn(&Run) -> bool) -> u32 {
        let runs = self.runs.values().filter(|run| tenant.is_none_or(|t| run.tenant == t));
        u32::try_from(runs.filter(|run| !run.is_child && begun(run)).count()).expect("few")
    }
}

fn back_to_record(run: &mut Run) {
    let steps: Vec<Step> =
        run.flight.take().into_iter().flatten().chain(run.open.drain(..)).collect();
    for step in steps {
        if let Step::Plan(line) = step {
            run.left[line] += 1;
        }
    }
    run.live.clone_from(&run.recorded);
    run.has_begun = run.recorded_begun;
}

fn within(sum: &Amounts, quota: &Quota, who: &str) {
    let over = |bound: Option<u64>, n: u64| bound.is_some_and(|bound| n > bound);
    let bad = over(quota.attempts.map(u64::from), sum.attempts)
        || over(quota.cpu_milli, sum.cpu_milli)
        || over(quota.memory_bytes, sum.memory_bytes)
        || over(quota.gpus.map(u64::from), sum.gpus);
    assert!(!bad, "{who} has {sum:?} on record under {quota:?}");
}

fn most<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    Some(a?.max(b?))
}

fn looser(a: &Quota, b: &Quota) -> Quota {
    Quota {
        weight: None,
        open_runs: None,
        running_runs: most(a.running_runs, b.running_runs),
        attempts: most(a.attempts, b.attempts),
        cpu_milli: most(a.cpu_milli, b.cpu_milli),
        memory_bytes: most(a.memory_bytes, b.memory_bytes),
        gpus: most(a.gpus, b.gpus),
    }
}
