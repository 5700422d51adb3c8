//! Prices: of a card's rows and of a contract's overrides.

use super::codes;
use super::words::{decimal, label, some_of, whole};
use super::{MAX_STEPS, words};
use crate::billing::decimal::PRICE_DECIMALS;
use crate::billing::{Match, Meter, Price, Step, TierKind, Tiers, Whole};
use crate::dag::codes as common;
use crate::dag::read::{Fields, Reader};
use crate::dag::source::{Entry, Node, Span};

/// A thousand million units: what is multiplied with it still fits.
const PRICE_MAX: i128 = 1_000_000_000_000_000_000;
/// Units of a meter.
const QUANTITY_MAX: i128 = 1_000_000_000_000_000_000;

const METERS: [(&str, Meter); 6] = [
    ("cpu_milli_ms", Meter::CpuMilliMs),
    ("mem_mib_ms", Meter::MemMibMs),
    ("disk_mib_ms", Meter::DiskMibMs),
    ("gpu_ms", Meter::GpuMs),
    ("runner_ms", Meter::RunnerMs),
    ("egress_bytes", Meter::EgressBytes),
];

/// A row of `prices`, with its place.
pub(super) fn row(reader: &mut Reader<'_, '_>, node: &Node) -> Option<(Price, Span)> {
    let keys = ["sku", "meter", "match", "price", "per", "tiers"];
    let fields = reader.fields_of_node(node, "a price", &keys)?;
    let sku = sku_of(reader, &fields, "a price");
    let meter =
        reader.required(&fields, "meter", "a price").and_then(|e| reader.choice(e, &METERS));
    let matches = match fields.get("match") {
        Some(entry) => conditions(reader, entry, meter),
        None => Some(Match::default()),
    };
    let (per, tiers) = amount(reader, &fields, "a price");
    let price = Price { sku: sku?, meter: meter?, matches: matches?, per: per?, tiers: tiers? };
    Some((price, node.span))
}

/// `sku`, required.
pub(super) fn sku_of(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    what: &str,
) -> Option<String> {
    let entry = reader.required(fields, "sku", what)?;
    let text = reader.word(entry)?;
    words::sku(reader, &text, entry.at())
}

fn conditions(reader: &mut Reader<'_, '_>, entry: &Entry, meter: Option<Meter>) -> Option<Match> {
    let fields = reader.fields(entry, "`match`", &["executor", "class", "gpu_model", "mode"])?;
    let mut of = |key: &str| -> Option<String> {
        let entry = fields.get(key)?;
        let of_gpu = matches!(key, "gpu_model" | "mode");
        if of_gpu && meter.is_some_and(|meter| meter != Meter::GpuMs) {
            let message = format!("`{key}` holds for `gpu_ms` only");
            reader
                .report
                .add(&codes::NOT_THIS_METER, entry.key_span, message)
                .hint("remove it, or price `gpu_ms`");
        }
        label(reader, entry)
    };
    Some(Match {
        class: of("class"),
        executor: of("executor"),
        gpu_model: of("gpu_model"),
        mode: of("mode"),
    })
}

/// `per`, and the price with its steps.
pub(super) fn amount(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    what: &str,
) -> (Option<Whole>, Option<Tiers>) {
    let per = reader.required(fields, "per", what).and_then(|e| whole(reader, e, 1, QUANTITY_MAX));
    let listed = fields.get("price");
    let price = listed.and_then(|entry| price(reader, entry));
    let Some(entry) = fields.get("tiers") else {
        if listed.is_none() && !fields.misspelt(&["price", "tiers"]) {
            let message = format!("{what} must have `price` or `tiers`");
            reader.report.add(&common::MISSING_KEY, fields.at, message);
        }
        let flat = |price_nanos| Tiers {
            kind: TierKind::Flat,
            steps: vec![Step { price_nanos, up_to: None }],
        };
        return (per, price.map(flat));
    };
    let tiers = tiers(reader, entry);
    if let (Some(price), Some(listed), Some(tiers)) = (price, listed, &tiers)
        && tiers.steps.first().is_some_and(|first| first.price_nanos != price)
    {
        let message = "`price` beside `tiers` is the price of the first step, and differs from it";
        reader
            .report
            .add(&codes::AWAY_FROM_LIST, listed.at(), message)
            .hint("give the same price, or leave `price` out");
    }
    (per, tiers)
}

fn price(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<Whole> {
    let nanos = decimal(reader, entry, PRICE_DECIMALS)?;
    if nanos.0 > PRICE_MAX {
        let message = "`price` is at most 1000000000";
        reader.report.add(&common::OUT_OF_RANGE, entry.at(), message);
        return None;
    }
    Some(nanos)
}

fn tiers(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<Tiers> {
    let fields = reader.fields(entry, "`tiers`", &["kind", "steps"])?;
    let kinds = [("graduated", TierKind::Graduated), ("volume", TierKind::Volume)];
    let kind = reader.required(&fields, "kind", "`tiers`").and_then(|e| reader.choice(e, &kinds));
    let steps = reader.required(&fields, "steps", "`tiers`")?;
    let nodes = some_of(reader, steps, MAX_STEPS);
    if nodes.is_empty() {
        let message = "`steps` must hold at least one step";
        reader.report.add(&common::NOTHING_IN_IT, steps.at(), message);
        return None;
    }
    let (mut read, mut complete) = (Vec::with_capacity(nodes.len()), true);
    let mut before = Whole(0);
    for (at, node) in nodes.iter().enumerate() {
        let is_last = at + 1 == nodes.len();
        match step(reader, node, is_last, before) {
            Some(step) => {
                before = step.up_to.unwrap_or(before);
                read.push(step);
            }
            None => complete = false,
        }
    }
    let kind = kind?;
    complete.then_some(Tiers { kind, steps: read })
}

fn step(reader: &mut Reader<'_, '_>, node: &Node, is_last: bool, before: Whole) -> Option<Step> {
    let fields = reader.fields_of_node(node, "a step", &["up_to", "price"])?;
    let price = reader.required(&fields, "price", "a step").and_then(|e| price(reader, e));
    let up_to = fields.get("up_to");
    let end = up_to.and_then(|e| whole(reader, e, 1, QUANTITY_MAX));
    match (up_to, is_last) {
        (None, false) => {
            let message = "a step that is not the last must have `up_to`";
            reader.report.add(&codes::BAD_STEPS, fields.at, message);
            return None;
        }
        (Some(entry), true) => {
            reader
                .report
                .add(&codes::BAD_STEPS, entry.key_span, "the last step has no `up_to`")
                .hint("add a step without `up_to`, which prices all beyond");
            return None;
        }
        _ => {}
    }
    if let (Some(entry), Some(end)) = (up_to, end)
        && end <= before
    {
        let message = format!("`up_to` is {end}, not above the {before} of the step before");
        reader.report.add(&codes::BAD_STEPS, entry.at(), message);
        return None;
    }
    if up_to.is_some() && end.is_none() {
        return None;
    }
    Some(Step { price_nanos: price?, up_to: end })
}

/// Rows that never hold, because one above them with the same meter holds wherever they would.
pub(super) fn shadowed(reader: &mut Reader<'_, '_>, rows: &[(Price, Span)]) {
    for (at, (price, span)) in rows.iter().enumerate() {
        let above = rows[..at].iter().find(|(above, _)| {
            above.meter == price.meter && covers(&above.matches, &price.matches)
        });
        if let Some((above, _)) = above {
            let message =
                format!("the price `{}` never holds: `{}` above it does", price.sku, above.sku);
            reader
                .report
                .add(&codes::SHADOWED, *span, message)
                .hint("the first that fits holds: put the narrower one first");
        }
    }
}

/// Whether all that the first asks for is in what the second asks for.
fn covers(wide: &Match, narrow: &Match) -> bool {
    let each = |wide: &Option<String>, narrow: &Option<String>| wide.is_none() || wide == narrow;
    each(&wide.class, &narrow.class)
        && each(&wide.executor, &narrow.executor)
        && each(&wide.gpu_model, &narrow.gpu_model)
        && each(&wide.mode, &narrow.mode)
}
