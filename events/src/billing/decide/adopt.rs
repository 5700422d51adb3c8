//! Giving a tenant a rate card, and letting later versions of it follow.

use crate::billing::card_versions::fits;
use crate::billing::{Billing, BillingEvent, CardAdopted, CardPublished, CardVersions};
use crate::tenant::Refusal;
use crate::time::Timestamp;

fn adopted(published: &CardPublished, effective_from: Timestamp) -> BillingEvent {
    BillingEvent::CardAdopted(CardAdopted {
        card: published.card.clone(),
        effective_from,
        sha256: published.sha256,
        source: published.source.clone(),
    })
}

/// The version that holds at an instant, and those that hold later; where none does yet, all.
fn held(card: &CardVersions, from: Timestamp) -> Vec<(&CardPublished, Timestamp)> {
    let in_force = card.versions.iter().rposition(|it| it.effective_from <= from).unwrap_or(0);
    card.versions[in_force..].iter().map(|it| (it, it.effective_from.max(from))).collect()
}

impl Billing {
    /// Gives the tenant a card, from `said` on or from now on: the version that holds then, and
    /// those that were published for later. The card that it has already is nothing.
    ///
    /// # Errors
    /// Where the card has no version or another currency, or the instant is settled.
    pub fn assign(
        &self,
        card: &CardVersions,
        said: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<BillingEvent>, Refusal> {
        let Some(first) = card.versions.first() else {
            return Err(Refusal::Conflict("the rate card has no version".to_string()));
        };
        self.check_currency(&first.card.currency)?;
        let name = &first.card.name;
        if self.card_name() == Some(name.as_str()) && said.is_none() {
            return self.follow(card);
        }
        if said.is_some_and(|said| self.ends_with(&held(card, said))) {
            return Ok(Vec::new());
        }
        let what = format!("the rate card `{name}`");
        let last = self.cards.last().map(|adopted| adopted.effective_from);
        let from = self.effective(&what, said, now, last)?;
        let held = held(card, from);
        held.into_iter().map(|(it, at)| fits(adopted(it, at), &what)).collect()
    }

    /// Whether these were adopted last, so that adopting them again is nothing.
    fn ends_with(&self, held: &[(&CardPublished, Timestamp)]) -> bool {
        let tail = self.cards.len().checked_sub(held.len()).map(|at| &self.cards[at..]);
        tail.is_some_and(|tail| {
            tail.iter()
                .zip(held)
                .all(|(it, (card, at))| it.sha256 == card.sha256 && it.effective_from == *at)
        })
    }

    /// Adopts what was published of the tenant's card since: nothing where it has another card, or
    /// has them all. A version never holds in a closed period, nor before the one that it follows.
    ///
    /// # Errors
    /// Where a version would not fit into the record.
    pub fn follow(&self, card: &CardVersions) -> Result<Vec<BillingEvent>, Refusal> {
        let Some(last) = self.cards.last() else { return Ok(Vec::new()) };
        let settled = self.settled_until().unwrap_or(last.effective_from);
        let mut from = last.effective_from.max(settled);
        let mut events = Vec::new();
        let newer = card.versions.iter().filter(|published| {
            published.card.name == last.card.name && published.card.version > last.card.version
        });
        for published in newer {
            from = from.max(published.effective_from);
            let what = format!("the rate card `{}`", published.card.name);
            events.push(fits(adopted(published, from), &what)?);
        }
        Ok(events)
    }
}
