//! Fields of the files, as RFC 4180 has them.

use std::io::Write as _;

use super::Line;
use crate::canonical::write_integer;

/// The first line of `lines.csv`.
pub const LINES_HEADER: &str = "line_id,sku,rate_card,rate_card_version,tier,quantity,per,price_nanos,amount_nanos,amount_minor,currency,usage_count,usage_root\n";

/// `lines.csv`.
pub fn lines_csv(lines: &[Line], currency: &str) -> Vec<u8> {
    let mut out = LINES_HEADER.as_bytes().to_vec();
    for line in lines {
        out.extend_from_slice(line.line_id.as_bytes());
        field(&mut out, &line.sku);
        field(&mut out, &line.rate_card);
        field(&mut out, &line.rate_card_version);
        number(&mut out, line.tier.into());
        let figures = [line.quantity, line.per, line.price_nanos];
        for whole in figures.into_iter().chain([line.amount_nanos, line.amount_minor]) {
            number(&mut out, whole);
        }
        field(&mut out, currency);
        number(&mut out, line.usage_count.into());
        field(&mut out, &line.usage_root.to_hex());
        out.push(b'\n');
    }
    out
}

/// A comma and a text.
pub(super) fn field(out: &mut Vec<u8>, text: &str) {
    out.push(b',');
    // All bytes are looked at: several at once.
    let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !text.as_bytes().iter().fold(false, |found, byte| found | is_special(byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A comma and a number.
pub(super) fn number(out: &mut Vec<u8>, number: i128) {
    out.push(b',');
    match i64::try_from(number) {
        Ok(number) => write_integer(out, number),
        // Writing into memory does not fail.
        Err(_) => drop(write!(out, "{number}")),
    }
}
