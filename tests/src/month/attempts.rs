//! What happens to each attempt, by chance from the seed.

use super::{Shape, Tenant, instant};
use crate::sim::rng::Rng;

pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed,
    TimedOut,
    Evicted,
    Lost,
}

/// An attempt in figures.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub tenant: usize,
    pub run: u64,
    pub number: u64,
    pub step: u64,
    /// When it was decided on, allocated, begun, and free again.
    pub planned: i64,
    pub allocated: i64,
    pub started: i64,
    pub released: i64,
    pub place: usize,
    pub cpu_milli: u64,
    pub mem_mib: u64,
    pub gpus: u64,
    pub egress: u64,
    pub end: End,
}

/// What is recorded of it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Record {
    Planned,
    Started,
    /// Measured at this instant.
    Checkpoint(i64),
    Exited,
    /// The truth about a lost one.
    Truth,
    /// The truth again, or for an end that was seen another story.
    Story,
}

/// Attempts with what is recorded of them. Retries follow in the same run.
pub(super) fn attempts(
    shape: Shape,
    tenants: &[Tenant],
) -> (Vec<Attempt>, Vec<(i64, u32, Record)>) {
    let mut rng = Rng::stream(shape.seed, "month");
    let mut attempts: Vec<Attempt> = Vec::with_capacity(shape.attempts);
    let mut records = Vec::new();
    let mut run = 0;
    while attempts.len() < shape.attempts {
        let share = rng.below(100) as usize;
        let mut tenant = 0;
        let mut upto = tenants[0].share;
        while share >= upto {
            tenant += 1;
            upto += tenants[tenant].share;
        }
        run += 1;
        let mut at = begin(&mut rng);
        for step in 0..rng.between(1, 12) {
            loop {
                let number = attempts.len() as u64;
                let attempt = attempt(&mut rng, (tenant, run, number, step), at);
                at = attempt.released + 1_000;
                let fails = matches!(attempt.end, End::Failed | End::Evicted | End::Lost);
                tell(&mut rng, &attempt, &mut records);
                attempts.push(attempt);
                if !fails || rng.percent(40) {
                    break;
                }
            }
        }
    }
    records.sort_unstable();
    (attempts, records)
}

/// Mostly in October, a few around both its ends.
fn begin(rng: &mut Rng) -> i64 {
    let october = instant("2026-10-01T00:00:00Z");
    let offset = match rng.below(20) {
        0 => 0,
        1 => 32 * DAY,
        _ => return october + rng.below(31 * DAY) as i64,
    };
    october - (2 * DAY) as i64 + (offset + rng.below(2 * DAY)) as i64
}

fn attempt(rng: &mut Rng, names: (usize, u64, u64, u64), at: i64) -> Attempt {
    let (tenant, run, number, step) = names;
    let wait = rng.below(30_000) as i64;
    let allocated = at + wait;
    let started = allocated + rng.below(5_000) as i64;
    let length = match rng.below(100) {
        0 => rng.between(6 * HOUR, 4 * DAY),
        1..=9 => rng.between(HOUR, 5 * HOUR),
        10..=39 => rng.between(5 * MINUTE, HOUR),
        40 => 0,
        _ => rng.between(200, 5 * MINUTE),
    };
    let end = match rng.below(100) {
        0..=81 => End::Succeeded,
        82..=90 => End::Failed,
        91..=92 => End::TimedOut,
        93..=95 => End::Evicted,
        _ => End::Lost,
    };
    let mut released = started.max(allocated + length as i64);
    if length == 0 {
        released = allocated;
    }
    // Now and then a clock steps back by an hour.
    if rng.below(500) == 0 {
        released = allocated - HOUR as i64;
    }
    let gpus = if rng.percent(10) { rng.between(1, 8) } else { 0 };
    Attempt {
        tenant,
        run,
        number,
        step,
        planned: at,
        allocated,
        started,
        released,
        place: rng.below(4) as usize,
        cpu_milli: 250 * rng.between(1, 32),
        mem_mib: 256 * rng.between(1, 64),
        gpus,
        egress: if rng.percent(30) { rng.below(1 << 32) } else { 0 },
        end,
    }
}

/// What is recorded of the attempt, by the orchestrator's clock.
fn tell(rng: &mut Rng, attempt: &Attempt, records: &mut Vec<(i64, u32, Record)>) {
    let number = u32::try_from(attempt.number).unwrap_or(u32::MAX);
    let end = attempt.released.max(attempt.started);
    let is_lost = attempt.end == End::Lost;
    records.push((attempt.planned, number, Record::Planned));
    records.push((attempt.started + 20, number, Record::Started));
    let mut at = attempt.started;
    // A long one is measured on its way; of one that is lost the last word may be missing.
    let step = if is_lost && rng.percent(50) { 20 * MINUTE } else { 6 * HOUR };
    while at + (step as i64) < end {
        at += step as i64;
        if rng.percent(90) {
            records.push((at + 50, number, Record::Checkpoint(at)));
        }
    }
    let silence = if is_lost { 10 * MINUTE } else { 40 };
    let heard = end + silence as i64;
    records.push((heard, number, Record::Exited));
    if is_lost && rng.percent(60) {
        let late = heard + rng.between(HOUR, 50 * DAY) as i64;
        records.push((late, number, Record::Truth));
        if rng.percent(10) {
            records.push((late + 1_000, number, Record::Story));
        }
    } else if rng.below(300) == 0 {
        records.push((heard + rng.between(1_000, 9 * DAY) as i64, number, Record::Story));
    }
}
