//! How numbers, instants and texts are written in FOCUS, and read from rows of `usage.csv`.

use std::fmt::Write as _;

/// The fields of a line (RFC 4180).
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!is_quoted).then_some(fields)
}

/// What a meter counts, in words that the specification has for units.
pub(super) fn unit(meter: &str) -> &'static str {
    match meter.split('/').next().unwrap_or_default() {
        "cpu_milli_ms" => "Millicore Milliseconds",
        "mem_mib_ms" | "disk_mib_ms" => "Mebibyte Milliseconds",
        "gpu_ms" => "GPU Milliseconds",
        "runner_ms" => "Milliseconds",
        "egress_bytes" => "Bytes",
        // A correction adds up what facts of one price have.
        _ => "Units",
    }
}

/// Billionths as a decimal with nine digits behind the point.
pub(super) fn decimal(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let whole = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", whole / 1_000_000_000, whole % 1_000_000_000)
}

/// `amount · taken / of`, rounded down, without ever being larger than its parts. `taken` is at
/// most `of`, and `of` below 2^126.
pub(super) fn part(amount: i128, taken: i128, of: i128) -> i128 {
    if of <= 0 || taken <= 0 {
        return 0;
    }
    let size = amount.unsigned_abs();
    let (of, taken) = (of.unsigned_abs(), taken.unsigned_abs());
    let (each, over) = (size / of, size % of);
    // `taken` bit by bit: quotient and remainder of what was seen of it.
    let (mut quotient, mut rest) = (0u128, 0u128);
    for bit in (0..128 - taken.leading_zeros()).rev() {
        quotient *= 2;
        rest *= 2;
        if taken >> bit & 1 == 1 {
            quotient += each;
            rest += over;
        }
        quotient += rest / of;
        rest %= of;
    }
    let quotient = i128::try_from(quotient).unwrap_or(i128::MAX);
    if amount < 0 { -quotient } else { quotient }
}

/// An instant in whole seconds of UTC.
pub(super) fn second(at: i64, is_end: bool) -> String {
    let floor = at.div_euclid(1_000);
    let up = i64::from(is_end && at.rem_euclid(1_000) != 0);
    match jiff::Timestamp::from_second(floor + up) {
        Ok(at) => at.to_string(),
        Err(_) => String::new(),
    }
}

/// A text, in quotes where it needs them.
pub(super) fn quoted(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    // Writing into memory does not fail.
    let _ = write!(quoted, "\"{}\"", text.replace('"', "\"\""));
    out.extend_from_slice(quoted.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_amount_add_up_to_it() {
        let large = 1i128 << 120;
        for (amount, of) in
            [(1, 3), (100, 7), (0, 5), (-10, 3), (large, 1 << 100), (large - 1, large)]
        {
            let steps = [0, 1, of / 3, of / 2, of - 1, of];
            let shares =
                steps.windows(2).map(|pair| part(amount, pair[1], of) - part(amount, pair[0], of));
            assert_eq!(shares.sum::<i128>(), amount, "{amount} of {of}");
        }
        assert_eq!(part(100, 1, 3), 33);
        assert_eq!(part(-100, 1, 3), -33);
        assert_eq!(part(large, 3, 1 << 100), 3 << 20);
    }

    #[test]
    fn decimals_have_a_point_and_nine_digits() {
        assert_eq!(decimal(1_500_000_000), "1.500000000");
        assert_eq!(decimal(-20_000_000), "-0.020000000");
        assert_eq!(decimal(0), "0.000000000");
    }

    #[test]
    fn fields_in_quotes_are_read_as_they_were_written() {
        let mut out = Vec::new();
        for text in ["plain", "with, comma", "with \"quotes\"", ""] {
            if !out.is_empty() {
                out.push(b',');
            }
            quoted(&mut out, text);
        }
        let fields = split(std::str::from_utf8(&out).expect("text")).expect("fields");
        assert_eq!(fields, ["plain", "with, comma", "with \"quotes\"", ""]);
    }

    #[test]
    fn a_slice_within_a_second_has_a_beginning_before_its_end() {
        assert_eq!(second(1_100, false), "1970-01-01T00:00:01Z");
        assert_eq!(second(1_200, true), "1970-01-01T00:00:02Z");
        assert_eq!(second(2_000, true), "1970-01-01T00:00:02Z");
    }
}
