//! Why an attempt waits for money: the reason with the numbers.

use super::book::Money;
use super::figures::BudgetFigures;
use crate::admission::Wait;
use crate::billing::BudgetAction;
use crate::ids::TenantId;
use crate::run::{Hold, HoldBasis};

/// Billionths of a unit as people read amounts: to the minor unit, rounded up.
pub fn amount(nanos: i128, exponent: u8, currency: &str) -> String {
    let unit = 10i128.pow(u32::from(9u8.saturating_sub(exponent)));
    let minor = nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) > 0);
    let sign = if minor < 0 { "-" } else { "" };
    let (minor, scale) = (minor.unsigned_abs(), 10u128.pow(u32::from(exponent.min(9))));
    match exponent {
        0 => format!("{sign}{minor} {currency}"),
        digits => {
            let digits = usize::from(digits);
            format!("{sign}{}.{:0digits$} {currency}", minor / scale, minor % scale)
        }
    }
}

impl BudgetFigures {
    /// An amount in its currency, for people.
    pub fn words(&self, nanos: i128) -> String {
        amount(nanos, self.exponent, &self.currency)
    }
}

impl Money {
    /// Why an attempt with this hold waits; none: it does not wait for money any more.
    pub fn why(&self, tenant: &TenantId, hold: &Hold) -> Option<Wait> {
        let figures = self.figures(tenant);
        let holding = figures.iter().filter(|figures| figures.on_exceed != BudgetAction::Warn);
        let tightest = holding.min_by_key(|figures| figures.left().unwrap_or(i128::MIN))?;
        let Some(spent) = tightest.spent else {
            let text = format!(
                "budget `{}` holds new steps until it is read from the record what was spent",
                tightest.name
            );
            return Some(Wait::new("budget_unknown", text));
        };
        if tightest.left().is_some_and(|left| hold.nanos.0 <= left) {
            return None;
        }
        let until = match tightest.span.end {
            Some(end) => {
                format!("the period `{}` ends at {}", tightest.span.name, end.to_rfc3339())
            }
            None => "no period is open".to_string(),
        };
        let basis = match hold.basis {
            HoldBasis::Timeout => "its timeout",
            HoldBasis::Recorded => "how long 95 of 100 earlier ones took",
        };
        let text = format!(
            "budget `{}` has {}: {} spent, {} held for what runs, and this step may come to {} \
             ({} at most, {basis}); {until}",
            tightest.name,
            tightest.words(tightest.budget),
            tightest.words(spent),
            tightest.words(tightest.held),
            tightest.words(hold.nanos.0),
            hold.ms,
        );
        let unit = 10i128.pow(u32::from(9u8.saturating_sub(tightest.exponent)));
        let minor = |nanos: i128| {
            let minor = nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) > 0);
            u64::try_from(minor.max(0)).unwrap_or(u64::MAX)
        };
        let end = tightest.span.end.and_then(|end| u64::try_from(end.0).ok());
        let wait = Wait::new("budget", text).with([
            ("budget_minor", minor(tightest.budget)),
            ("spent_minor", minor(spent)),
            ("held_minor", minor(tightest.held)),
            ("hold_minor", minor(hold.nanos.0)),
            ("hold_ms", hold.ms.0),
        ]);
        Some(wait.with(end.map(|end| ("period_end_ms", end))))
    }
}
