//! Large requests: what becomes free is kept for one that was passed too often.
//!
//! There are three places where a request that goes first may not fit: its pool, its tenant's
//! quota, and the bounds of the site. Smaller ones pass it there, and each time is counted. One
//! that was passed [`PASSED_MAX`] times keeps what becomes free where it is short, from the moment
//! at which it would be passed again. What can never fit keeps nothing, nor does a run that may
//! not begin to count: those that run would wait for it, and it for their ends. A run that waits
//! for an append of its own to be recorded keeps what it has.

use super::amounts::{Amounts, Need};
use super::book::Admission;
use super::decide::{PASSED_MAX, Pick};
use super::share::Rank;
use super::tenant::{KeptFor, may_begin, short_of};
use crate::ids::RunId;

/// How one stands for which something is kept.
pub(super) enum Kept {
    Nobody,
    Waits,
    Fits(Pick),
}

impl Admission {
    /// Whether the pool and the site take one attempt of the need when nothing else is there.
    pub(super) fn could_ever(&self, at: u32, need: &Need) -> bool {
        self.pools[at as usize].capacity.could_take(need)
            && short_of(&self.site, &Amounts::default(), need).is_none()
    }

    /// Whether it was passed so often that it may not be passed again.
    pub(super) fn is_due(&self, pick: &Pick) -> bool {
        let entry = self.runs.get(&pick.run);
        entry.is_some_and(|entry| entry.lines[usize::from(pick.line)].passed >= PASSED_MAX)
    }

    /// Counts that it was passed.
    pub(super) fn passed_once(&mut self, run: RunId, line: u16) -> u32 {
        let Some(entry) = self.runs.get_mut(&run) else { return 0 };
        let line = &mut entry.lines[usize::from(line)];
        line.passed = line.passed.saturating_add(1);
        line.passed
    }

    /// Remembers the first in line where only the site's bounds stand in its way. Whether
    /// everything is kept for it.
    pub(super) fn note_short(&mut self, at: u32, first: &Pick) -> bool {
        let need = &self.runs[&first.run].demands[usize::from(first.line)].need;
        let pool = &self.pools[at as usize];
        if self.site_short.is_some() || pool.capacity.short_of(&pool.used, need).is_some() {
            return false;
        }
        self.site_short = Some((at, first.run, first.line));
        self.site_is_kept = self.is_due(first);
        self.site_is_kept
    }

    /// Nothing is kept of what the site's bounds leave.
    pub(super) fn site_free(&mut self) {
        self.site_short = None;
        if std::mem::take(&mut self.site_is_kept) {
            self.open_all();
        }
    }

    /// Counts for the one that is short under the bounds of the site.
    pub(super) fn pass_site(&mut self, pick: &Pick) {
        if let Some((_, run, line)) = self.site_short {
            match (run, line) == (pick.run, pick.line) {
                true => self.site_free(),
                false => self.site_is_kept |= self.passed_once(run, line) >= PASSED_MAX,
            }
        }
    }

    /// One of the same tenant that goes before the chosen one, and that only the tenant's quota
    /// holds back; none where the quota's room is kept already.
    pub(super) fn held_back(&self, at: u32, pick: &Pick) -> Option<Pick> {
        let tenant = &self.tenants[pick.rank.tenant as usize];
        let account = tenant.accounts.get(&at).filter(|_| tenant.kept_for.is_none())?;
        let with_fresh = tenant.may_begin() && may_begin(&self.site, self.site_running);
        let is_short = |need: &Need| {
            short_of(&tenant.quota, &tenant.held.peak, need).is_some()
                && short_of(&tenant.quota, &Amounts::default(), need).is_none()
                && self.could_ever(at, need)
        };
        let lanes = account.lanes.iter().filter(|(need, _)| is_short(need));
        let standing = lanes.filter_map(|(_, own)| own.waiting(with_fresh)).min()?;
        if standing >= pick.standing {
            return None;
        }
        self.pick(at, standing, account, pick.rank, |need, own| {
            own.waiting(with_fresh) == Some(standing) && is_short(need)
        })
    }

    /// What the tenant's quota leaves is kept for this one.
    pub(super) fn keep_quota(&mut self, at: u32, pick: &Pick) {
        let need = self.runs[&pick.run].demands[usize::from(pick.line)].need.clone();
        let kept = KeptFor { pool: at, need, run: pick.run, line: pick.line };
        self.tenants[pick.rank.tenant as usize].kept_for = Some(kept);
        self.place_everywhere(pick.rank.tenant);
    }

    /// Forgets what a tenant's quota keeps for one that does not need it any more.
    pub(super) fn check_kept(&mut self, tenant: u32) {
        let own = &self.tenants[tenant as usize];
        let Some(kept) = &own.kept_for else { return };
        let could = short_of(&own.quota, &Amounts::default(), &kept.need).is_none();
        if !could || !self.is_in_need(kept.pool, kept.run, kept.line) {
            self.tenants[tenant as usize].kept_for = None;
        }
    }

    /// Looks again at what quotas keep, when the bounds of the site or what they count moved.
    pub(super) fn check_all_kept(&mut self) {
        for tenant in (0u32..).take(self.tenants.len()) {
            if self.tenants[tenant as usize].kept_for.is_some() {
                self.place_everywhere(tenant);
            }
        }
    }

    /// Whether it waits, or may again once what is on its way is recorded, and whether nothing
    /// stands in its way but room.
    fn is_in_need(&self, at: u32, run: RunId, line: u16) -> bool {
        let Some(entry) = self.runs.get(&run) else { return false };
        let begins = match entry.lines[usize::from(line)].waits {
            Some(fresh) => fresh,
            None if entry.is_recorded => return false,
            None => false,
        };
        let tenant = &self.tenants[entry.tenant as usize];
        let may_begin = || tenant.may_begin() && may_begin(&self.site, self.site_running);
        self.could_ever(at, &entry.demands[usize::from(line)].need) && (!begins || may_begin())
    }

    /// How one stands for which a pool or the site keeps what becomes free.
    pub(super) fn kept(&self, at: u32, run: RunId, line: u16) -> Kept {
        if !self.is_in_need(at, run, line) {
            return Kept::Nobody;
        }
        let entry = &self.runs[&run];
        let need = &entry.demands[usize::from(line)].need;
        let tenant = &self.tenants[entry.tenant as usize];
        if short_of(&tenant.quota, &tenant.held.peak, need).is_some() {
            return Kept::Nobody;
        }
        if entry.lines[usize::from(line)].waits.is_none() || !self.has_room(at, need, None) {
            return Kept::Waits;
        }
        let Some(account) = tenant.accounts.get(&at) else { return Kept::Nobody };
        let level = self.pools[at as usize].level();
        let rank = Rank::new(account.share, account.pass, entry.tenant, level);
        Kept::Fits(Pick { run, line, standing: entry.standing, rank })
    }
}
