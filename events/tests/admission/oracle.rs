//! What must be true of a decision, looked up the slow way.

use dagbook_events::admission::{Amounts, Choice, ChoiceReason, Need, Quota};
use dagbook_events::ids::RunId;

use super::model::{POOLS, Play, Run, World};

/// A whole pool, in the model's own unit.
const WHOLE: u128 = 1 << 60;

impl World {
    fn peak_of(&self, tenant: Option<usize>, pool: Option<&str>) -> Amounts {
        let mut sum = Amounts::default();
        for run in self.runs.values().filter(|run| tenant.is_none_or(|t| run.tenant == t)) {
            sum.add(&run.peak(pool));
        }
        sum
    }

    fn live_of(&self, tenant: usize, pool: &str) -> Amounts {
        let mut sum = Amounts::default();
        for run in self.runs.values().filter(|run| run.tenant == tenant) {
            sum.add(&run.live_sum(Some(pool)));
        }
        sum
    }

    /// Whether the tenant's own bounds let the demand start.
    pub fn is_eligible(&self, run: &Run, line: usize) -> bool {
        let quota = &self.quotas[run.tenant];
        run.waits(line)
            && leaves(quota, &self.peak_of(Some(run.tenant), None), &run.demands[line].need)
            && (!run.is_fresh() || self.may_begin(Some(run.tenant), quota))
    }

    fn may_begin(&self, tenant: Option<usize>, quota: &Quota) -> bool {
        quota.running_runs.is_none_or(|most| self.running(tenant, |run| run.has_begun) < most)
    }

    /// Whether everything that bounds it leaves room for it now.
    pub fn fits(&self, run: &Run, line: usize) -> bool {
        let demand = &run.demands[line];
        let pool = POOLS.iter().position(|name| **name == *demand.executor).expect("a pool");
        let used = self.peak_of(None, Some(POOLS[pool]));
        self.is_eligible(run, line)
            && self.capacities[pool].short_of(&used, &demand.need).is_none()
            && leaves(&self.site, &self.peak_of(None, None), &demand.need)
            && (!run.is_fresh() || self.may_begin(None, &self.site))
    }

    /// Everything that could start now.
    pub fn startable(&self) -> Vec<(RunId, usize)> {
        let lines = self
            .runs
            .iter()
            .flat_map(|(id, run)| (0..run.demands.len()).map(move |line| (*id, run, line)));
        lines.filter(|(_, run, line)| self.fits(run, *line)).map(|(id, _, l)| (id, l)).collect()
    }

    /// Dominant part of a pool.
    fn part(&self, amounts: &Amounts, pool: usize) -> u128 {
        let capacity = &self.capacities[pool];
        let of = |n: u64, all: Option<u64>| match all {
            Some(all) if all > 0 => u128::from(n) * WHOLE / u128::from(all),
            Some(_) if n > 0 => WHOLE,
            _ => 0,
        };
        let gpus = capacity.gpus.as_ref().map(|gpus| gpus.values().map(|n| u64::from(*n)).sum());
        of(amounts.attempts, capacity.places.map(u64::from))
            .max(of(amounts.cpu_milli, capacity.cpu_milli))
            .max(of(amounts.memory_bytes, capacity.memory_bytes))
            .max(of(amounts.gpus, gpus))
    }

    /// For each tenant its part for its weight, and the part that would be fair for weight 1.
    fn shares(&self, pool: usize) -> (Vec<u128>, u128) {
        let parts: Vec<u128> = (0..self.tenants.len())
            .map(|tenant| self.part(&self.live_of(tenant, POOLS[pool]), pool))
            .collect();
        let (mut weight, mut idle) = (0u128, 0u128);
        for (tenant, part) in parts.iter().enumerate() {
            let wants = self.runs.values().filter(|run| run.tenant == tenant).any(|run| {
                let here = |line: &usize| *run.demands[*line].executor == *POOLS[pool];
                (0..run.demands.len()).filter(here).any(|line| self.is_eligible(run, line))
            });
            match wants {
                true => weight += u128::from(self.quotas[tenant].weight()),
                false => idle += part,
            }
        }
        let fair = WHOLE.saturating_sub(idle).checked_div(weight).unwrap_or(0);
        let weights = self.quotas.iter().map(|quota| u128::from(quota.weight()));
        (parts.iter().zip(weights).map(|(part, weight)| part / weight).collect(), fair)
    }
}

fn leaves(quota: &Quota, used: &Amounts, need: &Need) -> bool {
    let room = |bound: Option<u64>, used: u64, asked: u64| {
        asked == 0 || bound.is_none_or(|bound| used + asked <= bound)
    };
    room(quota.attempts.map(u64::from), used.attempts, 1)
        && room(quota.cpu_milli, used.cpu_milli, need.cpu_milli)
        && room(quota.memory_bytes, used.memory_bytes, need.memory_bytes)
        && room(quota.gpus.map(u64::from), used.gpus, u64::from(need.gpus))
}

impl Play {
    /// One decision, judged before it is performed. `is_uniform`: all sizes are the same, so
    /// that nothing is ever passed, and the order between tenants can be told from shares alone.
    pub fn judged(&mut self, is_uniform: bool) -> Option<Choice> {
        let before = self.world.clone();
        let choice = self.admission.decide()?;
        let kept: Vec<(RunId, usize)> = before.startable();
        let kept: Vec<_> = kept.into_iter().filter(|(id, line)| self.is_kept(*id, *line)).collect();
        self.perform(&choice);
        let run = &before.runs[&choice.run];
        let line = usize::from(choice.demand);
        let pool =
            POOLS.iter().position(|name| **name == *run.demands[line].executor).expect("a pool");
        let here = before
            .startable()
            .into_iter()
            .filter(|(id, line)| *before.runs[id].demands[*line].executor == *POOLS[pool]);
        let here: Vec<(RunId, usize)> = here.collect();
        if choice.reason == ChoiceReason::OwnPlace {
            let free = here.iter().find(|startable| !kept.contains(startable));
            assert_eq!(free, None, "{choice:?} while it could start");
            return Some(choice);
        }
        assert!(here.contains(&(choice.run, line)), "{choice:?} does not fit");
        if choice.reason == ChoiceReason::Kept {
            return Some(choice);
        }
        let own = here.iter().filter(|(id, _)| before.runs[id].tenant == run.tenant);
        let first = own.map(|(id, _)| before.runs[id].standing(*id)).min();
        if is_uniform {
            assert_eq!(first, Some(run.standing(choice.run)), "the tenant's first");
            self.judge_share(&before, pool, run.tenant, &here, &choice);
        }
        Some(choice)
    }

    /// Nobody below the fair share is left for one who has it; of those that have it nobody with
    /// less is left for one with more.
    fn judge_share(
        &self,
        before: &World,
        pool: usize,
        chosen: usize,
        here: &[(RunId, usize)],
        choice: &Choice,
    ) {
        let (shares, fair) = before.shares(pool);
        // Rounding, and nothing that a place could be of these sizes.
        let slack = WHOLE / 1_000_000;
        let is_below = |tenant: usize| shares[tenant] + slack < fair;
        for other in here.iter().map(|(id, _)| before.runs[id].tenant) {
            if is_below(chosen) {
                return;
            }
            assert!(!is_below(other), "{choice:?}: tenant {other} is below {fair}: {shares:?}");
            assert!(shares[chosen] <= shares[other] + slack, "{choice:?}: {shares:?}");
        }
    }

    /// The sums are those of the runs, and a book made anew is the same.
    pub fn check_sums(&self) {
        for pool in self.admission.pool_figures() {
            let mut live = Amounts::default();
            for tenant in 0..self.world.tenants.len() {
                live.add(&self.world.live_of(tenant, pool.name));
            }
            assert_eq!(*pool.live, live, "held in {}", pool.name);
            assert_eq!(*pool.taken, self.world.peak_of(None, Some(pool.name)), "{}", pool.name);
        }
        for tenant in self.admission.tenant_figures() {
            let at = self.world.tenants.iter().position(|id| id == tenant.id).expect("a tenant");
            assert_eq!(*tenant.taken, self.world.peak_of(Some(at), None), "{}", tenant.id);
            let running = self.world.running(Some(at), |run| run.has_begun);
            assert_eq!(tenant.running, running, "{}", tenant.id);
        }
    }

    /// Nobody waits who could start, unless what is free is kept for one that asks for more.
    pub fn check_nothing_idle(&self) {
        for (id, line) in self.world.startable() {
            assert!(self.is_kept(id, line), "{id} demand {line} could start");
        }
    }

    /// Whether it waits because what is free is kept for one that asks for more.
    fn is_kept(&self, id: RunId, line: usize) -> bool {
        let demand = u16::try_from(line).expect("few");
        self.admission.why(id, demand).expect("it waits").code == "held_for_larger"
    }
}
