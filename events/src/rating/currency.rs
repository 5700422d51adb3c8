//! One currency for one period.

use std::sync::Arc;

use super::RatingError;
use super::book::Period;
use super::ledger::Ledger;
use super::prices::Prices;

/// ISO 4217 for no currency at all: that of a span in which nothing has a price.
pub const NO_CURRENCY: &str = "XXX";

impl Ledger {
    /// Sees to it that all that prices the period is in its currency. A what-if, and a span that
    /// nobody opened, take that of their card, or else of their contract.
    pub(super) fn check_currency(
        &self,
        period: &mut Period,
        prices: &Prices<'_>,
    ) -> Result<(), RatingError> {
        let (cards, contracts) = prices.all_within(period.start, period.end);
        if let Some(card) = &self.options.what_if {
            period.currency = Arc::from(card.currency.as_str());
            period.exponent = card.exponent;
            return Ok(());
        }
        if self.options.span.is_some() {
            let card = cards.first().map(|card| (card.currency.as_str(), card.exponent));
            let contract = contracts.first().map(|one| (one.currency.as_str(), one.exponent));
            let (currency, exponent) = card.or(contract).unwrap_or((NO_CURRENCY, 0));
            period.currency = Arc::from(currency);
            period.exponent = exponent;
        }
        let cards = cards.iter().map(|card| (&card.name, &card.currency, card.exponent));
        let contracts = contracts.iter().map(|one| (&one.name, &one.currency, one.exponent));
        for (name, currency, exponent) in cards.chain(contracts) {
            if **currency != *period.currency || exponent != period.exponent {
                return Err(RatingError::Currency {
                    name: name.clone(),
                    found: format!("{currency}/{exponent}"),
                    wanted: format!("{}/{}", period.currency, period.exponent),
                });
            }
        }
        Ok(())
    }
}
