//! Durations, sizes and amounts of CPU, in integers throughout.

use crate::time::Millis;

/// Longest duration: ten years.
const MAX_MILLIS: u64 = 10 * 366 * 86_400_000;

/// `500ms`, `90s`, `15m`, `2h`, `7d`, or several in falling order (`1h30m`).
pub(crate) fn duration(text: &str) -> Result<Millis, &'static str> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut below = u64::MAX;
    if rest.is_empty() {
        return Err("says nothing");
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err("does not start with a number");
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(if tail.is_empty() { "has no unit" } else { "is not whole numbers" });
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err("has an unknown unit");
        };
        if *scale >= below {
            return Err("has its units out of order");
        }
        below = *scale;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAX_MILLIS)
            .ok_or("is longer than ten years")?;
        rest = tail;
    }
    if total == 0 {
        return Err("is no time at all");
    }
    Ok(Millis(total))
}

/// `512Mi`, `1.5Gi`, `4G`: bytes.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u64); 9] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("K", 1_000),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let milli = thousandths(number).ok_or("does not start with a number")?;
    if unit.is_empty() {
        return Err("has no unit");
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("has an unknown unit");
    };
    let bytes = u128::from(milli) * u128::from(*scale) / 1_000;
    match u64::try_from(bytes) {
        Ok(0) => Err("is nothing"),
        Ok(bytes) if bytes <= 1 << 60 => Ok(bytes),
        _ => Err("is too large"),
    }
}

/// `2`, `0.5`, `500m`: thousandths of a core.
pub(crate) fn cpu(text: &str) -> Result<u64, &'static str> {
    let milli = match text.strip_suffix('m') {
        Some(number) => number.parse::<u64>().ok(),
        None => thousandths(text),
    };
    match milli {
        None => Err("is not a number of cores"),
        Some(0) => Err("is nothing"),
        Some(milli) if milli <= 1_000_000_000 => Ok(milli),
        Some(_) => Err("is too much"),
    }
}

/// A decimal with at most three places, in thousandths.
pub(crate) fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let good = [("90s", 90_000), ("15m", 900_000), ("1h30m", 5_400_000), ("250ms", 250)];
        for (text, ms) in good {
            assert_eq!(duration(text), Ok(Millis(ms)), "{text}");
        }
        let bad = ["", "10", "1.5h", "h", "10x", "0s", "30m1h", "99999999d", "-5s", "5 s", "1h1h"];
        for text in bad {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_cpu_are_read() {
        assert_eq!(size("4Gi"), Ok(4 << 30));
        assert_eq!(size("1.5K"), Ok(1_500));
        assert!(size("4").is_err() && size("4GB").is_err() && size("Gi").is_err());
        assert!(size("9999999999T").is_err());
        assert_eq!(cpu("500m"), Ok(500));
        assert_eq!(cpu("2"), Ok(2_000));
        assert_eq!(cpu("0.25"), Ok(250));
        assert!(cpu("two").is_err() && cpu("0").is_err() && cpu("-1").is_err());
    }
}
