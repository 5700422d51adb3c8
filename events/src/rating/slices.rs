//! From what counts of an attempt to its slices.

use super::RatingError;
use super::attempt::{CLOCK_WINDOW_MS, Counts, Found};
use super::names::{Shapes, times};
use super::prices::{Groups, Prices, Rules, UNPRICED};
use crate::billing::{Bill, Clock, Meter};

/// One meter in one slice of an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Which meter of the shape.
    pub meter: usize,
    /// Which slice of the attempt, from 0.
    pub slice: u32,
    pub start: i64,
    pub end: i64,
    /// The period, as a position in the book.
    pub account: usize,
    pub quantity: i128,
    /// What prices it, or [`UNPRICED`].
    pub group: u32,
    pub is_billed: bool,
}

/// The time of an attempt that is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub start: i64,
    pub end: i64,
    /// Time on top of it, which belongs to its end.
    pub padding: i64,
}

/// The interval by the rules; says what is odd about it.
pub(super) fn interval(counts: Counts<'_>, rules: Rules, mut odd: impl FnMut(Found)) -> Interval {
    let record = counts.record;
    let heard = record.heard.get();
    let (allocated, started, mut end) = match (rules.clock, heard) {
        (Clock::Orchestrator, Some(heard)) => (heard.planned, heard.started, heard.exited),
        _ => (record.allocated, record.started.get(), record.released),
    };
    let mut start = match rules.bill {
        Bill::Allocated => allocated,
        Bill::Started => started.unwrap_or(end),
    };
    let latest = record.rt.saturating_add(CLOCK_WINDOW_MS);
    if end > latest {
        odd(Found::InFuture);
        end = latest;
    }
    if let Some(heard) = heard {
        let earliest = heard.planned.saturating_sub(CLOCK_WINDOW_MS);
        if start < earliest {
            odd(Found::InPast);
            start = earliest;
        }
    }
    if end < start {
        odd(Found::Inverted);
        end = start;
    }
    let duration = end.saturating_sub(start);
    let padding = match counts.is_final && duration > 0 {
        true => padded(duration, rules).saturating_sub(duration),
        false => 0,
    };
    Interval { start, end, padding }
}

fn padded(duration: i64, rules: Rules) -> i64 {
    let least = duration.max(rules.minimum);
    match least % rules.increment {
        0 => least,
        over => least.saturating_add(rules.increment - over),
    }
}

/// Cuts an attempt into what is counted for each meter in each slice of an opened period.
pub(super) fn cut(
    counts: Counts<'_>,
    prices: &mut Prices<'_>,
    shapes: &Shapes,
    groups: &mut Groups,
    out: &mut Vec<Piece>,
) -> Result<(), RatingError> {
    let rules = prices.rules(counts);
    let Interval { start, end, padding } = interval(counts, rules, |_| {});
    if start == end {
        return Ok(());
    }
    let is_billed = rules.faults.bills(counts.fault);
    let number = counts.record.shape;
    let (mut at, mut slice, mut from) = (prices.stretch_at(start), 0, start);
    while from < end {
        let next = prices.stretches.get(at + 1).map_or(end, |stretch| stretch.from.min(end));
        let is_last = next == end;
        if let Some(account) = prices.stretches[at].account {
            let found = prices.groups(at, number, shapes, groups);
            let duration = i128::from(next - from) + if is_last { i128::from(padding) } else { 0 };
            for (meter, unit) in shapes.get(number).meters.iter().enumerate() {
                let group = match &found {
                    Some(found) if found[meter] == UNPRICED => continue,
                    Some(found) => found[meter],
                    None => UNPRICED,
                };
                let quantity = match unit.meter {
                    Meter::EgressBytes if is_last && counts.is_final => {
                        i128::from(counts.record.egress)
                    }
                    Meter::EgressBytes => 0,
                    _ => times("a quantity", i128::from(unit.rate(counts.record)), duration)?,
                };
                if quantity > 0 {
                    let is_billed = is_billed && group != UNPRICED;
                    let (start, end) = (from, next);
                    out.push(Piece {
                        meter,
                        slice,
                        start,
                        end,
                        account,
                        quantity,
                        group,
                        is_billed,
                    });
                }
            }
        }
        (at, slice, from) = (at + 1, slice + 1, next);
    }
    Ok(())
}
