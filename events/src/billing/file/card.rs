//! A rate card.

use std::collections::BTreeMap;

use super::words::{self, some_of};
use super::{MAX_PRICES, Read, prices};
use crate::billing::{Bill, BillFaults, Clock, Price, RateCard, Rounding};
use crate::dag::codes as common;
use crate::dag::read::{Fields, Reader};
use crate::dag::source::{Node, Span};
use crate::time::Millis;

/// A day.
const DAY_MS: i64 = 86_400_000;

const KEYS: [&str; 11] = [
    "rate_card",
    "version",
    "currency",
    "effective_from",
    "bill",
    "clock",
    "bill_faults",
    "minimum_ms",
    "increment_ms",
    "rounding",
    "prices",
];

pub(super) fn read(reader: &mut Reader<'_, '_>, root: &Node) -> Option<Read<RateCard>> {
    let mut fields = reader.fields_of_node(root, "a rate card", &KEYS)?;
    fields.at.end = fields.at.start;
    let name = reader
        .required(&fields, "rate_card", "a rate card")
        .and_then(|entry| words::name(reader, entry));
    let version = words::version(reader, &fields);
    let currency = reader
        .required(&fields, "currency", "a rate card")
        .and_then(|entry| words::currency(reader, entry));
    let effective_from = words::effective_from(reader, &fields);
    let bill = fields.get("bill").and_then(|entry| {
        reader.choice(entry, &[("allocated", Bill::Allocated), ("started", Bill::Started)])
    });
    let clock = fields.get("clock").and_then(|entry| {
        reader
            .choice(entry, &[("executor", Clock::Executor), ("orchestrator", Clock::Orchestrator)])
    });
    let bill_faults = faults(reader, &fields);
    let minimum = fields.get("minimum_ms").and_then(|e| reader.integer(e, 0, DAY_MS));
    let increment = fields.get("increment_ms").and_then(|e| reader.integer(e, 1, DAY_MS));
    let rounding = fields
        .get("rounding")
        .and_then(|entry| reader.choice(entry, &[("half_even", Rounding::HalfEven)]));
    let prices = rows(reader, &fields);
    let millis = |ms: Option<i64>, or: u64| Millis(ms.map_or(or, i64::unsigned_abs));
    let (currency, exponent) = currency?;
    let card = RateCard {
        name: name?,
        version: version.unwrap_or(0),
        currency,
        exponent,
        bill: bill.unwrap_or(Bill::Allocated),
        clock: clock.unwrap_or(Clock::Executor),
        bill_faults,
        minimum_ms: millis(minimum, 0),
        increment_ms: millis(increment, 1),
        rounding: rounding.unwrap_or(Rounding::HalfEven),
        prices,
    };
    Some(Read { what: card, version, effective_from, source: String::new() })
}

/// Faults of the machines are not billed if nothing is said; others are.
fn faults(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> BillFaults {
    let mut faults = BillFaults { infra: false, policy: true, user: true };
    let Some(entry) = fields.get("bill_faults") else { return faults };
    let Some(inner) = reader.fields(entry, "`bill_faults`", &["infra", "policy", "user"]) else {
        return faults;
    };
    let mut of =
        |key: &str, or: bool| inner.get(key).and_then(|entry| reader.boolean(entry)).unwrap_or(or);
    faults = BillFaults {
        infra: of("infra", faults.infra),
        policy: of("policy", faults.policy),
        user: of("user", faults.user),
    };
    faults
}

fn rows(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Vec<Price> {
    let Some(entry) = reader.required(fields, "prices", "a rate card") else { return Vec::new() };
    let nodes = some_of(reader, entry, MAX_PRICES);
    if nodes.is_empty() && matches!(&entry.node.kind, crate::dag::source::Kind::List(_)) {
        let message = "`prices` must hold at least one price";
        reader.report.add(&common::NOTHING_IN_IT, entry.at(), message);
    }
    let rows: Vec<(Price, Span)> =
        nodes.into_iter().filter_map(|node| prices::row(reader, node)).collect();
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    for (price, span) in &rows {
        if seen.insert(&price.sku, ()).is_some() {
            let message = format!("the sku `{}` is there twice", price.sku);
            reader.report.add(&common::REPEATED, *span, message);
        }
    }
    prices::shadowed(reader, &rows);
    rows.into_iter().map(|(price, _)| price).collect()
}
