//! What an attempt would come to, and what it came to: each price is that of its first step.

use super::terms::{Span, Terms};
use crate::billing::{Bill, Clock, Contract, Match, Meter, Price, RateCard, Whole};
use crate::run::{Heard, Hold, HoldBasis};
use crate::step::{GpuUsage, Requested, Usage};
use crate::time::{Millis, Timestamp};

/// What is paid for, as far as it does not depend on time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The executor's name.
    pub executor: String,
    /// Its price class.
    pub class: String,
    /// What was asked for.
    pub requested: Requested,
}

/// What to put aside for an attempt that may take so long, at the prices of an instant. Without
/// a card nothing costs anything.
pub fn hold_for(
    terms: &Terms,
    shape: &Shape,
    timeout: Millis,
    recorded: Option<Millis>,
    at: Timestamp,
) -> Hold {
    let (ms, basis) = match recorded {
        Some(recorded) if recorded < timeout => (recorded, HoldBasis::Recorded),
        _ => (timeout, HoldBasis::Timeout),
    };
    Hold { nanos: Whole(cost_of(terms, shape, ms, at)), ms, basis }
}

/// What so much time comes to, at the prices of an instant.
pub fn cost_of(terms: &Terms, shape: &Shape, ms: Millis, at: Timestamp) -> i128 {
    terms.card_at(at).map_or(0, |card| {
        let contract = terms.contract_at(at).map(|contract| &**contract);
        nanos(card, contract, shape, padded(card, ms.0), 0)
    })
}

/// What an attempt that ended came to in a span of time.
pub fn ended_cost(terms: &Terms, usage: &Usage, heard: Option<&Heard>, span: &Span) -> i128 {
    let Some(rules) = terms.rules_at(usage.allocated_ms) else { return 0 };
    // Of one that was given up only what was measured before may count.
    if usage.outcome == "lost" || !rules.bill_faults.bills(usage.fault) {
        return 0;
    }
    let (allocated, started, end) = match (rules.clock, heard) {
        (Clock::Orchestrator, Some(heard)) => (heard.planned, heard.started, heard.exited),
        _ => (usage.allocated_ms, usage.started_ms, usage.released_ms),
    };
    let start = match rules.bill {
        Bill::Allocated => allocated,
        Bill::Started => started.unwrap_or(end),
    };
    let whole = end.since(start).0;
    if whole == 0 {
        return 0;
    }
    let is_last = span.holds(end) || span.end == Some(end);
    let (padding, egress) = match is_last {
        true => (padded(rules, whole) - whole, usage.used.egress_bytes),
        false => (0, 0),
    };
    let ms = span.of(start, end).saturating_add(padding);
    let began = start.max(span.start);
    let Some(card) = terms.card_at(began) else { return 0 };
    let contract = terms.contract_at(began).map(|contract| &**contract);
    let shape = Shape {
        executor: usage.executor.clone(),
        class: usage.class.clone(),
        requested: usage.requested.clone(),
    };
    nanos(card, contract, &shape, ms, egress)
}

/// At least the minimum, and rounded up to the increment.
fn padded(card: &RateCard, ms: u64) -> u64 {
    let least = ms.max(card.minimum_ms.0);
    let increment = card.increment_ms.0.max(1);
    least.div_ceil(increment).saturating_mul(increment)
}

/// Billionths of the currency's unit, each meter rounded up.
fn nanos(
    card: &RateCard,
    contract: Option<&Contract>,
    shape: &Shape,
    ms: u64,
    egress: u64,
) -> i128 {
    let asked = &shape.requested;
    let times = |n: u64| i128::from(n).saturating_mul(i128::from(ms));
    let plain = [
        (Meter::CpuMilliMs, times(asked.cpu_milli)),
        (Meter::MemMibMs, times(asked.mem_mib)),
        (Meter::DiskMibMs, times(asked.disk_mib)),
        (Meter::RunnerMs, times(1)),
        (Meter::EgressBytes, i128::from(egress)),
    ];
    let plain = plain.into_iter().map(|(meter, quantity)| (meter, None, quantity));
    let gpus = asked.gpu.iter().map(|gpu| {
        let quantity = times(u64::from(gpu.count));
        (Meter::GpuMs, Some(gpu), quantity)
    });
    let cost = |(meter, gpu, quantity): (Meter, Option<&GpuUsage>, i128)| {
        let price = card.prices.iter().find(|price| fits(price, meter, gpu, shape))?;
        let own = contract.and_then(|it| it.overrides.iter().find(|own| own.sku == price.sku));
        let (per, tiers) = match own {
            Some(own) => (own.per, &own.tiers),
            None => (price.per, &price.tiers),
        };
        let first = tiers.steps.first()?.price_nanos.0;
        Some(div_up(quantity.saturating_mul(first), per.0))
    };
    plain.chain(gpus).filter_map(cost).fold(0i128, i128::saturating_add)
}

fn fits(price: &Price, meter: Meter, gpu: Option<&GpuUsage>, shape: &Shape) -> bool {
    let is = |wanted: &Option<String>, have: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| have == Some(wanted))
    };
    let Match { class, executor, gpu_model, mode } = &price.matches;
    price.meter == meter
        && is(class, Some(&shape.class))
        && is(executor, Some(&shape.executor))
        && is(gpu_model, gpu.map(|gpu| gpu.model.as_str()))
        && is(mode, gpu.map(|gpu| gpu.mode.as_str()))
}

fn div_up(n: i128, d: i128) -> i128 {
    match d {
        ..=0 => 0,
        d => n.div_euclid(d).saturating_add(i128::from(n.rem_euclid(d) > 0)),
    }
}
