//! Numbers for metrics, checks and people.

use std::collections::BTreeMap;

use super::amounts::Amounts;
use super::book::Admission;
use super::pool::Capacity;
use super::quota::Quota;
use super::tenant::Account;
use crate::ids::TenantId;

/// A pool in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFigures<'a> {
    /// The executor's name.
    pub name: &'a str,
    /// What it has.
    pub capacity: &'a Capacity,
    /// What is held.
    pub live: &'a Amounts,
    /// What is held, or was when the record was last written: not free for others.
    pub taken: &'a Amounts,
    /// Tenants that hold or wait.
    pub tenants: usize,
    /// Sizes that wait.
    pub sizes: usize,
}

/// A tenant in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantFigures<'a> {
    /// Who.
    pub id: &'a TenantId,
    /// What it may use.
    pub quota: &'a Quota,
    /// What is held.
    pub live: &'a Amounts,
    /// What is held, or was when the record was last written.
    pub taken: &'a Amounts,
    /// Runs that count as running.
    pub running: u32,
    /// Runs that wait for a place, by pool. One that waits in several counts in each.
    pub waiting: BTreeMap<&'a str, usize>,
}

impl Admission {
    /// Every pool, in the order in which they became known.
    pub fn pool_figures(&self) -> impl Iterator<Item = PoolFigures<'_>> {
        self.pools.iter().map(|pool| PoolFigures {
            name: &pool.name,
            capacity: &pool.capacity,
            live: &pool.live,
            taken: &pool.used,
            tenants: pool.tenants.len(),
            sizes: pool.lanes.len(),
        })
    }

    /// Every tenant, in the order in which they became known.
    pub fn tenant_figures(&self) -> impl Iterator<Item = TenantFigures<'_>> {
        self.tenants.iter().map(|tenant| {
            let count = |account: &Account| -> usize {
                account.lanes.values().map(|lane| lane.begun.len() + lane.fresh.len()).sum()
            };
            let waiting = tenant.accounts.iter().map(|(pool, account)| {
                let name: &str = &self.pools[*pool as usize].name;
                (name, count(account))
            });
            TenantFigures {
                id: &tenant.id,
                quota: &tenant.quota,
                live: &tenant.held.live,
                taken: &tenant.held.peak,
                running: tenant.running,
                waiting: waiting.filter(|(_, n)| *n > 0).collect(),
            }
        })
    }

    /// What a tenant may use; nothing is bounded of one that was never heard of.
    pub fn quota(&self, tenant: &TenantId) -> Quota {
        self.find_tenant(tenant).map(|tenant| tenant.quota).unwrap_or_default()
    }

    /// The bounds of the site, its runs that count as running, and what is held.
    pub fn site_figures(&self) -> (&Quota, u32, &Amounts) {
        (&self.site, self.site_running, &self.site_held.peak)
    }
}
