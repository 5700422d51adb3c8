//! Closing periods: in order, without gaps in the numbers of invoices, and never twice.

use super::check_reason;
use crate::billing::card_versions::fits;
use crate::billing::{Billing, BillingEvent, GraceWaived, Period, PeriodClosed};
use crate::tenant::Refusal;
use crate::time::Timestamp;

impl Billing {
    /// The number of the next invoice.
    pub fn next_invoice(&self, tenant: &str) -> String {
        format!("{tenant}-{:06}", self.closings() + 1)
    }

    /// The period, if it may be closed now. Nothing: it is closed.
    ///
    /// # Errors
    /// Where it is not its turn, or not time.
    pub fn closable(
        &self,
        name: &str,
        now: Timestamp,
        forced: Option<&str>,
    ) -> Result<Option<&Period>, Refusal> {
        forced.map_or(Ok(()), check_reason)?;
        let period = self.period(name).ok_or_else(|| Refusal::Missing {
            what: "period",
            name: name.chars().take(80).collect(),
        })?;
        if period.closed.is_some() {
            return Ok(None);
        }
        if let Some(first) = self.first_open().filter(|first| first.opened.period != name) {
            return Err(Refusal::Conflict(format!(
                "the period `{}` comes first: periods are closed in order",
                first.opened.period
            )));
        }
        if now < period.opened.end {
            return Err(Refusal::Conflict(format!(
                "the period `{name}` goes on until {}",
                period.opened.end
            )));
        }
        if now < period.due() && forced.is_none() {
            return Err(Refusal::Conflict(format!(
                "late usage of the period `{name}` is waited for until {}; an admin of the site \
                 may close it earlier with a reason",
                period.due()
            )));
        }
        Ok(Some(period))
    }

    /// Closes a period with what was computed for it. One that is closed is nothing.
    ///
    /// # Errors
    /// As [`Billing::closable`]; also where the next period is not open, or another closing came
    /// first.
    pub fn close(
        &self,
        tenant: &str,
        closed: PeriodClosed,
        now: Timestamp,
        forced: Option<&str>,
    ) -> Result<Vec<BillingEvent>, Refusal> {
        let name = closed.period.clone();
        let Some(period) = self.closable(&name, now, forced)? else { return Ok(Vec::new()) };
        let has_next =
            self.periods.last().is_some_and(|last| last.opened.start > period.opened.start);
        if !has_next {
            return Err(Refusal::Conflict(format!(
                "the period behind `{name}` must be open before that is closed: `dagbook period \
                 open --next` opens it"
            )));
        }
        if closed.number != self.next_invoice(tenant) {
            return Err(Refusal::Conflict("another period was closed meanwhile".to_string()));
        }
        let mut events = Vec::new();
        if let Some(reason) = forced.filter(|_| now < period.due()) {
            let (period, reason) = (name.clone(), reason.to_string());
            events.push(BillingEvent::GraceWaived(GraceWaived { period, reason }));
        }
        let what = format!("the closing of `{name}`");
        events.push(fits(BillingEvent::PeriodClosed(closed), &what)?);
        Ok(events)
    }
}
