//! Decimal numbers as people write them, and whole numbers as they are kept. Nothing is ever a
//! float.

use super::Whole;

/// Decimals of a price: it is kept in billionths.
pub const PRICE_DECIMALS: u8 = 9;
/// The most digits in front of the point.
const WHOLE_DIGITS: usize = 15;

/// Reads an unsigned decimal number such as `0.048` as a whole number of its last decimals.
///
/// # Errors
/// What is wrong with it, to stand behind the number itself.
pub fn parse_decimal(text: &str, decimals: u8) -> Result<Whole, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if !digits(whole) || fraction.is_some_and(|it| !digits(it)) {
        return Err("is no decimal number such as `0.048`".to_string());
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err("has zeros in front".to_string());
    }
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > usize::from(decimals) {
        return Err(match decimals {
            0 => "has decimals, and there are none here".to_string(),
            most => format!("has {} decimals; at most {most} are kept", fraction.len()),
        });
    }
    if whole.len() > WHOLE_DIGITS {
        return Err(format!("has more than {WHOLE_DIGITS} digits in front of the point"));
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
    padded.parse().map(Whole).map_err(|_| "is too large".to_string())
}

/// Writes so many of the last decimals as a number with a point: 4210 with 2 is `42.10`.
pub fn format_decimal(value: i128, decimals: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let decimals = usize::from(decimals);
    if decimals == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    format!("{sign}{whole}.{fraction}")
}

/// Billionths without zeros at their end: 48000000 is `0.048`.
pub fn format_price(nanos: i128) -> String {
    let text = format_decimal(nanos, PRICE_DECIMALS);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_whole_numbers_of_their_last_place() {
        for (text, decimals, value) in [
            ("0.048", 9, 48_000_000),
            ("0.0000059", 9, 5_900),
            ("3.79", 9, 3_790_000_000),
            ("0", 9, 0),
            ("0.000000001", 9, 1),
            ("12.5", 7, 125_000_000),
            ("50", 2, 5_000),
            ("50.0", 2, 5_000),
            ("7", 0, 7),
        ] {
            assert_eq!(parse_decimal(text, decimals), Ok(Whole(value)), "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for (text, decimals) in [
            ("", 9),
            ("-1", 9),
            ("+1", 9),
            (".5", 9),
            ("5.", 9),
            ("1e3", 9),
            ("1,5", 9),
            ("00.5", 9),
            ("0.0000000001", 9),
            ("0.5", 0),
            ("1234567890123456", 2),
            ("٣", 2),
        ] {
            assert!(parse_decimal(text, decimals).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for (value, decimals, text) in [
            (4_210, 2, "42.10"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (-1_234, 3, "-1.234"),
        ] {
            assert_eq!(format_decimal(value, decimals), text);
        }
        for text in ["0.048", "3.79", "0", "0.0000059", "12"] {
            assert_eq!(format_price(parse_decimal(text, 9).expect(text).0), text);
        }
    }
}
