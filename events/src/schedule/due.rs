//! When a schedule is due, and what a backfill covers. Pure functions of the fold and an instant.

use std::collections::BTreeSet;

use super::event::{BackfillRequested, Order};
use super::state::{Phase, Schedule};
use super::{BACKFILL_MAX, Backfill};
use crate::dag::trigger::{Schedule as Cron, next_after};
use crate::digest::Sha256Digest;
use crate::time::{Millis, Timestamp};

/// An instant that is looked at within this span of its time is on time, not missed.
pub const ON_TIME: Millis = Millis::seconds(30);
/// Missed instants that are made up for at most, the newest of them.
pub const CATCH_UP_MAX: usize = 1_000;
/// Instants that are looked at in one go.
const WINDOW: usize = 2_000;

/// An instant and when it is to be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The instant of the schedule.
    pub instant: Timestamp,
    /// The same behind its jitter, and not before the instant before it.
    pub at: Timestamp,
}

/// How long behind its instant a start is put off: spread over the jitter, and the same for ever
/// for one schedule and one instant.
pub fn offset(name: &str, jitter: Millis, instant: Timestamp) -> Millis {
    if jitter.0 == 0 {
        return Millis(0);
    }
    let digest = Sha256Digest::of_parts(&[name.as_bytes(), b"\0", &instant.0.to_be_bytes()]);
    let mut head = [0; 8];
    head.copy_from_slice(&digest.0[..8]);
    Millis(u64::from_be_bytes(head) % jitter.0)
}

/// Instants that are due and not dealt with, in order; and whether there are more of them than
/// are looked at in one go. `name` tells schedules apart, for their jitter.
pub fn due(schedule: &Schedule, name: &str, now: Timestamp) -> (Vec<Due>, bool) {
    let mut found: Vec<Due> = Vec::new();
    let (true, Some(cron), Some(spec)) =
        (schedule.is_alive(), &schedule.cron, schedule.spec.as_ref())
    else {
        return (found, false);
    };
    let mut after = schedule.cursor;
    while let Some(instant) = next_after(cron, after) {
        let own = instant + offset(name, spec.jitter_ms, instant);
        let at = found.last().map_or(own, |before| own.max(before.at));
        if at > now {
            return (found, false);
        }
        if found.len() == WINDOW {
            return (found, true);
        }
        found.push(Due { instant, at });
        after = instant;
    }
    (found, false)
}

/// The next instants at which it fires, at most `limit`, seen from an instant. None while it is
/// paused.
pub fn next_firings(schedule: &Schedule, name: &str, now: Timestamp, limit: usize) -> Vec<Due> {
    let mut found = Vec::new();
    let (Phase::Active, Some(cron), Some(spec)) = (schedule.phase, &schedule.cron, &schedule.spec)
    else {
        return found;
    };
    // Instants that are past may wait for the end of their jitter.
    let earliest = Timestamp(now.0.saturating_sub_unsigned(spec.jitter_ms.0));
    let mut after = schedule.cursor.max(earliest);
    let mut before = Timestamp(i64::MIN);
    while found.len() < limit
        && let Some(instant) = next_after(cron, after)
    {
        let at = before.max(instant + offset(name, spec.jitter_ms, instant));
        if at > now && !schedule.is_paused_at(instant) {
            found.push(Due { instant, at });
        }
        (before, after) = (at, instant);
    }
    found
}

/// When to look at it again, if nothing happens to it before.
pub fn next_wake(schedule: &Schedule, name: &str) -> Option<Timestamp> {
    let by_clock = match (schedule.phase, &schedule.cron, &schedule.spec) {
        (Phase::Active, Some(cron), Some(spec)) => next_after(cron, schedule.cursor)
            .map(|instant| instant + offset(name, spec.jitter_ms, instant)),
        _ => None,
    };
    let by_backfill = schedule.running_backfill().map(|it| backfill_due(schedule, it));
    match (by_clock, by_backfill.flatten()) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// When the backfill may fire next; none while it waits for its runs.
pub(super) fn backfill_due(schedule: &Schedule, backfill: &Backfill) -> Option<Timestamp> {
    let open = schedule.open.iter().filter(|f| f.fired.backfill == Some(backfill.request.id));
    if open.count() >= backfill.request.max_parallel as usize {
        return None;
    }
    let gap = backfill.request.rate_per_minute.map_or(0, |rate| 60_000 / u64::from(rate.max(1)));
    Some(backfill.last_at.map_or(backfill.at, |last| last + Millis(gap)))
}

/// The instants of a backfill in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillPlan {
    /// What is to be fired.
    pub instants: Vec<Timestamp>,
    /// What is left out because it was fired before.
    pub already: Vec<Timestamp>,
    /// The range has more instants than one backfill may cover.
    pub too_many: bool,
}

impl BackfillPlan {
    /// The instants from `from` on and before `to`, without those that were fired already unless
    /// they are to be fired again.
    pub fn new(
        cron: &Cron,
        (from, to): (Timestamp, Timestamp),
        order: Order,
        again: bool,
        fired: &BTreeSet<Timestamp>,
    ) -> Self {
        let mut plan = Self::default();
        let mut after = Timestamp(from.0.saturating_sub(1));
        while let Some(instant) = next_after(cron, after).filter(|instant| *instant < to) {
            if plan.instants.len() + plan.already.len() == BACKFILL_MAX {
                plan.too_many = true;
                break;
            }
            if !again && fired.contains(&instant) {
                plan.already.push(instant);
            } else {
                plan.instants.push(instant);
            }
            after = instant;
        }
        if order == Order::Newest {
            plan.instants.reverse();
        }
        plan
    }

    /// The same of what was recorded. `fired` must not hold what this very backfill fired.
    pub fn of(request: &BackfillRequested, fired: &BTreeSet<Timestamp>) -> Self {
        match Cron::new(&request.cron, &request.timezone) {
            Ok(cron) => {
                let range = (request.from, request.to);
                Self::new(&cron, range, request.order, request.again, fired)
            }
            Err(_) => Self::default(),
        }
    }

    /// The next instant behind the one that was fired last.
    pub fn next(&self, order: Order, position: Option<Timestamp>) -> Option<Timestamp> {
        let is_left = |instant: &Timestamp| match (position, order) {
            (None, _) => true,
            (Some(position), Order::Oldest) => *instant > position,
            (Some(position), Order::Newest) => *instant < position,
        };
        let first = self.instants.partition_point(|instant| !is_left(instant));
        self.instants.get(first).copied()
    }
}
