//! The book of who holds what and who waits: folded from runs, each told as it now is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amounts::{Amounts, Demand, Held};
use super::pool::{Capacity, Pool};
use super::quota::Quota;
use super::tenant::{Standing, Tenant, may_begin, place};
use crate::ids::{RunId, TenantId};

/// A run as admission sees it, folded from its events.
#[derive(Debug, Clone)]
pub struct RunDemand<'a> {
    /// The run.
    pub run: RunId,
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// Among its tenant's runs, higher first.
    pub priority: i32,
    /// Among runs of one priority, lower first.
    pub order: u64,
    /// It has planned an attempt of its main part and counts as running from there on. False
    /// for a run that another asked for: that one counts.
    pub has_begun: bool,
    /// An attempt of it would make it count as running.
    pub would_begin: bool,
    /// All of this is recorded: nothing that was decided is on its way.
    pub is_recorded: bool,
    /// What its steps ask for. Always the same for a run.
    pub demands: &'a Arc<[Demand]>,
    /// Beside each demand, how it stands.
    pub lines: &'a [Line],
}

/// How one demand of a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// A unit could start now, as far as the run is concerned.
    pub waits: bool,
    /// Attempts that are planned and not at their end.
    pub active: u32,
}

/// What admission knows of a run.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) tenant: u32,
    pub(super) standing: Standing,
    pub(super) has_begun: bool,
    pub(super) is_recorded: bool,
    pub(super) demands: Arc<[Demand]>,
    pub(super) lines: Vec<EntryLine>,
    pub(super) held: Held,
    pub(super) by_pool: BTreeMap<u32, Held>,
}

/// One demand of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryLine {
    pub(super) pool: u32,
    pub(super) active: u32,
    /// In which of the tenant's sets it stands: that of runs that would begin to count?
    pub(super) waits: Option<bool>,
    /// Others that were let past while it was first and did not fit.
    pub(super) passed: u32,
}

/// Decides who may start next. Told of every run as it is now, it keeps sums and orders, so that
/// a decision costs a look at the sizes that wait, and no walk over tenants or runs.
#[derive(Debug, Default)]
pub struct Admission {
    pub(super) tenants: Vec<Tenant>,
    tenant_index: BTreeMap<TenantId, u32>,
    pub(super) pools: Vec<Pool>,
    pool_index: BTreeMap<Arc<str>, u32>,
    pub(super) runs: BTreeMap<RunId, Entry>,
    /// Bounds of all tenants together, and what they hold.
    pub(super) site: Quota,
    pub(super) site_held: Held,
    pub(super) site_running: u32,
    /// Pools in which something may have become possible.
    pub(super) open: BTreeSet<u32>,
    /// The first in line of a pool, where only the site's bounds stand in its way; and whether
    /// everything is kept for it.
    pub(super) site_short: Option<(u32, RunId, u16)>,
    pub(super) site_is_kept: bool,
    /// Runs with places that only they may take until their ends are recorded.
    pub(super) takers: BTreeSet<RunId>,
}

impl Admission {
    /// Nothing waits, nothing is bounded.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a pool has to give. A pool that was never set gives everything.
    pub fn set_pool(&mut self, name: &str, capacity: Capacity) {
        let at = self.pool(name);
        self.pools[at as usize].capacity = capacity;
        for tenant in self.pools[at as usize].tenants.clone() {
            self.place_everywhere(tenant);
        }
        self.open.insert(at);
    }

    /// What a tenant may use, and its weight.
    pub fn set_quota(&mut self, tenant: &TenantId, quota: Quota) {
        let at = self.tenant(tenant);
        self.tenants[at as usize].quota = quota;
        self.place_everywhere(at);
    }

    /// What all tenants together may use. The weight means nothing.
    pub fn set_site(&mut self, limits: Quota) {
        self.site = limits;
        self.check_all_kept();
        self.open_all();
    }

    /// A run as it is now. Told again, it changes nothing.
    pub fn update(&mut self, now: &RunDemand<'_>) {
        if !self.runs.contains_key(&now.run) {
            let entry = self.enter(now);
            self.runs.insert(now.run, entry);
        }
        let Some(mut entry) = self.runs.remove(&now.run) else { return };
        let could_begin = may_begin(&self.site, self.site_running);
        entry.is_recorded = now.is_recorded;
        let mut changed = self.lined_up(&mut entry, now);
        changed |= self.counted(&mut entry, now.has_begun);
        changed |= self.held(&mut entry, now);
        let may_take = entry.held != Held::default()
            && (entry.held.live != entry.held.peak
                || entry.by_pool.values().any(|held| held.live != held.peak));
        match may_take {
            true => changed |= self.takers.insert(now.run),
            false => changed |= self.takers.remove(&now.run),
        }
        let tenant = entry.tenant;
        self.runs.insert(now.run, entry);
        if changed {
            self.place_everywhere(tenant);
        }
        if could_begin != may_begin(&self.site, self.site_running) {
            self.check_all_kept();
            self.open_all();
        }
    }

    /// The run is over and recorded, or is no concern of this book any more.
    pub fn remove(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let tenant = self.tenants[entry.tenant as usize].id.clone();
        let demands = Arc::clone(&entry.demands);
        let (Reverse(priority), order, _) = entry.standing;
        let lines = vec![Line::default(); demands.len()];
        self.update(&RunDemand {
            run,
            tenant: &tenant,
            priority,
            order,
            has_begun: false,
            would_begin: false,
            is_recorded: true,
            demands: &demands,
            lines: &lines,
        });
        self.runs.remove(&run);
    }

    fn enter(&mut self, now: &RunDemand<'_>) -> Entry {
        let pools: Vec<u32> = now.demands.iter().map(|d| self.pool(&d.executor)).collect();
        let line = |pool| EntryLine { pool, active: 0, waits: None, passed: 0 };
        Entry {
            tenant: self.tenant(now.tenant),
            standing: (Reverse(now.priority), now.order, now.run),
            has_begun: false,
            is_recorded: true,
            demands: Arc::clone(now.demands),
            lines: pools.into_iter().map(line).collect(),
            held: Held::default(),
            by_pool: BTreeMap::new(),
        }
    }

    /// Puts the run into its tenant's lines, or takes it out.
    fn lined_up(&mut self, entry: &mut Entry, now: &RunDemand<'_>) -> bool {
        let tenant = &mut self.tenants[entry.tenant as usize];
        let mut changed = false;
        for ((line, told), demand) in entry.lines.iter_mut().zip(now.lines).zip(now.demands.iter())
        {
            let waits = told.waits.then_some(now.would_begin);
            // One that waits for an append of its own is passed over meanwhile, not forgotten.
            if waits.is_none() && now.is_recorded && line.passed > 0 {
                line.passed = 0;
                changed = true;
            }
            if waits == line.waits {
                continue;
            }
            changed = true;
            let account = tenant.accounts.entry(line.pool).or_default();
            let own = account.lanes.entry(demand.need.clone()).or_default();
            if let Some(fresh) = line.waits {
                own.of(fresh).remove(&entry.standing);
            }
            if let Some(fresh) = waits {
                own.of(fresh).insert(entry.standing);
            }
            line.waits = waits;
        }
        changed
    }

    fn counted(&mut self, entry: &mut Entry, has_begun: bool) -> bool {
        if entry.has_begun == has_begun {
            return false;
        }
        entry.has_begun = has_begun;
        let running = &mut self.tenants[entry.tenant as usize].running;
        match has_begun {
            true => (*running, self.site_running) = (*running + 1, self.site_running + 1),
            false => (*running, self.site_running) = (*running - 1, self.site_running - 1),
        }
        true
    }

    /// Moves the sums by what the run holds more or less.
    fn held(&mut self, entry: &mut Entry, now: &RunDemand<'_>) -> bool {
        let tenant = &mut self.tenants[entry.tenant as usize];
        let mut changed = false;
        for ((line, told), demand) in entry.lines.iter_mut().zip(now.lines).zip(now.demands.iter())
        {
            if line.active == told.active {
                continue;
            }
            let amounts = Amounts::of(&demand.need, line.active.abs_diff(told.active));
            let more = told.active > line.active;
            let pool = &mut self.pools[line.pool as usize];
            let account = tenant.accounts.entry(line.pool).or_default();
            let in_pool = entry.by_pool.entry(line.pool).or_default();
            for live in [
                &mut entry.held.live,
                &mut in_pool.live,
                &mut account.held.live,
                &mut tenant.held.live,
                &mut pool.live,
                &mut self.site_held.live,
            ] {
                if more { live.add(&amounts) } else { live.sub(&amounts) }
            }
            line.active = told.active;
            changed = true;
        }
        let mut freed = false;
        for (at, held) in &mut entry.by_pool {
            if let Some((old, new)) = settled(held, now.is_recorded) {
                let account = tenant.accounts.entry(*at).or_default();
                for peak in [&mut self.pools[*at as usize].used, &mut account.held.peak] {
                    peak.sub(&old);
                    peak.add(&new);
                }
                self.open.insert(*at);
                changed = true;
            }
        }
        entry.by_pool.retain(|_, held| *held != Held::default());
        if let Some((old, new)) = settled(&mut entry.held, now.is_recorded) {
            for peak in [&mut tenant.held.peak, &mut self.site_held.peak] {
                peak.sub(&old);
                peak.add(&new);
            }
            freed = true;
            changed = true;
        }
        if freed && self.site != Quota::default() {
            self.open_all();
        }
        changed
    }

    /// Puts a tenant where it now stands in every pool in which it holds or waits.
    pub(super) fn place_everywhere(&mut self, tenant: u32) {
        self.check_kept(tenant);
        let pools: Vec<u32> = self.tenants[tenant as usize].accounts.keys().copied().collect();
        for at in pools {
            let pool = &mut self.pools[at as usize];
            place(&mut self.tenants[tenant as usize], tenant, pool, at);
            self.open.insert(at);
        }
    }

    pub(super) fn open_all(&mut self) {
        self.open.extend((0u32..).take(self.pools.len()));
    }

    fn tenant(&mut self, id: &TenantId) -> u32 {
        if let Some(at) = self.tenant_index.get(id) {
            return *at;
        }
        let at = u32::try_from(self.tenants.len()).expect("tenants are bounded");
        self.tenants.push(Tenant::new(id.clone()));
        self.tenant_index.insert(id.clone(), at);
        at
    }

    pub(super) fn find_tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenant_index.get(id).map(|at| &self.tenants[*at as usize])
    }

    fn pool(&mut self, name: &str) -> u32 {
        if let Some(at) = self.pool_index.get(name) {
            return *at;
        }
        let at = u32::try_from(self.pools.len()).expect("pools are bounded");
        let name: Arc<str> = Arc::from(name);
        self.pools.push(Pool::new(Arc::clone(&name)));
        self.pool_index.insert(name, at);
        at
    }
}

/// Raises the peak to what is held, or sets it to that when all is recorded. The old and the new
/// peak, where it moved.
fn settled(held: &mut Held, is_recorded: bool) -> Option<(Amounts, Amounts)> {
    let mut peak = held.live.clone();
    if !is_recorded {
        peak.raise(&held.peak);
    }
    if peak == held.peak {
        return None;
    }
    let old = std::mem::replace(&mut held.peak, peak);
    Some((old, held.peak.clone()))
}
