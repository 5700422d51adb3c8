//! Why something waits for its place: the reason with the numbers it was decided on.

use std::collections::BTreeMap;

use super::amounts::Amounts;
use super::book::{Admission, Entry};
use super::decide::{PASSED_MAX, fair_part, ppm};
use super::pool::{Pool, Short};
use super::share::Rank;
use super::tenant::{Account, Tenant, may_begin, short_of};
use crate::ids::{RunId, TenantId};

/// Why something waits for its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// A word for programs: `pool_full`, `tenant_attempts`, `tenant_runs`, `tenant_cpu`,
    /// `tenant_memory`, `tenant_gpu`, `site_attempts`, `site_runs`, `site_cpu`, `site_memory`,
    /// `site_gpu`, `fair_share`, `priority`, `held_for_larger`, `budget`, `budget_unknown`.
    pub code: &'static str,
    /// A sentence for people, without a full stop.
    pub text: String,
    /// The numbers, by name.
    pub figures: BTreeMap<&'static str, u64>,
}

impl Wait {
    pub(super) fn new(code: &'static str, text: String) -> Self {
        Self { code, text, figures: BTreeMap::new() }
    }

    pub(super) fn with(mut self, figures: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        self.figures.extend(figures);
        self
    }
}

impl Admission {
    /// Why a demand of a run waits; none: it does not wait for a place.
    pub fn why(&self, run: RunId, demand: u16) -> Option<Wait> {
        let entry = self.runs.get(&run)?;
        let line = entry.lines.get(usize::from(demand))?;
        let fresh = line.waits?;
        let need = &entry.demands[usize::from(demand)].need;
        let pool = &self.pools[line.pool as usize];
        let tenant = &self.tenants[entry.tenant as usize];
        let account = tenant.accounts.get(&line.pool)?;
        let wait = self
            .never(pool, entry, demand)
            .or_else(|| of_quota(tenant, need))
            .or_else(|| of_runs(tenant, fresh))
            .or_else(|| self.of_site(fresh, need))
            .or_else(|| self.kept_for_other(pool, tenant, run, demand))
            .unwrap_or_else(|| self.of_pool(pool, tenant, account, entry, demand));
        let ahead =
            account.lanes.values().map(|lane| lane.ahead_of(&entry.standing)).sum::<usize>();
        Some(wait.with([
            ("ahead_in_tenant", ahead as u64),
            ("passed", u64::from(line.passed)),
            ("pool_taken", pool.used.attempts),
            ("tenant_attempts", tenant.held.peak.attempts),
        ]))
    }

    /// Why no further run of the tenant may begin to count as running; none: one may.
    pub fn may_not_begin(&self, tenant: &TenantId) -> Option<Wait> {
        let own = self.find_tenant(tenant).and_then(|tenant| of_runs(tenant, true));
        own.or_else(|| self.of_site_runs())
    }

    /// Everything that waits, as run and demand.
    pub fn waiting(&self) -> impl Iterator<Item = (RunId, u16)> + '_ {
        self.runs.iter().flat_map(|(run, entry)| {
            let waits = |(at, line): (u16, &super::book::EntryLine)| line.waits.map(|_| (*run, at));
            (0u16..).zip(&entry.lines).filter_map(waits)
        })
    }

    fn never(&self, pool: &Pool, entry: &Entry, demand: u16) -> Option<Wait> {
        let need = &entry.demands[usize::from(demand)].need;
        let short = pool.capacity.short_of(&Amounts::default(), need)?;
        let name = &pool.name;
        let Short { what, bound, asked, .. } = short;
        let text = match what {
            "places" => format!("pool `{name}` has no places"),
            _ => format!("it asks for {asked} {} and pool `{name}` has {bound} in all", unit(what)),
        };
        Some(Wait::new("pool_full", text).with([("asked", asked), ("pool_has", bound)]))
    }

    fn of_site(&self, fresh: bool, need: &super::Need) -> Option<Wait> {
        if let Some(wait) = self.of_site_runs().filter(|_| fresh) {
            return Some(wait);
        }
        let short = short_of(&self.site, &self.site_held.peak, need)?;
        let code = match short.what {
            "attempts" => "site_attempts",
            "cpu_milli" => "site_cpu",
            "memory_bytes" => "site_memory",
            _ => "site_gpu",
        };
        Some(of_short(code, "the site", &short))
    }

    fn of_site_runs(&self) -> Option<Wait> {
        if may_begin(&self.site, self.site_running) {
            return None;
        }
        let most = u64::from(self.site.running_runs.unwrap_or(0));
        let running = u64::from(self.site_running);
        let text = format!("{running} runs are running and the site's limit is {most}");
        Some(Wait::new("site_runs", text).with([("running", running), ("limit", most)]))
    }

    fn kept_for_other(&self, pool: &Pool, own: &Tenant, run: RunId, demand: u16) -> Option<Wait> {
        let site = self.site_short.filter(|_| self.site_is_kept).map(|(_, run, line)| (run, line));
        let of_tenant = own.kept_for.as_ref().map(|kept| (kept.run, kept.line));
        let (other, where_to) = match pool.kept_for.or(site) {
            Some((other, line)) if (other, line) != (run, demand) => (other, pool.name.to_string()),
            Some(_) => return None,
            None => {
                let (other, _) = of_tenant.filter(|kept| *kept != (run, demand))?;
                (other, "the tenant's quota".to_string())
            }
        };
        let whose = match self.runs.get(&other).is_some_and(|e| self.is_of(e, own)) {
            true => format!("run {other}"),
            false => "a run of another tenant".to_string(),
        };
        let text = format!(
            "what becomes free in {where_to} is kept for {whose}, which asks for more and was \
             passed {PASSED_MAX} times"
        );
        Some(Wait::new("held_for_larger", text).with([("passed_most", u64::from(PASSED_MAX))]))
    }

    fn is_of(&self, entry: &Entry, tenant: &Tenant) -> bool {
        self.tenants[entry.tenant as usize].id == tenant.id
    }

    fn of_pool(
        &self,
        pool: &Pool,
        tenant: &Tenant,
        account: &Account,
        entry: &Entry,
        demand: u16,
    ) -> Wait {
        let need = &entry.demands[usize::from(demand)].need;
        let level = pool.level();
        let rank = Rank::new(account.share, account.pass, entry.tenant, level);
        let firsts = pool.lanes.values().flat_map(|lane| [&lane.begun, &lane.fresh]);
        let before = firsts.filter_map(|ranks| ranks.first(level)).min();
        let is_first = before.is_none_or(|first| first.tenant == rank.tenant || rank < first);
        let foremost = account.lanes.values().filter_map(super::tenant::OwnLane::foremost).min();
        let others = pool.tenants.iter().filter(|other| **other != entry.tenant).count() as u64;
        let full = full(pool, need);
        let weight = u64::from(tenant.quota.weight());
        let part = pool.capacity.dominant(&account.held.live);
        let (own, fair) = (ppm(part), ppm(fair_part(level, weight)));
        let figures = [
            ("tenant_held", account.held.live.attempts),
            ("others", others),
            ("share_ppm", own),
            ("fair_share_ppm", fair),
            ("weight", weight),
        ];
        let held = account.held.live.attempts;
        let wait = if foremost.is_some_and(|first| first < entry.standing) {
            let ahead: usize = account.lanes.values().map(|l| l.ahead_of(&entry.standing)).sum();
            let text = format!(
                "{full}; of its own tenant {ahead} {} with higher priority or longer there",
                if ahead == 1 { "waits" } else { "wait" }
            );
            Wait::new("priority", text)
        } else if !is_first {
            let text = format!(
                "{full}; its tenant has {} of it and a fair share of {}, and {} {} before it",
                percent(own),
                percent(fair),
                others,
                if others == 1 { "other tenant may go" } else { "other tenants may go" },
            );
            Wait::new("fair_share", text)
        } else {
            let text = format!(
                "{full}; its tenant holds {held}, {others} other {} the rest, and it is first \
                 in line",
                if others == 1 { "tenant" } else { "tenants" }
            );
            Wait::new("pool_full", text)
        };
        let short = pool.capacity.short_of(&pool.used, need);
        let sizes = short.map(|s| [("asked", s.asked), ("taken", s.taken), ("pool_has", s.bound)]);
        wait.with(figures).with(sizes.into_iter().flatten())
    }
}

/// What is full of a pool, in words.
fn full(pool: &Pool, need: &super::Need) -> String {
    let name = &pool.name;
    match pool.capacity.short_of(&pool.used, need) {
        None => format!("pool `{name}` has room and the next decision is being recorded"),
        Some(Short { what: "places", taken, bound, .. }) => {
            format!("{taken} of the {bound} places of pool `{name}` are taken")
        }
        Some(Short { what, taken, bound, asked }) => {
            let left = bound.saturating_sub(taken);
            let unit = unit(what);
            format!("it asks for {asked} {unit} and pool `{name}` has {left} of {bound} left")
        }
    }
}

fn of_quota(tenant: &Tenant, need: &super::Need) -> Option<Wait> {
    let short = short_of(&tenant.quota, &tenant.held.peak, need)?;
    let code = match short.what {
        "attempts" => "tenant_attempts",
        "cpu_milli" => "tenant_cpu",
        "memory_bytes" => "tenant_memory",
        _ => "tenant_gpu",
    };
    Some(of_short(code, &format!("tenant `{}`", tenant.id), &short))
}

fn of_runs(tenant: &Tenant, fresh: bool) -> Option<Wait> {
    if !fresh || tenant.may_begin() {
        return None;
    }
    let running = u64::from(tenant.running);
    let most = u64::from(tenant.quota.running_runs.unwrap_or(0));
    let text = format!("tenant `{}` has {running} runs running and may have {most}", tenant.id);
    Some(Wait::new("tenant_runs", text).with([("running", running), ("limit", most)]))
}

fn of_short(code: &'static str, who: &str, short: &Short) -> Wait {
    let Short { what, taken, bound, asked } = *short;
    let unit = unit(what);
    let text = match what {
        "attempts" => format!("{who} has {taken} attempts under way and may have {bound}"),
        _ => format!("{who} uses {taken} of {bound} {unit} and this asks for {asked} more"),
    };
    Wait::new(code, text).with([("used", taken), ("limit", bound), ("asked", asked)])
}

fn unit(what: &str) -> &'static str {
    match what {
        "cpu_milli" => "thousandths of a core",
        "memory_bytes" => "bytes of memory",
        "gpus" => "GPUs",
        "attempts" => "attempts",
        _ => "places",
    }
}

fn percent(ppm: u64) -> String {
    format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10)
}
