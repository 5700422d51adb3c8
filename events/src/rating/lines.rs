//! Lines of an invoice: usage, corrections, discounts, credits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RatingError;
use super::amount::{Amount, Part, amount, divide, parts};
use super::book::Period;
use super::draft::{Draft, Sum};
use super::names::{plus, times};
use super::rows::Roots;
use crate::billing::{CreditTaken, PeriodTotal, Whole};
use crate::digest::Sha256Digest;
use crate::tlog::empty_root;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineClass {
    /// Usage of the period.
    Usage,
    /// A difference to what an earlier period was billed.
    Correction,
    /// A part that is taken off.
    Discount,
    /// An amount that was there before.
    Credit,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From `000001`.
    pub line_id: String,
    /// What it is.
    pub class: LineClass,
    /// Of what.
    pub sku: Arc<str>,
    /// What priced it.
    pub rate_card: Arc<str>,
    /// Which version.
    pub rate_card_version: Arc<str>,
    /// Which step of the price, from 1.
    pub tier: u32,
    /// How much.
    pub quantity: i128,
    /// So many cost the price.
    pub per: i128,
    /// The price, in billionths.
    pub price_nanos: i128,
    /// The amount in billionths.
    pub amount_nanos: i128,
    /// The amount in minor units.
    pub amount_minor: i128,
    /// The charge period.
    pub period: Arc<str>,
    /// Facts that it was made from.
    pub usage_count: u64,
    /// The root over their ids.
    pub usage_root: Sha256Digest,
    /// Its facts: those with this number in [`super::Fact::group`].
    pub group: Option<u32>,
}

/// All that follows from the sums.
#[derive(Debug, Default)]
pub(super) struct Billed {
    pub lines: Vec<Line>,
    pub totals: Vec<PeriodTotal>,
    pub corrected: Vec<PeriodTotal>,
    pub credits: Vec<CreditTaken>,
    pub total_minor: i128,
}

pub(super) fn bill(draft: &Draft, roots: &Roots) -> Result<Billed, RatingError> {
    let mut billed = Billed::default();
    let mut lines: Vec<(i64, Line)> = Vec::new();
    let mut totals: BTreeMap<_, PeriodTotal> = BTreeMap::new();
    let mut corrected: BTreeMap<_, PeriodTotal> = BTreeMap::new();
    for (number, sum) in (0..).zip(&draft.sums) {
        let root = roots.groups.get(&number);
        if root.map_or(0, |root| root.size()) != sum.facts {
            return Err(RatingError::Rows { row: roots.rows() });
        }
        let facts = Facts { number, sum, root: root.map_or_else(empty_root, |root| root.root()) };
        let name = sum.group.name.clone();
        let (charged, quantity) = match &sum.carried {
            None => (&draft.period, sum.quantity),
            Some((charged, before)) => (charged, plus("a sum", *before, sum.quantity)?),
        };
        let made = match &sum.carried {
            None => usage_lines(draft, &facts)?,
            Some((charged, before)) => correction_lines(draft, &facts, charged, *before)?,
        };
        lines.extend(made.into_iter().map(|line| (charged.start, line)));
        let total = PeriodTotal {
            period: sum.carried.as_ref().map(|(charged, _)| charged.name.to_string()),
            quantity: Whole(quantity),
            rate_card: name.label.to_string(),
            rate_card_version: name.version.to_string(),
            sku: name.sku.to_string(),
        };
        match sum.carried {
            None => totals.insert((charged.start, name), total),
            Some(_) if sum.quantity != 0 => corrected.insert((charged.start, name), total),
            Some(_) => None,
        };
    }
    let order = |(start, line): &(i64, Line)| {
        let name = (line.sku.clone(), line.rate_card.clone(), line.rate_card_version.clone());
        (line.class, *start, name, line.tier)
    };
    lines.sort_by_cached_key(order);
    billed.lines = lines.into_iter().map(|(_, line)| line).collect();
    billed.totals = totals.into_values().collect();
    billed.corrected = corrected.into_values().collect();
    discounts(draft, &mut billed.lines)?;
    credits(draft, &mut billed)?;
    for (number, line) in (1..).zip(&mut billed.lines) {
        let number: u32 = number;
        line.line_id = format!("{number:06}");
        billed.total_minor = plus("the total", billed.total_minor, line.amount_minor)?;
    }
    Ok(billed)
}

/// A sum with what proves it.
struct Facts<'a> {
    number: u32,
    sum: &'a Sum,
    root: Sha256Digest,
}

impl Facts<'_> {
    fn line(&self, class: LineClass, period: &Period, part: Part) -> Line {
        let group = &self.sum.group;
        Line {
            line_id: String::new(),
            class,
            sku: Arc::clone(&group.name.sku),
            rate_card: Arc::clone(&group.name.label),
            rate_card_version: Arc::clone(&group.name.version),
            tier: part.tier,
            quantity: part.quantity,
            per: group.per,
            price_nanos: part.price_nanos,
            amount_nanos: part.amount.nanos,
            amount_minor: part.amount.minor,
            period: Arc::clone(&period.name),
            usage_count: self.sum.facts,
            usage_root: self.root,
            group: Some(self.number),
        }
    }
}

fn usage_lines(draft: &Draft, facts: &Facts<'_>) -> Result<Vec<Line>, RatingError> {
    let (sum, period) = (facts.sum, &draft.period);
    let parts = parts(sum.quantity, sum.group.per, &sum.group.tiers, period.exponent)?;
    Ok(parts.into_iter().map(|part| facts.line(LineClass::Usage, period, part)).collect())
}

/// Both sums are rated, and by each step the difference is billed.
fn correction_lines(
    draft: &Draft,
    facts: &Facts<'_>,
    charged: &Period,
    before: i128,
) -> Result<Vec<Line>, RatingError> {
    let group = &facts.sum.group;
    let rate = |sum| parts(sum, group.per, &group.tiers, draft.period.exponent);
    let (old, new) = (rate(before)?, rate(plus("a sum", before, facts.sum.quantity)?)?);
    let mut steps: BTreeMap<u32, Part> = BTreeMap::new();
    for (parts, sign) in [(new, 1), (old, -1)] {
        for part in parts {
            let nothing = Part { quantity: 0, amount: Amount::default(), ..part };
            let step = steps.entry(part.tier).or_insert(nothing);
            step.quantity += sign * part.quantity;
            step.amount.nanos += sign * part.amount.nanos;
            step.amount.minor += sign * part.amount.minor;
        }
    }
    let is_some = |part: &Part| part.quantity != 0 || part.amount != Amount::default();
    let steps = steps.into_values().filter(is_some);
    Ok(steps.map(|part| facts.line(LineClass::Correction, charged, part)).collect())
}

const BILLION: i128 = 1_000_000_000;

fn discounts(draft: &Draft, lines: &mut Vec<Line>) -> Result<(), RatingError> {
    let Some(contract) = &draft.contract else { return Ok(()) };
    let mut remainders: Vec<i128> = lines.iter().map(|line| line.amount_nanos).collect();
    let covered = lines.len();
    for discount in &contract.discounts {
        let parts = discount.parts_per_billion.0;
        let is_covered: Vec<bool> = lines[..covered]
            .iter()
            .map(|line| match &discount.skus {
                None => true,
                Some(skus) => skus.iter().any(|sku| **sku == *line.sku),
            })
            .collect();
        let covered = || remainders.iter().zip(&is_covered).filter(|(_, is_covered)| **is_covered);
        let add = |sum, (remainder, _): (&i128, _)| plus("a discount", sum, *remainder);
        let quantity = covered().try_fold(0, add)?;
        if quantity == 0 {
            continue;
        }
        for (remainder, is_covered) in remainders.iter_mut().zip(&is_covered) {
            if *is_covered {
                *remainder -= divide(times("a discount", *remainder, parts)?, BILLION)?;
            }
        }
        let amount = amount(quantity, -parts, BILLION, draft.period.exponent)?;
        let sku = format!("discount:{}", discount.name);
        let part = Part { tier: 1, quantity, price_nanos: -parts, amount };
        lines.push(agreed_line(draft, LineClass::Discount, sku, BILLION, part));
    }
    Ok(())
}

fn credits(draft: &Draft, billed: &mut Billed) -> Result<(), RatingError> {
    let Some(contract) = &draft.contract else { return Ok(()) };
    let minor_nanos = 10i128.pow(9u32.saturating_sub(u32::from(draft.period.exponent)));
    let mut due = 0;
    for line in &billed.lines {
        due = plus("the total", due, line.amount_minor)?;
    }
    for credit in &contract.credits {
        let earlier = draft.credits.iter();
        let earlier =
            earlier.filter(|taken| taken.contract == contract.name && taken.name == credit.name);
        let gone: i128 = earlier.map(|taken| taken.minor.0).sum();
        let taken = (credit.amount_minor.0 - gone).min(due).max(0);
        if taken == 0 {
            continue;
        }
        due -= taken;
        let quantity = times("a credit", taken, minor_nanos)?;
        let amount = Amount { nanos: -quantity, minor: -taken };
        let part = Part { tier: 1, quantity, price_nanos: -1, amount };
        let sku = format!("credit:{}", credit.name);
        billed.lines.push(agreed_line(draft, LineClass::Credit, sku, 1, part));
        billed.credits.push(CreditTaken {
            contract: contract.name.clone(),
            minor: Whole(taken),
            name: credit.name.clone(),
        });
    }
    Ok(())
}

/// A line that stands in the contract.
fn agreed_line(draft: &Draft, class: LineClass, sku: String, per: i128, part: Part) -> Line {
    let contract = draft.contract.as_ref();
    Line {
        line_id: String::new(),
        class,
        sku: Arc::from(sku),
        rate_card: Arc::from(contract.map_or("", |contract| contract.name.as_str())),
        rate_card_version: contract
            .map_or_else(|| Arc::from(""), |contract| Arc::from(contract.version.to_string())),
        tier: part.tier,
        quantity: part.quantity,
        per,
        price_nanos: part.price_nanos,
        amount_nanos: part.amount.nanos,
        amount_minor: part.amount.minor,
        period: Arc::clone(&draft.period.name),
        usage_count: 0,
        usage_root: empty_root(),
        group: None,
    }
}
