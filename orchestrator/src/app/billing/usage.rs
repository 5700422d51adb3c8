//! Usage of a tenant in a period, also in one that was never opened: added up by what it is
//! billed as, or by what used it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::access::Permission;
use dagbook_events::billing::{month_around, period_named};
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::rating::{Fact, FactClass, Line, LineClass, Span, Statement};
use dagbook_events::time::Timestamp;

use super::invoice::{head_of, named};
use super::rate::{How, Rated, What, rate, shared};
use super::tenant::zone;
use super::{Accounts, cards::refused};
use crate::app::error::AppError;
use crate::app::listing;
use crate::app::principal::Principal;
use crate::app::reports::{UsageReport, UsageRow};

/// By what usage is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// What it is on the invoice.
    #[default]
    Sku,
    /// What was counted.
    Meter,
    /// The run.
    Run,
    /// The pipeline of the run.
    Pipeline,
}

impl By {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sku => "sku",
            Self::Meter => "meter",
            Self::Run => "run",
            Self::Pipeline => "pipeline",
        }
    }
}

impl std::str::FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Sku, Self::Meter, Self::Run, Self::Pipeline];
        all.into_iter()
            .find(|by| by.as_str() == text)
            .ok_or_else(|| "usage is added up by `sku`, `meter`, `run` or `pipeline`".to_string())
    }
}

/// Usage of a period: of one that was opened, a month, a week, or `FROM/TO` in RFC 3339. With
/// none, of the month that it is.
///
/// # Errors
/// [`AppError::Invalid`] where no period is named.
pub async fn usage(
    accounts: &Accounts,
    by: &Principal,
    period: Option<&str>,
    (grouping, facts): (By, bool),
) -> Result<UsageReport, AppError> {
    by.require(Permission::ReadAudit)?;
    let state = accounts.billing(&by.tenant).await?.state;
    let zone = &zone(accounts, &by.tenant, &state).await?;
    let (what, head, is_opened) = match period.map(|name| (name, named(&state, name))) {
        Some((_, Ok(period))) => {
            (What::Period(period.opened.period.clone()), head_of(period), true)
        }
        Some((text, Err(_))) => (What::Span(span(text, zone)?), None, false),
        None => {
            let now = accounts.services.clock.now();
            let month = month_around(now, zone).map_err(|error| refused(&error.to_string()))?;
            let span = Span { name: month.name, start: month.start.0, end: month.end.0 };
            match state.period(&span.name) {
                Some(period) => (What::Period(span.name), head_of(period), true),
                None => (What::Span(span), None, false),
            }
        }
    };
    let how = How { head, ..How::default() };
    let Rated { statement, head, .. } = rate(accounts, &by.tenant, what, how).await?;
    let rows = rows(accounts, &by.tenant, &statement, grouping).await?;
    let mut report = UsageReport::of(&statement, head, (grouping.as_str(), is_opened), rows);
    if facts {
        report.usage_csv = String::from_utf8(statement.usage_csv()).ok();
    }
    Ok(report)
}

fn span(text: &str, zone: &str) -> Result<Span, AppError> {
    if let Some((from, to)) = text.split_once('/') {
        let instant = |text: &str| {
            Timestamp::parse_rfc3339(text)
                .ok_or_else(|| refused(&format!("`{text}` is no time of RFC 3339")))
        };
        let (start, end) = (instant(from)?, instant(to)?);
        if start >= end {
            return Err(AppError::Invalid("the span ends before it begins".to_string()));
        }
        return Ok(Span { name: text.to_string(), start: start.0, end: end.0 });
    }
    let cut = period_named(text, zone).map_err(|error| {
        refused(&format!("{error}; nor is it a period that was opened, or `FROM/TO` in RFC 3339"))
    })?;
    Ok(Span { name: cut.name, start: cut.start.0, end: cut.end.0 })
}

/// What is added up together: the key, sku and meter.
type Key = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Default)]
struct Sum {
    quantity: i128,
    billed: i128,
    facts: u64,
    amount: Option<i128>,
}

async fn rows(
    accounts: &Accounts,
    tenant: &TenantId,
    statement: &Statement,
    grouping: By,
) -> Result<Vec<UsageRow>, AppError> {
    let too_large = || AppError::Damaged("the usage is larger than 127 bits".to_string());
    let mut pipelines: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    // Of each group of lines: who used how much of it, and the smallest id of theirs.
    let mut shares: BTreeMap<u32, BTreeMap<Key, (i128, String)>> = BTreeMap::new();
    for fact in statement.facts.iter().filter(|fact| fact.class == FactClass::Usage) {
        let key = key(accounts, tenant, fact, grouping, &mut pipelines).await?;
        let sum = sums.entry(key.clone()).or_default();
        sum.quantity = sum.quantity.checked_add(fact.quantity).ok_or_else(too_large)?;
        sum.facts += 1;
        if let Some(group) = fact.group.filter(|_| fact.billed) {
            sum.billed = sum.billed.checked_add(fact.quantity).ok_or_else(too_large)?;
            let id = fact.id.to_hex();
            let share = shares.entry(group).or_default().entry(key).or_insert((0, id.clone()));
            share.0 = share.0.checked_add(fact.quantity).ok_or_else(too_large)?;
            if id < share.1 {
                share.1 = id;
            }
        }
    }
    for (group, shares) in shares {
        let is_it = |line: &&Line| line.group == Some(group) && line.class == LineClass::Usage;
        let amount = statement.lines.iter().filter(is_it).map(|line| line.amount_minor).sum();
        for (key, part) in allocate(amount, shares).ok_or_else(too_large)? {
            let sum = sums.entry(key).or_default();
            sum.amount = Some(sum.amount.unwrap_or(0) + part);
        }
    }
    let exponent = statement.period.exponent;
    let row = |((key, sku, meter), sum): (Key, Sum)| {
        let of = |text: Arc<str>| text.to_string();
        UsageRow::of(
            (of(key), of(sku), of(meter)),
            sum.facts,
            (sum.quantity, sum.billed),
            sum.amount,
            exponent,
        )
    };
    Ok(sums.into_iter().map(row).collect())
}

async fn key(
    accounts: &Accounts,
    tenant: &TenantId,
    fact: &Fact,
    grouping: By,
    pipelines: &mut BTreeMap<Arc<str>, Arc<str>>,
) -> Result<Key, AppError> {
    let first = match grouping {
        By::Sku => Arc::clone(&fact.sku),
        By::Meter => Arc::clone(&fact.meter),
        By::Run => Arc::clone(&fact.run),
        By::Pipeline => match pipelines.get(&fact.run) {
            Some(known) => Arc::clone(known),
            None => {
                let name = pipeline(accounts, tenant, &fact.run).await?;
                pipelines.insert(Arc::clone(&fact.run), Arc::clone(&name));
                name
            }
        },
    };
    Ok((first, Arc::clone(&fact.sku), Arc::clone(&fact.meter)))
}

async fn pipeline(accounts: &Accounts, tenant: &TenantId, run: &str) -> Result<Arc<str>, AppError> {
    let Ok(run) = run.parse::<RunId>() else { return Ok(shared("")) };
    let head = listing::head(&accounts.services.recorder, tenant, run).await?;
    Ok(head.map_or_else(|| shared(""), |head| Arc::from(head.pipeline)))
}

/// Shares out an amount by quantity, so that the parts add up to it: by largest remainder, ties by
/// the lowest id of usage. None: figures beyond 127 bits.
fn allocate(amount: i128, shares: BTreeMap<Key, (i128, String)>) -> Option<Vec<(Key, i128)>> {
    let mut whole: i128 = 0;
    for (quantity, _) in shares.values() {
        whole = whole.checked_add(*quantity)?;
    }
    if whole <= 0 {
        return Some(shares.into_keys().map(|key| (key, 0)).collect());
    }
    let mut parts = Vec::with_capacity(shares.len());
    let mut left = amount;
    for (key, (quantity, id)) in shares {
        let exact = amount.checked_mul(quantity)?;
        left -= exact.div_euclid(whole);
        parts.push((exact.rem_euclid(whole), id, key, exact.div_euclid(whole)));
    }
    parts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let more = usize::try_from(left).ok()?;
    let with_rest = parts
        .into_iter()
        .enumerate()
        .map(|(at, (_, _, key, part))| (key, part + i128::from(at < more)));
    Some(with_rest.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(of: &[(&str, i128)]) -> BTreeMap<Key, (i128, String)> {
        let key = |text: &str| (shared(text), shared("cpu"), shared("cpu_milli_ms"));
        of.iter().map(|(text, n)| (key(text), (*n, format!("id-{text}")))).collect()
    }

    #[test]
    fn parts_add_up_and_the_largest_remainders_get_the_rest() {
        let parts = |amount: i128, of: &[(&str, i128)]| -> Vec<(String, i128)> {
            let mut parts: Vec<(String, i128)> = allocate(amount, shares(of))
                .expect("small")
                .into_iter()
                .map(|(key, part)| (key.0.to_string(), part))
                .collect();
            parts.sort();
            assert_eq!(parts.iter().map(|(_, part)| part).sum::<i128>(), amount);
            parts
        };
        let of = |all: &[(&str, i128)]| -> Vec<(String, i128)> {
            all.iter().map(|(key, part)| (key.to_string(), *part)).collect()
        };
        assert_eq!(
            parts(100, &[("a", 1), ("b", 1), ("c", 1)]),
            of(&[("a", 34), ("b", 33), ("c", 33)])
        );
        assert_eq!(parts(10, &[("a", 1), ("b", 9)]), of(&[("a", 1), ("b", 9)]));
        assert_eq!(parts(1, &[("a", 1), ("b", 2)]), of(&[("a", 0), ("b", 1)]));
        assert_eq!(parts(0, &[("a", 1)]), of(&[("a", 0)]));
        assert!(allocate(i128::MAX, shares(&[("a", 2)])).is_none());
    }
}
