//! `focus/cost_and_usage.csv`.

use super::billed::{closed, export, order};
use super::invoices::files;
use super::record_support::Record;

/// Rows by column.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    // Nothing in this record needs quotes.
    assert!(!text.contains('"'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), names.len(), "{line}");
            names.iter().zip(fields).map(|(n, f)| ((*n).to_string(), f.to_string())).collect()
        })
        .collect()
}

/// Billionths.
fn nanos(text: &str) -> i128 {
    let (whole, part) = text.split_once('.').expect("a point");
    assert_eq!(part.len(), 9, "{text}");
    format!("{whole}{part}").parse().expect("a number")
}

#[tokio::test]
async fn the_billed_cost_of_an_invoice_is_what_is_to_be_paid() {
    let record = Record::new();
    let event = closed(&record, "acme", 90).await;
    let target = record.folder.path().join("bundle");
    export(&record, &order("acme"), &target).await.expect("exported");
    let there = files(&target);
    let text = String::from_utf8(there["focus/cost_and_usage.csv"].clone()).expect("text");
    let rows = rows(&text);
    let sum: i128 = rows.iter().map(|row| nanos(&row["BilledCost"])).sum();
    assert_eq!(sum, event.total_minor.0 * 10_000_000);
    assert!(event.total_minor.0 > 0);
    let usage = String::from_utf8(there["usage.csv"].clone()).expect("text");
    let lines = String::from_utf8(there["lines.csv"].clone()).expect("text");
    for line in lines.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let of_line =
            |row: &&std::collections::BTreeMap<String, String>| row["x_LineId"] == fields[0];
        let (mut cost, mut quantity) = (0, 0);
        for row in rows.iter().filter(of_line) {
            cost += nanos(&row["BilledCost"]);
            let consumed = row["ConsumedQuantity"].strip_suffix(".0").unwrap_or("0");
            quantity += consumed.parse::<i128>().expect("a number");
        }
        let minor: i128 = fields[9].parse().expect("a number");
        assert_eq!(cost, minor * 10_000_000, "{line}");
        if !fields[1].contains(':') {
            assert_eq!(quantity, fields[5].parse::<i128>().expect("a number"), "{line}");
        }
    }
    let tiers = rows.iter().filter(|row| row["SkuId"] == "cpu");
    let tiers: std::collections::BTreeSet<&str> = tiers.map(|row| row["x_Tier"].as_str()).collect();
    assert_eq!(tiers.len(), 2, "both steps of the price are reached");
    for row in &rows {
        assert_eq!(row["InvoiceId"], event.number);
        assert!(row["BillingPeriodStart"] < row["BillingPeriodEnd"]);
        assert!(row["ChargePeriodStart"] < row["ChargePeriodEnd"], "{row:?}");
        if row["ChargeCategory"] == "Usage" {
            assert!(usage.contains(&row["x_UsageId"]), "{row:?}");
            assert!(!row["x_RunId"].is_empty() && !row["x_LeafIndex"].is_empty());
        } else {
            assert!(row["ConsumedQuantity"].is_empty(), "{row:?}");
        }
    }
    let categories: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row["ChargeCategory"].as_str()).collect();
    assert_eq!(categories.into_iter().collect::<Vec<_>>(), ["Adjustment", "Credit", "Usage"]);
}
