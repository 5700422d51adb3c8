//! From quantities to money: the one place where anything is rounded.

use super::RatingError;
use super::names::times;
use crate::billing::{TierKind, Tiers};

/// An amount in billionths of the unit and in minor units, each rounded from the exact value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub nanos: i128,
    pub minor: i128,
}

/// `quantity × price / per` of a currency with so many decimal digits.
pub(super) fn amount(
    quantity: i128,
    price_nanos: i128,
    per: i128,
    exponent: u8,
) -> Result<Amount, RatingError> {
    let product = times("an amount", quantity, price_nanos)?;
    let minor_nanos = 10i128.pow(9u32.saturating_sub(u32::from(exponent)));
    Ok(Amount {
        nanos: divide(product, per)?,
        minor: divide(product, times("a price's unit", per, minor_nanos)?)?,
    })
}

/// Division to the nearest whole number, a half to the even one.
pub(super) fn divide(dividend: i128, divisor: i128) -> Result<i128, RatingError> {
    let error = RatingError::TooLarge { what: "an amount by nothing" };
    let floor = dividend.checked_div_euclid(divisor).filter(|_| divisor > 0).ok_or(error)?;
    let rest = dividend.rem_euclid(divisor);
    // `rest` and `divisor − rest` are compared, for twice the rest may not fit.
    let up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => floor & 1,
        std::cmp::Ordering::Greater => 1,
    };
    Ok(floor + up)
}

/// What of a sum lies in which step of its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1.
    pub tier: u32,
    pub quantity: i128,
    pub price_nanos: i128,
    pub amount: Amount,
}

/// A sum by the steps of its price, those with something in them.
pub(super) fn parts(
    quantity: i128,
    per: i128,
    tiers: &Tiers,
    exponent: u8,
) -> Result<Vec<Part>, RatingError> {
    let mut parts = Vec::new();
    let mut below = 0;
    for (number, step) in (1..).zip(&tiers.steps) {
        let up_to = step.up_to.map(|up_to| up_to.0);
        let reached = match tiers.kind {
            TierKind::Flat => quantity,
            TierKind::Volume if up_to.is_none_or(|up_to| quantity <= up_to) => quantity,
            TierKind::Volume => 0,
            TierKind::Graduated => up_to.map_or(quantity, |up_to| quantity.min(up_to)) - below,
        };
        if reached > 0 {
            let price_nanos = step.price_nanos.0;
            let amount = amount(reached, price_nanos, per, exponent)?;
            parts.push(Part { tier: number, quantity: reached, price_nanos, amount });
        }
        if reached > 0 && tiers.kind != TierKind::Graduated {
            break;
        }
        below = up_to.unwrap_or(below);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_goes_to_the_even_neighbour_on_both_sides_of_zero() {
        let halves = [(-5, -2), (-3, -2), (-1, 0), (1, 0), (3, 2), (5, 2), (7, 4)];
        for (dividend, quotient) in halves {
            assert_eq!(divide(dividend, 2), Ok(quotient), "{dividend}/2");
        }
        assert_eq!(divide(-7, 3), Ok(-2));
        assert_eq!(divide(-8, 3), Ok(-3));
        assert_eq!(divide(i128::MAX, i128::MAX), Ok(1));
        assert!(divide(1, 0).is_err());
    }
}
