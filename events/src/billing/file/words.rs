//! Names, instants, currencies and decimals of rate cards and contracts.

use super::codes;
use crate::billing::currency::{currencies, exponent_of};
use crate::billing::decimal::parse_decimal;
use crate::billing::{Whole, is_name, is_sku};
use crate::dag::codes as common;
use crate::dag::read::{Fields, Reader, shorten};
use crate::dag::source::{Entry, Node, Span};
use crate::time::Timestamp;

/// Characters of a name for people.
const TEXT_MAX: usize = 100;

/// The name of a card or of a contract.
pub(super) fn name(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<String> {
    let text = reader.word(entry)?;
    if is_name(&text) {
        return Some(text);
    }
    let message =
        format!("`{}` is not a name here: it must match [a-z0-9][a-z0-9-]{{0,62}}", shorten(&text));
    reader.report.add(&common::BAD_NAME, entry.at(), message);
    None
}

/// What a price is called on the invoice.
pub(super) fn sku(reader: &mut Reader<'_, '_>, text: &str, at: Span) -> Option<String> {
    if is_sku(text) {
        return Some(text.to_string());
    }
    let message =
        format!("`{}` is not a sku: it must match [a-z0-9][a-z0-9._-]{{0,62}}", shorten(text));
    reader.report.add(&common::BAD_NAME, at, message);
    None
}

/// Text of one line for people, or to be compared.
pub(super) fn label(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<String> {
    let text = reader.word(entry)?;
    if text.chars().count() <= TEXT_MAX
        && !text.chars().any(char::is_control)
        && text.trim() == text
    {
        return Some(text);
    }
    let message = format!(
        "`{}` has at most {TEXT_MAX} characters, no control characters and no blanks at its ends",
        shorten(&entry.key)
    );
    reader.report.add(&common::OUT_OF_RANGE, entry.at(), message);
    None
}

/// The currency and the digits of its minor unit.
pub(super) fn currency(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<(String, u8)> {
    let code = reader.word(entry)?;
    if let Some(exponent) = exponent_of(&code) {
        return Some((code, exponent));
    }
    let message = format!("ISO 4217 has no currency `{}`", shorten(&code));
    let upper = code.to_ascii_uppercase();
    let hint = match exponent_of(&upper) {
        Some(_) => Some(format!("write `{upper}`")),
        None => reader.report.suggest(&code, currencies()),
    };
    reader.report.add(&codes::UNKNOWN_CURRENCY, entry.at(), message).maybe_hint(hint);
    None
}

/// The version that a file names.
pub(super) fn version(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<u32> {
    let entry = fields.get("version")?;
    reader.count(entry, 1, 1_000_000)
}

/// From when it holds.
pub(super) fn effective_from(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
) -> Option<Timestamp> {
    let entry = fields.get("effective_from")?;
    let text = reader.word(entry)?;
    let instant = Timestamp::parse_rfc3339(&text).filter(|at| at.0 >= 0);
    if instant.is_none() {
        let message = format!("`effective_from` is not a time: `{}`", shorten(&text));
        reader
            .report
            .add(&common::BAD_TIME, entry.at(), message)
            .hint("write RFC 3339 with a zone: `2026-11-01T00:00:00Z`");
    }
    instant
}

/// A decimal number, as a whole number of its last decimals. YAML may have read it as a number;
/// what counts is what was written.
pub(super) fn decimal(reader: &mut Reader<'_, '_>, entry: &Entry, decimals: u8) -> Option<Whole> {
    let scalar = reader.scalar(entry, "a decimal number such as \"0.048\"")?;
    match parse_decimal(&scalar.text, decimals) {
        Ok(value) => Some(value),
        Err(reason) => {
            let message =
                format!("`{}`: `{}` {reason}", shorten(&entry.key), shorten(&scalar.text));
            reader.report.add(&codes::BAD_DECIMAL, entry.at(), message);
            None
        }
    }
}

/// A whole number that may be larger than YAML's numbers are here.
pub(super) fn whole(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    least: i128,
    most: i128,
) -> Option<Whole> {
    let expected = format!("a whole number from {least} to {most}");
    let scalar = reader.scalar(entry, &expected)?;
    let digits = !scalar.text.is_empty() && scalar.text.bytes().all(|c| c.is_ascii_digit());
    let read = scalar.text.parse::<i128>().ok().filter(|_| digits && scalar.text.len() <= 39);
    match read.filter(|n| (least..=most).contains(n)) {
        Some(n) => Some(Whole(n)),
        None => {
            let message = format!(
                "`{}` must be {expected}, not `{}`",
                shorten(&entry.key),
                shorten(&scalar.text)
            );
            reader.report.add(&common::OUT_OF_RANGE, entry.at(), message);
            None
        }
    }
}

/// Looks at the first so many items of a list; more are one finding.
pub(super) fn some_of<'n>(
    reader: &mut Reader<'_, '_>,
    entry: &'n Entry,
    most: usize,
) -> Vec<&'n Node> {
    let mut items: Vec<&Node> =
        reader.items(entry, false).unwrap_or_default().into_iter().map(|item| &**item).collect();
    if items.len() > most {
        let message =
            format!("`{}` has {} entries; at most {most} are read", entry.key, items.len());
        reader.report.add(&codes::TOO_MANY, entry.key_span, message);
        items.truncate(most);
    }
    items
}
