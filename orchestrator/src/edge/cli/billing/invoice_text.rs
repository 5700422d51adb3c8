//! Invoices and their lines for people.

use std::fmt::Write as _;

use dagbook_events::billing::format_decimal;

use crate::app::reports::{Difference, InvoiceReport, LineEventsReport, LineReport, WhatIfReport};
use crate::edge::cli::output::{self, BUSY, RESET, STRONG};

fn money(minor: &str, exponent: u8) -> String {
    minor.parse().map_or_else(|_| minor.to_string(), |minor| format_decimal(minor, exponent))
}

/// An invoice, with the comparison where there is one.
pub(super) fn invoice(report: &InvoiceReport) -> String {
    let InvoiceReport { status, tenant, number, period, currency, exponent, .. } = report;
    let mut text = match status.as_str() {
        "issued" => format!("{STRONG}invoice {number}{RESET} of {tenant}\n"),
        _ => format!("{BUSY}DRAFT{RESET} of an invoice of {tenant}: it would be {number}\n"),
    };
    let _ = writeln!(
        text,
        "period {}: {} to {} ({})",
        period.name, period.start, period.end, period.zone
    );
    if let Some(at) = &report.issued_at {
        let _ = writeln!(text, "issued {at} over {} leaves, root {}", report.size, report.root);
    }
    text.push('\n');
    let row = |it: &LineReport| {
        let of = if it.period == period.name { String::new() } else { it.period.clone() };
        let priced = match it.rate_card.as_str() {
            "" => String::new(),
            card => format!("{card} {}", it.rate_card_version),
        };
        vec![
            it.line_id.clone(),
            it.class.clone(),
            of,
            it.sku.clone(),
            priced,
            it.quantity.clone(),
            format!("{} per {}", it.price, it.per),
            it.amount.clone(),
        ]
    };
    let headings = ["line", "class", "of", "sku", "priced by", "quantity", "price", "amount"];
    text.push_str(&output::table(&headings, report.lines.iter().map(row).collect()));
    let _ = writeln!(text, "\n{STRONG}to be paid {} {currency}{RESET}", report.total);
    for note in &report.credit_notes {
        let reason = output::clean(&note.reason);
        let _ =
            writeln!(text, "credit note {}: -{} {currency} ({reason})", note.number, note.total);
    }
    if !report.credit_notes.is_empty() {
        let _ = writeln!(text, "left {} {currency}", money(&report.left_minor, *exponent));
    }
    for (name, count) in &report.anomalies {
        let _ = writeln!(text, "odd: {name}, {count} times");
    }
    if let Some(other) = &report.what_if {
        text.push_str(&what_if(other, *exponent, currency));
    }
    text
}

fn what_if(other: &WhatIfReport, exponent: u8, currency: &str) -> String {
    let row = |it: &Difference| {
        vec![
            it.class.clone(),
            it.period.clone(),
            it.sku.clone(),
            it.tier.to_string(),
            money(&it.before_minor, exponent),
            money(&it.after_minor, exponent),
            money(&it.difference_minor, exponent),
        ]
    };
    let headings = ["class", "of", "sku", "tier", "as it is", "with it", "difference"];
    let table = output::table(&headings, other.lines.iter().map(row).collect());
    format!(
        "\nwith the rate card {}\n\n{table}\nit would be {} {currency}: a difference of {}\n",
        other.rate_card,
        other.total,
        money(&other.difference_minor, exponent)
    )
}

/// A line, and what it is made of.
pub(super) fn line(found: &LineEventsReport, events: bool) -> String {
    let it = &found.line;
    let mut text = format!(
        "line      {} of {}\nclass     {}\nsku       {}\nperiod    {}\nprice     {} per {}, by {} {}\n\
         quantity  {}\namount    {}\nusage     {} facts, root {}\n",
        it.line_id,
        found.number,
        it.class,
        it.sku,
        it.period,
        it.price,
        it.per,
        it.rate_card,
        it.rate_card_version,
        it.quantity,
        it.amount,
        it.usage_count,
        it.usage_root,
    );
    if !events {
        return text;
    }
    let _ =
        writeln!(text, "log       {}, {} leaves, root {}", found.origin, found.size, found.root);
    for fact in &found.facts {
        let _ = writeln!(
            text,
            "\nusage     {}\n  run {} step {} attempt {}\n  {} {} from {} to {}\n  leaf {} with hash {}",
            fact.usage_id,
            fact.run,
            output::clean(&fact.step),
            fact.attempt,
            fact.quantity,
            output::clean(&fact.meter),
            fact.start,
            fact.end,
            fact.leaf_index,
            fact.leaf_hash,
        );
        for hash in &fact.proof {
            let _ = writeln!(text, "  proof {hash}");
        }
    }
    if let Some(next) = &found.next {
        let _ = writeln!(text, "\nthere is more: --after {next}");
    }
    text
}
