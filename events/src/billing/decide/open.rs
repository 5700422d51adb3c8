//! Opening periods.

use crate::billing::{
    Billing, BillingEvent, Cut, PeriodKind, PeriodOpened, exponent_of, is_period_name, next_period,
};
use crate::tenant::Refusal;
use crate::time::{Millis, Timestamp};

/// The shortest period.
const SHORTEST: Millis = Millis(1_000);
/// The longest: a leap year and its neighbours.
const LONGEST: Millis = Millis::seconds(400 * 86_400);
/// How long it may be waited for late usage.
const GRACE_MAX: Millis = Millis::seconds(62 * 86_400);
/// How long it is waited for late usage if nothing is said.
const GRACE: Millis = Millis::seconds(48 * 3_600);
/// Periods that may be open at one time.
pub const MAX_OPEN_PERIODS: usize = 64;

/// What is asked for beside the period itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opening {
    /// How long late usage is waited for; by default as before, or 48 hours.
    pub grace: Option<Millis>,
    /// The currency, where nothing says it yet.
    pub currency: Option<String>,
    /// No leaf before this can matter to it or to a later one.
    pub needs_from: u64,
}

impl Billing {
    /// Opens a period. One that is open as it would be opened is nothing.
    ///
    /// # Errors
    /// Where it does not begin at the end of the one before, or contradicts something else.
    pub fn open(&self, cut: &Cut, asked: &Opening) -> Result<Vec<BillingEvent>, Refusal> {
        let invalid = |text: String| Err(Refusal::Invalid(text));
        if !is_period_name(&cut.name) {
            return invalid(
                "a period's name must match [A-Za-z0-9][A-Za-z0-9._-]{0,62}".to_string(),
            );
        }
        let last = self.periods.last();
        let start = self.start_of(cut);
        if let Some(there) = self.period(&cut.name) {
            let it = &there.opened;
            let same = it.kind == cut.kind && it.end == cut.end && it.zone == cut.zone;
            return match same {
                true => Ok(Vec::new()),
                false => Err(Refusal::Conflict(format!(
                    "the period `{}` was opened from {} to {}",
                    cut.name, it.start, it.end
                ))),
            };
        }
        if let Some(last) = last.filter(|last| last.opened.end != start) {
            let it = &last.opened;
            return Err(Refusal::Conflict(format!(
                "the period `{}` ends at {}, so the next one begins there; `{}` would begin at {}",
                it.period, it.end, cut.name, start
            )));
        }
        let length = cut.end.since(start);
        if !(SHORTEST..=LONGEST).contains(&length) || start < Timestamp(0) {
            return invalid(format!(
                "a period has from {SHORTEST} to {LONGEST}; `{}` would have {length}, from {start} \
                 to {}",
                cut.name, cut.end
            ));
        }
        let grace_ms = asked.grace.or(last.map(|it| it.opened.grace_ms)).unwrap_or(GRACE);
        if grace_ms > GRACE_MAX {
            return invalid(format!("the grace is at most {GRACE_MAX}, not {grace_ms}"));
        }
        let open = self.periods.len() - self.closings();
        if open >= MAX_OPEN_PERIODS {
            return Err(Refusal::Full {
                limit: "open_periods",
                reason: format!("{open} periods are open, the most there may be: close some"),
            });
        }
        let (currency, exponent) = self.currency_for(asked.currency.as_deref())?;
        Ok(vec![BillingEvent::PeriodOpened(PeriodOpened {
            period: cut.name.clone(),
            kind: cut.kind,
            start,
            end: cut.end,
            zone: cut.zone.clone(),
            grace_ms,
            currency,
            exponent,
            needs_from: asked.needs_from,
        })])
    }

    /// A month behind a month, or a week behind a week, begins where that one was said to end, even
    /// if the zone's rules have changed since.
    fn start_of(&self, cut: &Cut) -> Timestamp {
        let Some(last) = self.periods.last().filter(|_| cut.kind != PeriodKind::Custom) else {
            return cut.start;
        };
        match next_period(&last.opened) {
            Ok(next) if next.name == cut.name && next.kind == cut.kind => next.start,
            _ => cut.start,
        }
    }

    fn currency_for(&self, asked: Option<&str>) -> Result<(String, u8), Refusal> {
        if let Some(asked) = asked {
            self.check_currency(asked)?;
            let exponent = exponent_of(asked).ok_or_else(|| {
                let short: String = asked.chars().take(20).collect();
                Refusal::Invalid(format!("ISO 4217 has no currency `{short}`"))
            })?;
            return Ok((asked.to_string(), exponent));
        }
        let known = self.currency().map(|(currency, exponent)| (currency.to_string(), exponent));
        known.ok_or_else(|| {
            Refusal::Invalid(
                "nothing says in which currency the tenant is billed: assign a rate card first, \
                 or say `--currency`"
                    .to_string(),
            )
        })
    }

    /// The period that follows the last one, where that has ended and nobody opened one.
    ///
    /// # Errors
    /// Where there is no such period.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Cut>, Refusal> {
        let Some(last) = self.periods.last().filter(|last| last.opened.end <= now) else {
            return Ok(None);
        };
        self.cut_behind(&last.opened).map(Some)
    }

    /// What follows a period if nobody says otherwise, under a name that is free.
    ///
    /// # Errors
    /// Where there is no such period.
    pub fn cut_behind(&self, last: &PeriodOpened) -> Result<Cut, Refusal> {
        let mut cut = next_period(last).map_err(|error| Refusal::Conflict(error.to_string()))?;
        // The rest of a month may have been cut several times.
        let base = cut.name.clone();
        for n in 2.. {
            if self.period(&cut.name).is_none() {
                break;
            }
            cut.name = format!("{base}-{n}");
            cut.kind = PeriodKind::Custom;
        }
        Ok(cut)
    }
}
