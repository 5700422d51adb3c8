//! What whoever leads does by itself: lets tenants adopt what was published of their cards, opens
//! the period behind one that has ended, and closes what is due. Every part can be cut off at any
//! point and is done by the next turn; a tenant for whom something fails keeps no other waiting.

use std::collections::BTreeMap;

use dagbook_events::billing::{Billing, CardVersions};
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, Fence};
use dagbook_events::time::{Millis, Timestamp};

use super::tenant::{OpenAsk, open_as};
use super::{Accounts, cards, close::close_as, site};
use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;

/// Periods that one turn opens for one tenant.
const OPENED_AT_ONCE: usize = 24;

/// What a turn did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turned {
    /// Versions of cards that tenants adopted.
    pub adopted: u64,
    /// Periods that were opened.
    pub opened: u64,
    /// Periods that were closed.
    pub closed: u64,
    /// Periods that are due to be closed and are not.
    pub overdue: u64,
    /// What could not be done, and for whom.
    pub problems: Vec<String>,
}

/// What is remembered between turns, to look only at what may have changed.
#[derive(Debug, Default)]
pub struct Turn {
    /// The size of the site's log when cards were read, and the cards.
    cards: Option<(u64, Vec<CardVersions>)>,
    seen: BTreeMap<TenantId, Seen>,
    failed: BTreeMap<TenantId, Failed>,
}

/// A tenant for whom something failed: it is tried again, less often each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Failed {
    times: u32,
    again: Timestamp,
    overdue: u64,
}

/// How long a tenant waits behind its first failure, and at most.
const AGAIN: (u64, u64) = (10_000, 600_000);

impl Failed {
    fn once_more(self, now: Timestamp, overdue: u64) -> Self {
        let wait = (AGAIN.0 << self.times.min(8)).min(AGAIN.1);
        Self { times: self.times + 1, again: now + Millis(wait), overdue }
    }
}

/// A tenant as it was after the turn before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    cards: u64,
    wake: Option<Timestamp>,
}

impl Turn {
    /// Takes a turn.
    ///
    /// # Errors
    /// Where the record cannot be read at all.
    pub async fn take(
        &mut self,
        accounts: &Accounts,
        fence: Option<&Fence>,
    ) -> Result<Turned, AppError> {
        let mut turned = Turned::default();
        let heads = accounts.services.store.log_heads().await?;
        let of_site = heads.get(&site()?).map_or(0, |head| head.size);
        if self.cards.as_ref().is_none_or(|(size, _)| *size != of_site) {
            self.cards = Some((of_site, cards::all(accounts).await?));
        }
        let cards = self.cards.as_ref().map_or(&[][..], |(_, cards)| cards);
        let now = accounts.services.clock.now();
        for (tenant, head) in &heads {
            if tenant.as_str() == SITE_TENANT {
                continue;
            }
            if let Some(failed) = self.failed.get(tenant).filter(|failed| now < failed.again) {
                turned.overdue += failed.overdue;
                continue;
            }
            let before = self.seen.get(tenant);
            let is_quiet = before.is_some_and(|seen| {
                let asleep = seen.wake.is_none_or(|wake| now < wake);
                asleep && seen.cards == of_site && seen.size == head.size
            });
            if is_quiet {
                continue;
            }
            let overdue = turned.overdue;
            match one(accounts, tenant, cards, fence, &mut turned).await {
                Ok(wake) => {
                    self.failed.remove(tenant);
                    let seen = Seen { size: head.size, cards: of_site, wake };
                    self.seen.insert(tenant.clone(), seen);
                }
                Err(error) => {
                    self.seen.remove(tenant);
                    let before = self.failed.remove(tenant).unwrap_or_default();
                    let failed = before.once_more(now, turned.overdue - overdue);
                    self.failed.insert(tenant.clone(), failed);
                    turned.problems.push(format!("tenant {tenant}: {error}"));
                }
            }
        }
        Ok(turned)
    }
}

/// Does what is to be done for one tenant; says when there is more.
async fn one(
    accounts: &Accounts,
    tenant: &TenantId,
    cards: &[CardVersions],
    fence: Option<&Fence>,
    turned: &mut Turned,
) -> Result<Option<Timestamp>, AppError> {
    let by = Actor::new("system", "billing");
    let mut state = accounts.billing(tenant).await?.state;
    let card = cards.iter().find(|card| {
        card.last().is_some_and(|last| Some(last.card.name.as_str()) == state.card_name())
    });
    if let Some(card) = card
        && cards::adopt(accounts, &by, tenant, card).await?
    {
        turned.adopted += 1;
    }
    let now = accounts.services.clock.now();
    for _ in 0..OPENED_AT_ONCE {
        let Some(cut) = state.next_due(now)? else { break };
        open_as(accounts, tenant, &by, &cut, &OpenAsk::default()).await?;
        turned.opened += 1;
        state = accounts.billing(tenant).await?.state;
    }
    while let Some(due) = due(&state, now) {
        turned.overdue += 1;
        close_as(accounts, tenant, &by, (&due, None), fence).await?;
        turned.overdue -= 1;
        turned.closed += 1;
        state = accounts.billing(tenant).await?.state;
    }
    Ok(wake(&state, now))
}

/// The period that is to be closed now.
fn due(state: &Billing, now: Timestamp) -> Option<String> {
    let period = state.first_open().filter(|period| period.due() <= now)?;
    Some(period.opened.period.clone())
}

/// When something is to be done by the clock.
fn wake(state: &Billing, now: Timestamp) -> Option<Timestamp> {
    let next = state.periods.last().map(|last| last.opened.end);
    let close = state.first_open().map(dagbook_events::billing::Period::due);
    let at = [next, close].into_iter().flatten().min()?;
    // What was left over, because there was too much at once, is looked at again at once.
    Some(if at <= now { now } else { at })
}
