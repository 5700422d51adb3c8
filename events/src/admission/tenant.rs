//! Tenants: what they may use, what they use, and what of theirs waits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::amounts::{Amounts, Held, Need};
use super::pool::{Pool, Short};
use super::quota::Quota;
use crate::ids::{RunId, TenantId};

/// Where a run stands among its tenant's: priority, then order.
pub(super) type Standing = (Reverse<i32>, u64, RunId);

/// A tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) quota: Quota,
    /// Over all pools.
    pub(super) held: Held,
    /// Runs that count as running.
    pub(super) running: u32,
    pub(super) accounts: BTreeMap<u32, Account>,
    /// One for which everything that the quota leaves is kept.
    pub(super) kept_for: Option<KeptFor>,
}

/// One for which something is kept: its pool, its size, itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptFor {
    pub(super) pool: u32,
    pub(super) need: Need,
    pub(super) run: RunId,
    pub(super) line: u16,
}

/// A tenant in one pool.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) held: Held,
    /// What it was given so far for its weight.
    pub(super) pass: u128,
    /// Its dominant part for its weight.
    pub(super) share: u64,
    /// What waits, by size.
    pub(super) lanes: BTreeMap<Need, OwnLane>,
    /// Something of it may start as far as the tenant is concerned.
    pub(super) is_ready: bool,
    /// What it adds to the pool's sums.
    weight: u64,
    idle: u128,
}

/// Runs of one tenant that wait for places of one size.
#[derive(Debug, Default)]
pub(super) struct OwnLane {
    pub(super) begun: BTreeSet<Standing>,
    pub(super) fresh: BTreeSet<Standing>,
    /// Where the tenant stands in the pool's lane.
    placed: [Option<(u64, u128)>; 2],
}

impl OwnLane {
    pub(super) fn of(&mut self, fresh: bool) -> &mut BTreeSet<Standing> {
        if fresh { &mut self.fresh } else { &mut self.begun }
    }

    /// The first of those that may start as far as the tenant is concerned.
    pub(super) fn first(&self, with_fresh: bool) -> Option<Standing> {
        let begun = self.begun.first().filter(|_| self.placed[0].is_some());
        let fresh = self.fresh.first().filter(|_| with_fresh && self.placed[1].is_some());
        begun.into_iter().chain(fresh).min().copied()
    }

    /// The first of all that wait.
    pub(super) fn foremost(&self) -> Option<Standing> {
        self.waiting(true)
    }

    /// The first that waits, whether or not its tenant has room for it.
    pub(super) fn waiting(&self, with_fresh: bool) -> Option<Standing> {
        let fresh = self.fresh.first().filter(|_| with_fresh);
        self.begun.first().into_iter().chain(fresh).min().copied()
    }

    /// How many stand before this one, counted as far as 1,000.
    pub(super) fn ahead_of(&self, standing: &Standing) -> usize {
        let of = |set: &BTreeSet<Standing>| set.range(..*standing).take(1_000).count();
        of(&self.begun) + of(&self.fresh)
    }
}

impl Tenant {
    pub(super) fn new(id: TenantId) -> Self {
        let accounts = BTreeMap::new();
        Self {
            id,
            quota: Quota::default(),
            held: Held::default(),
            running: 0,
            accounts,
            kept_for: None,
        }
    }

    /// Whether one more run may begin to count.
    pub(super) fn may_begin(&self) -> bool {
        may_begin(&self.quota, self.running)
    }
}

/// Whether one more run may begin to count under a quota.
pub(super) fn may_begin(quota: &Quota, running: u32) -> bool {
    quota.running_runs.is_none_or(|most| running < most)
}

/// Which bound of a quota stands in the way of one more attempt beside what is used.
pub(super) fn short_of(quota: &Quota, used: &Amounts, need: &Need) -> Option<Short> {
    let short = |what, taken: u64, bound: Option<u64>, asked: u64| {
        let bound = bound.filter(|bound| taken.saturating_add(asked) > *bound)?;
        (asked > 0).then_some(Short { what, taken, bound, asked })
    };
    short("attempts", used.attempts, quota.attempts.map(u64::from), 1)
        .or_else(|| short("cpu_milli", used.cpu_milli, quota.cpu_milli, need.cpu_milli))
        .or_else(|| short("memory_bytes", used.memory_bytes, quota.memory_bytes, need.memory_bytes))
        .or_else(|| short("gpus", used.gpus, quota.gpus.map(u64::from), u64::from(need.gpus)))
}

/// Puts a tenant where it now stands in a pool, or takes it out.
pub(super) fn place(tenant: &mut Tenant, index: u32, pool: &mut Pool, pool_index: u32) {
    let may_begin = tenant.may_begin();
    let kept = tenant.kept_for.as_ref().map(|kept| (kept.pool, &kept.need));
    let weight = u64::from(tenant.quota.weight());
    let Some(account) = tenant.accounts.get_mut(&pool_index) else { return };
    let dominant = pool.capacity.dominant(&account.held.live);
    account.share = dominant.saturating_mul(100) / weight;
    let wanted: Vec<[bool; 2]> = account
        .lanes
        .iter()
        .map(|(need, lane)| {
            let is_open = kept.is_none_or(|kept| kept == (pool_index, need));
            let room = is_open && short_of(&tenant.quota, &tenant.held.peak, need).is_none();
            [room && !lane.begun.is_empty(), room && may_begin && !lane.fresh.is_empty()]
        })
        .collect();
    let is_ready = wanted.iter().flatten().any(|wanted| *wanted);
    if is_ready && !account.is_ready {
        // Who comes to wait does not catch up on what others were given before.
        account.pass = account.pass.max(pool.pass);
    }
    account.is_ready = is_ready;
    let key = (account.share, account.pass);
    for ((need, own), wanted) in account.lanes.iter_mut().zip(wanted) {
        for (at, fresh) in [(0, false), (1, true)] {
            let now = wanted[at].then_some(key);
            if own.placed[at] == now {
                continue;
            }
            if let Some((share, pass)) = own.placed[at]
                && let Some(lane) = pool.lanes.get_mut(need)
            {
                lane.of(fresh).remove(share, pass, index);
            }
            if let Some((share, pass)) = now {
                pool.lanes.entry(need.clone()).or_default().of(fresh).insert(share, pass, index);
            }
            own.placed[at] = now;
        }
        if pool.lanes.get(need).is_some_and(super::pool::Lane::is_empty) {
            pool.lanes.remove(need);
        }
    }
    account.lanes.retain(|_, own| own.foremost().is_some());
    pool.weight -= account.weight;
    pool.idle -= account.idle;
    account.weight = if is_ready { weight } else { 0 };
    account.idle = if is_ready { 0 } else { u128::from(dominant) };
    pool.weight += account.weight;
    pool.idle += account.idle;
    match account.held == Held::default() && account.lanes.is_empty() {
        true => pool.tenants.remove(&index),
        false => pool.tenants.insert(index),
    };
}
