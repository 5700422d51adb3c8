//! Who spent and holds what. Told of runs as they are, of ends as they are recorded, and of what
//! the record says was spent; it keeps sums and decides whether one more attempt can be paid.
//!
//! Nothing is counted in two places or in none: what is held for an attempt is let go when its end
//! is recorded, and from then on what it came to counts, first as something that only this process
//! has seen, then as part of what the record was read to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::figures::{BudgetFigures, KNOWN_LEAST, Refused, Spent, Typical};
use super::price::{Shape, ended_cost, hold_for};
use super::terms::{Span, Terms};
use crate::billing::BudgetAction;
use crate::ids::{AttemptId, RunId, TenantId};
use crate::run::{Heard, Hold};
use crate::step::Usage;
use crate::time::{Millis, Timestamp};

/// An end that this process recorded.
#[derive(Debug, Clone)]
struct Ended {
    usage: Box<Usage>,
    heard: Option<Heard>,
    nanos: i128,
}

/// A tenant with budgets.
#[derive(Debug)]
struct Account {
    terms: Arc<Terms>,
    span: Span,
    /// As the record was read to say.
    recorded: Option<i128>,
    /// Ended here since it was read.
    unseen: BTreeMap<AttemptId, Ended>,
    unseen_nanos: i128,
    held: i128,
    typical: BTreeMap<(String, String), Typical>,
}

/// What runs hold of one that is told of.
#[derive(Debug, Clone, Copy)]
struct Holder {
    live: i128,
    /// The most that the record may show before what is under way is recorded.
    peak: i128,
}

/// The books of all tenants with budgets.
#[derive(Debug, Default)]
pub struct Money {
    accounts: BTreeMap<TenantId, Account>,
    runs: BTreeMap<RunId, (TenantId, Holder)>,
    /// Tenants of whom something may have become possible, or must be stopped.
    moved: BTreeSet<TenantId>,
}

impl Money {
    /// Whether no tenant has a budget.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Whether the tenant has a budget.
    pub fn watches(&self, tenant: &TenantId) -> bool {
        !self.accounts.is_empty() && self.accounts.contains_key(tenant)
    }

    /// What was agreed with a tenant. Told again, it changes nothing. What was spent is not known
    /// before [`Money::set_spent`] tells.
    pub fn set_terms(&mut self, tenant: &TenantId, terms: Arc<Terms>, now: Timestamp) {
        self.moved.insert(tenant.clone());
        if terms.budgets.is_empty() {
            self.accounts.remove(tenant);
            self.runs.retain(|_, (whose, _)| whose != tenant);
            return;
        }
        let span = terms.span_at(now);
        let account = self.accounts.entry(tenant.clone()).or_insert_with(|| Account {
            terms: Arc::clone(&terms),
            span: span.clone(),
            recorded: None,
            unseen: BTreeMap::new(),
            unseen_nanos: 0,
            held: 0,
            typical: BTreeMap::new(),
        });
        // Other prices than before change what was spent, too.
        if account.terms != terms {
            account.terms = terms;
        }
        account.go_to(span);
    }

    /// What the record says was spent.
    pub fn set_spent(&mut self, tenant: &TenantId, spent: Spent, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(tenant) else { return };
        account.roll(now);
        for (pipeline, step, typical) in spent.typical {
            account.typical.insert((pipeline, step), typical);
        }
        if spent.since != account.span.start {
            return;
        }
        account.recorded = Some(spent.nanos);
        account.unseen.retain(|attempt, _| !spent.seen.contains(attempt));
        account.unseen_nanos = account.unseen.values().map(|ended| ended.nanos).sum();
        self.moved.insert(tenant.clone());
    }

    /// Ends that the record was not read to say yet.
    pub fn unseen(&self, tenant: &TenantId) -> BTreeSet<AttemptId> {
        let account = self.accounts.get(tenant);
        account.map(|it| it.unseen.keys().copied().collect()).unwrap_or_default()
    }

    /// A run as it is now: what is held for its attempts, and whether all of that is recorded.
    pub fn update(&mut self, run: RunId, tenant: &TenantId, held: i128, is_recorded: bool) {
        let Some(account) = self.accounts.get_mut(tenant) else { return };
        let fresh = || (tenant.clone(), Holder { live: 0, peak: 0 });
        let (_, holder) = self.runs.entry(run).or_insert_with(fresh);
        holder.live = held;
        let peak = if is_recorded { held } else { holder.peak.max(held) };
        account.held += peak - holder.peak;
        if peak < holder.peak {
            self.moved.insert(tenant.clone());
        }
        holder.peak = peak;
        if (holder.live, holder.peak) == (0, 0) {
            self.runs.remove(&run);
        }
    }

    /// The run is no concern of this book any more.
    pub fn remove(&mut self, run: RunId) {
        let Some((tenant, holder)) = self.runs.remove(&run) else { return };
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.held -= holder.peak;
            self.moved.insert(tenant);
        }
    }

    /// The end of an attempt was recorded by this process. To be told before the run is.
    pub fn ended(
        &mut self,
        tenant: &TenantId,
        attempt: AttemptId,
        usage: &Usage,
        heard: Option<Heard>,
    ) {
        let Some(account) = self.accounts.get_mut(tenant) else { return };
        let nanos = ended_cost(&account.terms, usage, heard.as_ref(), &account.span);
        let ended = Ended { usage: Box::new(usage.clone()), heard, nanos };
        // The late truth of one that was given up takes the place of its end.
        let before = account.unseen.insert(attempt, ended).map_or(0, |before| before.nanos);
        account.unseen_nanos += nanos - before;
        self.moved.insert(tenant.clone());
    }

    /// What would be put aside for an attempt; none: the tenant has no budget.
    pub fn hold(
        &self,
        tenant: &TenantId,
        (pipeline, step): (&str, &str),
        shape: &Shape,
        timeout: Millis,
        now: Timestamp,
    ) -> Option<Hold> {
        let account = self.accounts.get(tenant)?;
        let key = (pipeline.to_string(), step.to_string());
        let typical = account.typical.get(&key).filter(|it| it.known >= KNOWN_LEAST);
        Some(hold_for(&account.terms, shape, timeout, typical.map(|it| it.p95), now))
    }

    /// Whether that can be paid.
    ///
    /// # Errors
    /// [`Refused`] where a budget that holds back would be exceeded, or nobody knows yet what was
    /// spent.
    pub fn afford(&mut self, tenant: &TenantId, hold: Hold, now: Timestamp) -> Result<(), Refused> {
        let Some(account) = self.accounts.get_mut(tenant) else { return Ok(()) };
        account.roll(now);
        match account.room() {
            Room::All => Ok(()),
            Room::Left(left) if hold.nanos.0 <= left => Ok(()),
            Room::Left(_) | Room::Unknown => Err(Refused { hold }),
        }
    }

    /// Billionths that one more attempt may come to. None: so much as it likes.
    pub fn room(&self, tenant: &TenantId) -> Option<i128> {
        match self.accounts.get(tenant)?.room() {
            Room::All => None,
            Room::Left(left) => Some(left),
            Room::Unknown => Some(-1),
        }
    }

    /// The budget for whose sake what runs must be stopped.
    pub fn must_stop(&self, tenant: &TenantId) -> Option<BudgetFigures> {
        let stops = |figures: &BudgetFigures| {
            figures.on_exceed == BudgetAction::Stop && figures.is_exceeded()
        };
        self.figures(tenant).into_iter().find(stops)
    }

    /// The budgets of a tenant as they stand, by name: those in the currency of its prices.
    pub fn figures(&self, tenant: &TenantId) -> Vec<BudgetFigures> {
        let Some(account) = self.accounts.get(tenant) else { return Vec::new() };
        account.figures()
    }

    /// Tenants with budgets.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.accounts.keys()
    }

    /// Takes the tenants of whom something may have become possible, or must be stopped.
    pub fn take_moved(&mut self) -> BTreeSet<TenantId> {
        std::mem::take(&mut self.moved)
    }

    /// Billionths held by each run, for those that check.
    pub fn held_by_run(&self) -> impl Iterator<Item = (RunId, i128, i128)> + '_ {
        self.runs.iter().map(|(run, (_, holder))| (*run, holder.live, holder.peak))
    }
}

/// What is left.
enum Room {
    All,
    Left(i128),
    Unknown,
}

impl Account {
    fn roll(&mut self, now: Timestamp) {
        if !self.span.holds(now) && now >= self.span.start {
            let span = self.terms.span_at(now);
            self.go_to(span);
        }
    }

    /// Another span, or other prices: what was spent has to be read again where it begins anew.
    fn go_to(&mut self, span: Span) {
        if span.start != self.span.start {
            self.recorded = None;
        }
        self.span = span;
        for ended in self.unseen.values_mut() {
            let heard = ended.heard.as_ref();
            ended.nanos = ended_cost(&self.terms, &ended.usage, heard, &self.span);
        }
        self.unseen_nanos = self.unseen.values().map(|ended| ended.nanos).sum();
    }

    fn room(&self) -> Room {
        let holds = |figures: &BudgetFigures| figures.on_exceed != BudgetAction::Warn;
        let mut room = Room::All;
        for figures in self.figures().iter().filter(|figures| holds(figures)) {
            room = match (room, figures.left()) {
                (_, None) | (Room::Unknown, _) => Room::Unknown,
                (Room::All, Some(left)) => Room::Left(left),
                (Room::Left(least), Some(left)) => Room::Left(least.min(left)),
            };
        }
        room
    }

    fn figures(&self) -> Vec<BudgetFigures> {
        let card = self.terms.rules_at(self.span.start);
        let (currency, exponent) = match card {
            Some(card) => (card.currency.as_str(), card.exponent),
            // Without a card nothing costs anything, and no budget can be exceeded.
            None => return Vec::new(),
        };
        let unit = 10i128.pow(u32::from(9u8.saturating_sub(exponent)));
        let spent = self.recorded.map(|recorded| recorded.saturating_add(self.unseen_nanos));
        let own = self.terms.budgets.iter().filter(|(_, budget)| budget.currency == currency);
        own.map(|(name, budget)| BudgetFigures {
            name: name.clone(),
            on_exceed: budget.on_exceed,
            currency: currency.to_string(),
            exponent,
            budget: budget.minor.saturating_mul(unit),
            spent,
            held: self.held,
            span: self.span.clone(),
        })
        .collect()
    }
}
