//! The decision: who gets the next place of a pool.
//!
//! 1. Of the sizes that fit, the tenant goes first that is furthest below its fair share (see
//!    [`super::share`]); of its runs the one of the highest priority, then the oldest.
//! 2. Whoever would be first but does not fit is passed by those that do, and counted. After
//!    [`PASSED_MAX`] times the pool is kept for it: nobody else starts there until it fits.
//! 3. A place whose attempt ended is free for others once the end is recorded. The run itself may
//!    take it at once, when nobody goes before it: both facts then stand in one append.

use super::amounts::{Amounts, Need};
use super::book::{Admission, Entry};
use super::share::{Rank, SCALE};
use super::tenant::{Standing, may_begin, short_of};
use crate::ids::{RunId, TenantId};

/// Others that are let past one that does not fit, before everything is kept for it.
pub const PASSED_MAX: u32 = 16;

/// Who starts next, and why it and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The run.
    pub run: RunId,
    /// Which of its demands.
    pub demand: u16,
    /// Whose it is.
    pub tenant: TenantId,
    /// What decided.
    pub reason: ChoiceReason,
    /// The tenant's dominant part of the pool before, in millionths.
    pub part_ppm: u64,
    /// What its fair part was, in millionths.
    pub fair_ppm: u64,
    /// One that was first in line, did not fit, and was passed.
    pub passed: Option<RunId>,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChoiceReason {
    /// The tenant has less than its fair share.
    BelowShare,
    /// The tenant has its fair share or more, and nobody below theirs wants the place.
    Spare,
    /// The pool was kept for it, for it had been passed too often.
    Kept,
    /// Its own attempt ended and nobody goes before it.
    OwnPlace,
}

/// What would start, as an index of what is known.
#[derive(Debug, Clone, Copy)]
struct Pick {
    run: RunId,
    line: u16,
    standing: Standing,
    rank: Rank,
}

impl Admission {
    /// Who starts next, if anybody may. The caller plans the attempt and tells of the run
    /// ([`Admission::update`]) before it asks again.
    pub fn decide(&mut self) -> Option<Choice> {
        while let Some(pool) = self.open.first().copied() {
            if let Some(choice) = self.choose(pool) {
                return Some(choice);
            }
            self.open.remove(&pool);
        }
        None
    }

    fn choose(&mut self, at: u32) -> Option<Choice> {
        if let Some((pool, run, line)) = self.site_short {
            match self.kept(pool, run, line) {
                Kept::Nobody => self.site_free(),
                Kept::Fits(pick) if self.site_is_kept && pool == at => {
                    return Some(self.give(at, &pick, ChoiceReason::Kept, None));
                }
                _ if self.site_is_kept => return None,
                _ => {}
            }
        }
        if let Some((run, line)) = self.pools[at as usize].kept_for {
            match self.kept(at, run, line) {
                Kept::Nobody => self.pools[at as usize].kept_for = None,
                Kept::Fits(pick) => {
                    self.pools[at as usize].kept_for = None;
                    return Some(self.give(at, &pick, ChoiceReason::Kept, None));
                }
                Kept::Waits => return None,
            }
        }
        let first = self.best(at, false);
        let pick = match first {
            Some(first) if self.fits(at, &first) => Some(first),
            Some(first) => {
                self.note_short(at, &first);
                self.best(at, true)
            }
            None => None,
        };
        if let Some(pick) = pick {
            let passed = first.filter(|first| (first.run, first.line) != (pick.run, pick.line));
            if let Some(passed) = passed {
                self.pass(at, &passed);
            }
            let reason = match pick.rank.is_served {
                true => ChoiceReason::Spare,
                false => ChoiceReason::BelowShare,
            };
            return Some(self.give(at, &pick, reason, passed.map(|passed| passed.run)));
        }
        let pick = self.taker(at, first)?;
        Some(self.give(at, &pick, ChoiceReason::OwnPlace, None))
    }

    /// Who goes first: of the sizes that fit now, or of all that could ever fit.
    fn best(&self, at: u32, that_fits: bool) -> Option<Pick> {
        let pool = &self.pools[at as usize];
        let level = pool.level();
        let with_fresh = may_begin(&self.site, self.site_running);
        let takes = |need: &Need| match that_fits {
            true => self.has_room(at, need, None),
            false => pool.capacity.could_take(need),
        };
        let mut best: Option<Rank> = None;
        for (need, lane) in pool.lanes.iter().filter(|(need, _)| takes(need)) {
            debug_assert!(!lane.is_empty(), "{need:?}");
            let fresh = lane.fresh.first(level).filter(|_| with_fresh);
            let here = lane.begun.first(level).into_iter().chain(fresh).min();
            best = best.into_iter().chain(here).min();
        }
        let rank = best?;
        let account = self.tenants[rank.tenant as usize].accounts.get(&at)?;
        let lanes = account.lanes.iter().filter(|(need, _)| takes(need));
        let heads = lanes.filter_map(|(need, lane)| Some((lane.first(with_fresh)?, need)));
        let (standing, need) = heads.min()?;
        self.pick(at, standing, need, rank)
    }

    fn pick(&self, at: u32, standing: Standing, need: &Need, rank: Rank) -> Option<Pick> {
        let run = standing.2;
        let entry = self.runs.get(&run)?;
        let is_it =
            |line: &usize| entry.lines[*line].pool == at && entry.demands[*line].need == *need;
        let line = (0..entry.lines.len()).find(is_it)?;
        Some(Pick { run, line: u16::try_from(line).ok()?, standing, rank })
    }

    fn fits(&self, at: u32, pick: &Pick) -> bool {
        let need = &self.runs[&pick.run].demands[usize::from(pick.line)].need;
        self.has_room(at, need, None)
    }

    /// Whether the pool and the site have room, and for a run that takes over its own place also
    /// its tenant.
    fn has_room(&self, at: u32, need: &Need, own: Option<&Entry>) -> bool {
        let pool = &self.pools[at as usize];
        let Some(entry) = own else {
            return pool.capacity.short_of(&pool.used, need).is_none()
                && short_of(&self.site, &self.site_held.peak, need).is_none();
        };
        let credit = entry.held.own_credit();
        let in_pool = entry.by_pool.get(&at).map_or_else(Amounts::default, |h| h.own_credit());
        let tenant = &self.tenants[entry.tenant as usize];
        pool.capacity.short_of(&pool.used.without(&in_pool), need).is_none()
            && short_of(&self.site, &self.site_held.peak.without(&credit), need).is_none()
            && short_of(&tenant.quota, &tenant.held.peak.without(&credit), need).is_none()
    }

    /// Counts that the first in line was passed, and keeps the pool for it when that is enough.
    fn pass(&mut self, at: u32, passed: &Pick) {
        if self.passed_once(passed.run, passed.line) >= PASSED_MAX {
            self.pools[at as usize].kept_for = Some((passed.run, passed.line));
        }
    }

    /// Remembers the first in line where only the site's bounds stand in its way.
    fn note_short(&mut self, at: u32, first: &Pick) {
        let need = &self.runs[&first.run].demands[usize::from(first.line)].need;
        let pool = &self.pools[at as usize];
        let could = short_of(&self.site, &Amounts::default(), need).is_none();
        if self.site_short.is_none() && could && pool.capacity.short_of(&pool.used, need).is_none()
        {
            self.site_short = Some((at, first.run, first.line));
        }
    }

    /// Nothing is kept of what the site's bounds leave.
    fn site_free(&mut self) {
        self.site_short = None;
        if std::mem::take(&mut self.site_is_kept) {
            self.open_all();
        }
    }

    /// Counts for those that go before the chosen one and were passed by it: under their tenant's
    /// quota, and under the bounds of the site.
    fn pass_others(&mut self, at: u32, pick: &Pick) {
        if let Some((_, run, line)) = self.site_short {
            match (run, line) == (pick.run, pick.line) {
                true => self.site_free(),
                false => self.site_is_kept |= self.passed_once(run, line) >= PASSED_MAX,
            }
        }
        let tenant = &self.tenants[pick.rank.tenant as usize];
        if tenant.kept_for.is_some() {
            return;
        }
        let Some(account) = tenant.accounts.get(&at) else { return };
        let held_back = account.lanes.iter().filter(|(need, _)| {
            short_of(&tenant.quota, &tenant.held.peak, need).is_some()
                && short_of(&tenant.quota, &Amounts::default(), need).is_none()
        });
        let foremost = held_back.filter_map(|(need, own)| Some((own.foremost()?, need))).min();
        let Some((standing, need)) = foremost.filter(|(standing, _)| *standing < pick.standing)
        else {
            return;
        };
        let Some(passed) = self.pick(at, standing, need, pick.rank) else { return };
        let need = need.clone();
        if self.passed_once(passed.run, passed.line) >= PASSED_MAX {
            self.tenants[pick.rank.tenant as usize].kept_for = Some((at, need, standing));
        }
    }

    fn passed_once(&mut self, run: RunId, line: u16) -> u32 {
        let Some(entry) = self.runs.get_mut(&run) else { return 0 };
        let line = &mut entry.lines[usize::from(line)];
        line.passed = line.passed.saturating_add(1);
        line.passed
    }

    fn kept(&self, at: u32, run: RunId, line: u16) -> Kept {
        let Some(entry) = self.runs.get(&run) else { return Kept::Nobody };
        let (own, need) = (entry.lines[usize::from(line)], &entry.demands[usize::from(line)].need);
        let tenant = &self.tenants[entry.tenant as usize];
        let Some(fresh) = own.waits else { return Kept::Nobody };
        let is_bounded = short_of(&tenant.quota, &tenant.held.peak, need).is_some()
            || (fresh && !(tenant.may_begin() && may_begin(&self.site, self.site_running)));
        let pool = &self.pools[at as usize];
        if is_bounded || !pool.capacity.could_take(need) {
            return Kept::Nobody;
        }
        if !self.has_room(at, need, None) {
            return Kept::Waits;
        }
        let account = &tenant.accounts[&at];
        let rank = Rank::new(account.share, account.pass, entry.tenant, pool.level());
        Kept::Fits(Pick { run, line, standing: entry.standing, rank })
    }

    /// A run that takes over its own place, unless somebody goes before it.
    fn taker(&self, at: u32, first: Option<Pick>) -> Option<Pick> {
        let level = self.pools[at as usize].level();
        self.takers.iter().find_map(|run| {
            let entry = self.runs.get(run)?;
            let tenant = &self.tenants[entry.tenant as usize];
            let account = tenant.accounts.get(&at)?;
            let rank = Rank::new(account.share, account.pass, entry.tenant, level);
            if first.is_some_and(|first| first.rank.tenant != entry.tenant && first.rank < rank) {
                return None;
            }
            let heads = account.lanes.values().filter_map(super::tenant::OwnLane::foremost);
            if heads.min()? != entry.standing {
                return None;
            }
            let lines = entry.lines.iter().enumerate();
            let mut waiting =
                lines.filter(|(_, line)| line.pool == at && line.waits == Some(false));
            let (line, _) = waiting
                .find(|(line, _)| self.has_room(at, &entry.demands[*line].need, Some(entry)))?;
            let line = u16::try_from(line).ok()?;
            Some(Pick { run: *run, line, standing: entry.standing, rank })
        })
    }

    /// Charges the tenant for what it gets.
    fn give(
        &mut self,
        at: u32,
        pick: &Pick,
        reason: ChoiceReason,
        passed: Option<RunId>,
    ) -> Choice {
        self.pass_others(at, pick);
        let pool = &mut self.pools[at as usize];
        let need = &self.runs[&pick.run].demands[usize::from(pick.line)].need;
        let cost = pool.capacity.dominant(&Amounts::of(need, 1)).max(SCALE >> 20);
        let level = pool.level();
        if let Some(entry) = self.runs.get_mut(&pick.run) {
            entry.lines[usize::from(pick.line)].passed = 0;
        }
        let tenant = &mut self.tenants[pick.rank.tenant as usize];
        let weight = u64::from(tenant.quota.weight());
        let account = tenant.accounts.entry(at).or_default();
        let part = pool.capacity.dominant(&account.held.live);
        pool.pass = pool.pass.max(account.pass);
        account.pass += u128::from(cost) * 100 / u128::from(weight);
        Choice {
            run: pick.run,
            demand: pick.line,
            tenant: tenant.id.clone(),
            reason,
            part_ppm: ppm(part),
            fair_ppm: ppm(fair_part(level, weight)),
            passed,
        }
    }
}

enum Kept {
    Nobody,
    Waits,
    Fits(Pick),
}

/// A part in millionths.
pub(super) fn ppm(part: u64) -> u64 {
    u64::try_from(u128::from(part) * 1_000_000 / u128::from(SCALE)).unwrap_or(u64::MAX)
}

/// The part of a pool that a fair share is for a weight.
pub(super) fn fair_part(level: u64, weight: u64) -> u64 {
    let part = u128::from(level) * u128::from(weight) / 100;
    u64::try_from(part).unwrap_or(u64::MAX).min(SCALE)
}
