//! Fields of the files, as RFC 4180 has them.

use std::fmt::Display;
use std::io::Write;

use super::Line;

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
        number(&mut out, line.tier);
        let figures = [line.quantity, line.per, line.price_nanos];
        for whole in figures.into_iter().chain([line.amount_nanos, line.amount_minor]) {
            number(&mut out, whole);
        }
        field(&mut out, currency);
        number(&mut out, line.usage_count);
        field(&mut out, &line.usage_root.to_hex());
        out.push(b'\n');
    }
    out
}

/// A comma and a text.
pub(super) fn field(out: &mut Vec<u8>, text: &str) {
    out.push(b',');
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
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
pub(super) fn number(out: &mut Vec<u8>, number: impl Display) {
    // Writing into memory does not fail.
    let _ = write!(out, ",{number}");
}
