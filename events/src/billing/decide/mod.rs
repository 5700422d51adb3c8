//! What is asked of a tenant's billing: each a function from the fold to events, or a refusal.

mod adopt;
mod budget;
mod close;
mod contract;
mod credit;
mod open;

pub use budget::MAX_BUDGETS;
pub use credit::CreditAsk;
pub use open::{MAX_OPEN_PERIODS, Opening};

use super::Billing;
use crate::tenant::Refusal;
use crate::time::Timestamp;

/// Characters of a reason.
const REASON_MAX: usize = 500;

fn check_reason(reason: &str) -> Result<(), Refusal> {
    let count = reason.chars().count();
    let plain = !reason.chars().any(char::is_control) && reason.trim() == reason;
    match (1..=REASON_MAX).contains(&count) && plain {
        true => Ok(()),
        false => Err(Refusal::Invalid(format!(
            "a reason has 1 to {REASON_MAX} characters, no control characters, and no blanks at \
             its ends"
        ))),
    }
}

impl Billing {
    /// Refuses another currency than the tenant's.
    fn check_currency(&self, currency: &str) -> Result<(), Refusal> {
        match self.currency() {
            Some((ours, _)) if ours != currency => Err(Refusal::Conflict(format!(
                "the tenant is billed in {ours}, which never changes; this is in {currency}"
            ))),
            _ => Ok(()),
        }
    }

    /// From when on something new holds: what was said, or as early as it can be. `last` is from
    /// when on the newest of its kind does.
    fn effective(
        &self,
        what: &str,
        said: Option<Timestamp>,
        early: Timestamp,
        last: Option<Timestamp>,
    ) -> Result<Timestamp, Refusal> {
        let settled = self.settled_until();
        let Some(said) = said else {
            return Ok([Some(early), settled, last].into_iter().flatten().max().unwrap_or(early));
        };
        if let Some(settled) = settled.filter(|settled| said < *settled) {
            return Err(Refusal::Conflict(format!(
                "{what} cannot hold from {said} on: periods up to {settled} are closed, and their \
                 invoices never change"
            )));
        }
        if let Some(last) = last.filter(|last| said < *last) {
            return Err(Refusal::Conflict(format!(
                "{what} cannot hold from {said} on: the one before holds from {last} on and would \
                 follow it; say that instant or a later one"
            )));
        }
        Ok(said)
    }
}
