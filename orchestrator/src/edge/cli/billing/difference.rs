//! What differs between two versions of a rate card.

use std::collections::BTreeMap;

use serde::Serialize;

use super::price;
use crate::app::reports::RateCardReport;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// A rule, or a sku.
    pub what: String,
    /// In the one; none: it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// In the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// All that differs, but for the version itself: rules first, then prices by sku, then whether
/// their order does, which decides where several fit.
pub fn differences(from: &RateCardReport, to: &RateCardReport) -> Vec<Changed> {
    let (before, after) = (said(from), said(to));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut changes = Vec::new();
    for what in names {
        let (before, after) = (before.get(what).cloned(), after.get(what).cloned());
        if before != after {
            let what = what.split_once(' ').map_or(what.as_str(), |(_, what)| what).to_string();
            changes.push(Changed { what, before, after });
        }
    }
    changes
}

/// Everything that a card says, by name, with a digit in front that sorts it.
fn said(report: &RateCardReport) -> BTreeMap<String, String> {
    let card = &report.card;
    let json = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    };
    let mut all = BTreeMap::from([
        ("0 currency".to_string(), card.currency.clone()),
        ("0 effective_from".to_string(), report.effective_from.clone()),
        ("0 bill".to_string(), json(serde_json::to_value(card.bill))),
        ("0 clock".to_string(), json(serde_json::to_value(card.clock))),
        ("0 bill_faults".to_string(), json(serde_json::to_value(card.bill_faults))),
        ("0 minimum_ms".to_string(), card.minimum_ms.0.to_string()),
        ("0 increment_ms".to_string(), card.increment_ms.0.to_string()),
        ("0 rounding".to_string(), json(serde_json::to_value(card.rounding))),
    ]);
    for it in &card.prices {
        let meter = json(serde_json::to_value(it.meter));
        let matches = json(serde_json::to_value(&it.matches));
        let matches = if matches == "{}" { String::new() } else { format!(" {matches}") };
        let text = format!("{meter}{matches}: {}", price(&it.tiers, &it.per.to_string()));
        all.insert(format!("1 price {}", it.sku), text);
    }
    let order: Vec<&str> = card.prices.iter().map(|it| it.sku.as_str()).collect();
    all.insert("2 order of prices".to_string(), order.join(", "));
    all
}
