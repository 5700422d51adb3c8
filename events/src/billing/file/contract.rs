//! A contract.

use std::collections::BTreeSet;

use super::words::{self, decimal, some_of};
use super::{MAX_PARTS, MAX_PRICES, Read, prices};
use crate::billing::{Contract, Credit, Discount, Override};
use crate::dag::codes as common;
use crate::dag::read::{Fields, Reader};
use crate::dag::source::{Entry, Node};

const KEYS: [&str; 7] =
    ["contract", "version", "currency", "effective_from", "overrides", "discounts", "credits"];
/// Decimals of a percentage: a part of a thousand million.
const PERCENT_DECIMALS: u8 = 7;
/// All of it.
const ALL: i128 = 1_000_000_000;

pub(super) fn read(reader: &mut Reader<'_, '_>, root: &Node) -> Option<Read<Contract>> {
    let mut fields = reader.fields_of_node(root, "a contract", &KEYS)?;
    fields.at.end = fields.at.start;
    let name = reader
        .required(&fields, "contract", "a contract")
        .and_then(|entry| words::name(reader, entry));
    let version = words::version(reader, &fields);
    let currency = reader
        .required(&fields, "currency", "a contract")
        .and_then(|entry| words::currency(reader, entry));
    let effective_from = words::effective_from(reader, &fields);
    let overrides = overrides(reader, &fields);
    let discounts = discounts(reader, &fields);
    let (currency, exponent) = match currency {
        Some((currency, exponent)) => (Some(currency), exponent),
        // Amounts can still be looked at, with as many decimals as any currency has.
        None => (None, 4),
    };
    let credits = credits(reader, &fields, exponent);
    let contract = Contract {
        name: name?,
        version: version.unwrap_or(0),
        currency: currency?,
        exponent,
        overrides,
        discounts,
        credits,
    };
    Some(Read { what: contract, version, effective_from, source: String::new() })
}

fn overrides(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Vec<Override> {
    let Some(entry) = fields.get("overrides") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for node in some_of(reader, entry, MAX_PRICES) {
        let keys = ["sku", "price", "per", "tiers"];
        let Some(fields) = reader.fields_of_node(node, "an override", &keys) else { continue };
        let sku = prices::sku_of(reader, &fields, "an override");
        let (per, tiers) = prices::amount(reader, &fields, "an override");
        if let (Some(sku), Some(per), Some(tiers)) = (sku, per, tiers) {
            once(reader, &mut seen, &sku, node);
            all.push(Override { sku, per, tiers });
        }
    }
    all
}

fn once(reader: &mut Reader<'_, '_>, seen: &mut BTreeSet<String>, name: &str, node: &Node) {
    if !seen.insert(name.to_string()) {
        let message = format!("`{name}` is there twice");
        reader.report.add(&common::REPEATED, node.span, message);
    }
}

fn part_name(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, what: &str) -> Option<String> {
    let entry = reader.required(fields, "name", what)?;
    words::name(reader, entry)
}

fn discounts(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Vec<Discount> {
    let Some(entry) = fields.get("discounts") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for node in some_of(reader, entry, MAX_PARTS) {
        let keys = ["name", "percent", "skus"];
        let Some(fields) = reader.fields_of_node(node, "a discount", &keys) else { continue };
        let name = part_name(reader, &fields, "a discount");
        let percent = reader.required(&fields, "percent", "a discount");
        let parts = percent.and_then(|entry| {
            let parts = decimal(reader, entry, PERCENT_DECIMALS)?;
            if (1..=ALL).contains(&parts.0) {
                return Some(parts);
            }
            let message = "`percent` is above 0 and at most 100";
            reader.report.add(&common::OUT_OF_RANGE, entry.at(), message);
            None
        });
        let skus = fields.get("skus").map(|entry| skus(reader, entry));
        if let (Some(name), Some(parts_per_billion)) = (name, parts) {
            once(reader, &mut seen, &name, node);
            all.push(Discount { name, parts_per_billion, skus });
        }
    }
    all
}

fn skus(reader: &mut Reader<'_, '_>, entry: &Entry) -> Vec<String> {
    let mut all = Vec::new();
    for (text, span) in reader.words(entry).unwrap_or_default() {
        all.extend(words::sku(reader, &text, span));
    }
    if matches!(&entry.node.kind, crate::dag::source::Kind::List(items) if items.is_empty()) {
        reader
            .report
            .add(&common::NOTHING_IN_IT, entry.at(), "`skus` is empty")
            .hint("leave it out for a discount on everything");
    }
    all
}

fn credits(reader: &mut Reader<'_, '_>, fields: &Fields<'_>, exponent: u8) -> Vec<Credit> {
    let Some(entry) = fields.get("credits") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for node in some_of(reader, entry, MAX_PARTS) {
        let Some(fields) = reader.fields_of_node(node, "a credit", &["name", "amount"]) else {
            continue;
        };
        let name = part_name(reader, &fields, "a credit");
        let amount = reader.required(&fields, "amount", "a credit").and_then(|entry| {
            let amount = decimal(reader, entry, exponent)?;
            if amount.0 > 0 {
                return Some(amount);
            }
            let message = "`amount` must be above 0";
            reader.report.add(&common::OUT_OF_RANGE, entry.at(), message);
            None
        });
        if let (Some(name), Some(amount_minor)) = (name, amount) {
            once(reader, &mut seen, &name, node);
            all.push(Credit { name, amount_minor });
        }
    }
    all
}
