//! The decision: who gets the next place of a pool.
//!
//! 1. Of the sizes that fit, the tenant goes first that is furthest below its fair share (see
//!    [`super::share`]); of its runs the one of the highest priority, then the oldest.
//! 2. Whoever would be first but does not fit is passed by those that do, and counted. One that
//!    was passed [`PASSED_MAX`] times is passed no more: see [`super::keep`].
//! 3. A place whose attempt ended is free for others once the end is recorded. The run itself may
//!    take it at once, when nobody goes before it: both facts then stand in one append.

use super::amounts::{Amounts, Need};
use super::book::{Admission, Entry};
use super::keep::Kept;
use super::share::{Rank, SCALE};
use super::tenant::{Account, OwnLane, Standing, may_begin, short_of};
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
pub(super) struct Pick {
    pub(super) run: RunId,
    pub(super) line: u16,
    pub(super) standing: Standing,
    pub(super) rank: Rank,
}

impl Admission {
    /// Who starts next, if anybody may. The caller plans the attempt and tells of the run
    /// ([`Admission::update`]) before it asks again.
    pub fn decide(&mut self) -> Option<Choice> {
        while let Some(pool) = self.open.first().copied() {
            match self.choose(pool) {
                Turn::Given(choice) => return Some(*choice),
                Turn::Again => {}
                Turn::Nobody => drop(self.open.remove(&pool)),
            }
        }
        None
    }

    fn choose(&mut self, at: u32) -> Turn {
        if let Some((pool, run, line)) = self.site_short {
            match self.kept(pool, run, line) {
                Kept::Nobody => self.site_free(),
                Kept::Fits(pick) if self.site_is_kept && pool == at => {
                    return self.give(at, &pick, ChoiceReason::Kept, None);
                }
                _ if self.site_is_kept => return Turn::Nobody,
                _ => {}
            }
        }
        if let Some((run, line)) = self.pools[at as usize].kept_for {
            match self.kept(at, run, line) {
                Kept::Nobody => self.pools[at as usize].kept_for = None,
                Kept::Fits(pick) => {
                    self.pools[at as usize].kept_for = None;
                    return self.give(at, &pick, ChoiceReason::Kept, None);
                }
                Kept::Waits => return Turn::Nobody,
            }
        }
        let first = self.best(at, false);
        let pick = match first {
            Some(first) if self.fits(at, &first) => Some(first),
            Some(first) => {
                if self.note_short(at, &first) {
                    return Turn::Nobody;
                }
                self.best(at, true)
            }
            None => None,
        };
        let Some(pick) = pick else {
            return match self.taker(at, first) {
                Some(pick) => self.give(at, &pick, ChoiceReason::OwnPlace, None),
                None => Turn::Nobody,
            };
        };
        let passed = first.filter(|first| (first.run, first.line) != (pick.run, pick.line));
        if let Some(passed) = passed
            && self.is_due(&passed)
        {
            self.pools[at as usize].kept_for = Some((passed.run, passed.line));
            return Turn::Nobody;
        }
        let held_back = self.held_back(at, &pick);
        if let Some(held_back) = held_back
            && self.is_due(&held_back)
        {
            self.keep_quota(at, &held_back);
            return Turn::Again;
        }
        for passed in [passed, held_back].into_iter().flatten() {
            self.passed_once(passed.run, passed.line);
        }
        let reason = match pick.rank.is_served {
            true => ChoiceReason::Spare,
            false => ChoiceReason::BelowShare,
        };
        self.give(at, &pick, reason, passed.map(|passed| passed.run))
    }

    /// Who goes first: of the sizes that fit now, or of all that could ever fit. Of one run, the
    /// demand that stands first in its plan.
    fn best(&self, at: u32, that_fits: bool) -> Option<Pick> {
        let pool = &self.pools[at as usize];
        let level = pool.level();
        let with_fresh = may_begin(&self.site, self.site_running);
        let takes = |need: &Need| match that_fits {
            true => self.has_room(at, need, None),
            false => self.could_ever(at, need),
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
        let standing = lanes.filter_map(|(_, lane)| lane.first(with_fresh)).min()?;
        let may = |need: &Need, lane: &OwnLane| {
            lane.first(with_fresh).is_some_and(|first| first == standing) && takes(need)
        };
        self.pick(at, standing, account, rank, may)
    }

    /// The first demand of a run in a pool that waits in one of such lines.
    pub(super) fn pick(
        &self,
        at: u32,
        standing: Standing,
        account: &Account,
        rank: Rank,
        may: impl Fn(&Need, &OwnLane) -> bool,
    ) -> Option<Pick> {
        let run = standing.2;
        let entry = self.runs.get(&run)?;
        let is_it = |line: &usize| {
            let need = &entry.demands[*line].need;
            let (pool, waits) = (entry.lines[*line].pool, entry.lines[*line].waits);
            let lane = account.lanes.get(need).filter(|_| pool == at && waits.is_some());
            lane.is_some_and(|lane| may(need, lane))
        };
        let line = (0..entry.lines.len()).find(is_it)?;
        Some(Pick { run, line: u16::try_from(line).ok()?, standing, rank })
    }

    fn fits(&self, at: u32, pick: &Pick) -> bool {
        let need = &self.runs[&pick.run].demands[usize::from(pick.line)].need;
        self.has_room(at, need, None)
    }

    /// Whether the pool and the site have room, and for a run that takes over its own place also
    /// its tenant.
    pub(super) fn has_room(&self, at: u32, need: &Need, own: Option<&Entry>) -> bool {
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
    fn give(&mut self, at: u32, pick: &Pick, reason: ChoiceReason, passed: Option<RunId>) -> Turn {
        self.pass_site(pick);
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
        Turn::Given(Box::new(Choice {
            run: pick.run,
            demand: pick.line,
            tenant: tenant.id.clone(),
            reason,
            part_ppm: ppm(part),
            fair_ppm: ppm(fair_part(level, weight)),
            passed,
        }))
    }
}

/// What a look at a pool came to.
enum Turn {
    Given(Box<Choice>),
    /// Something is kept from here on: it has to be looked at anew.
    Again,
    Nobody,
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
