//! FOCUS 1.2 (FinOps Open Cost and Usage Specification), dataset CostAndUsage: a rated period for
//! the tools of others.
//!
//! A usage line becomes a row for each of its facts, in the order of their ids: facts take up the
//! quantity of the line one behind the other, and the step of a price that they reach with it. The
//! share of a fact in the line's amount is the difference of two rounded-down parts of it, so that
//! shares add up to the amount exactly. Corrections, discounts and credits are a row each. So the
//! sum of `BilledCost` is what is to be paid.
//!
//! Costs are decimals with nine digits behind a point; quantities are whole numbers of the meter's
//! unit, written with a point as well, because tools take a column's type from how it looks.
//! Instants have whole seconds here: a slice begins with the second in which it began, and ends
//! with the one in which it ended; exact milliseconds are in `usage.csv`.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::text::{decimal, part, quoted, second, split, unit};
use super::{Line, LineClass, Row, RowRef, Statement};
use crate::digest::Sha256Digest;

/// The columns, in order.
const COLUMNS: [&str; 43] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "x_RunId",
    "x_StepId",
    "x_Attempt",
    "x_LeafIndex",
    "x_UsageId",
    "x_RateCard",
    "x_RateCardVersion",
    "x_LineId",
    "x_Tier",
    "x_PriceNanos",
    "x_Per",
    "x_LogRoot",
    "x_LogSize",
];

/// Why a row of the usage cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of the usage has not the fields of `usage.csv`")]
pub struct NoUsage;

/// A fact as its row has it.
struct Used {
    id: String,
    leaf: String,
    run: String,
    step: String,
    attempt: String,
    meter: String,
    quantity: i128,
    start: i64,
    end: i64,
}

/// What differs from row to row.
struct Charge<'a> {
    line: &'a Line,
    nanos: i128,
    category: &'static str,
    is_correction: bool,
    description: String,
    quantity: Option<i128>,
    meter: &'a str,
    start: i64,
    end: i64,
    used: Option<&'a Used>,
}

/// Where a line's facts have come to.
struct Taken<'a> {
    line: &'a Line,
    taken: i128,
}

/// Writes `focus/cost_and_usage.csv` row by row.
pub struct FocusWriter<'a> {
    statement: &'a Statement,
    issuer: String,
    periods: BTreeMap<Arc<str>, (i64, i64)>,
    root: String,
    /// Usage lines of a group that are not used up, in the order of their steps.
    groups: BTreeMap<u32, Vec<Taken<'a>>>,
    billed: i128,
}

impl<'a> FocusWriter<'a> {
    /// A writer for a statement. `periods` are the instants of the periods that it may correct,
    /// `root` is the root of the log at its size.
    pub fn new(
        statement: &'a Statement,
        periods: BTreeMap<Arc<str>, (i64, i64)>,
        root: Sha256Digest,
    ) -> Self {
        let mut groups: BTreeMap<u32, Vec<Taken<'_>>> = BTreeMap::new();
        for line in statement.lines.iter().filter(|line| line.class == LineClass::Usage) {
            if let Some(group) = line.group {
                groups.entry(group).or_default().push(Taken { line, taken: 0 });
            }
        }
        for lines in groups.values_mut() {
            lines.sort_by_key(|taken| taken.line.tier);
        }
        let origin = &statement.origin;
        let issuer = origin.split_once("/t/").map_or(origin.as_str(), |(issuer, _)| issuer);
        let (issuer, root) = (issuer.to_string(), root.to_hex());
        Self { statement, issuer, periods, root, groups, billed: 0 }
    }

    /// The first line.
    pub fn header(&self) -> Vec<u8> {
        format!("{}\n", COLUMNS.join(",")).into_bytes()
    }

    /// What follows from the next row of `usage.csv`, all of which come in their order.
    ///
    /// # Errors
    /// Where it is no such row.
    pub fn row(&mut self, row: RowRef<'_>, out: &mut Vec<u8>) -> Result<(), NoUsage> {
        let Some(mut lines) = row.group().and_then(|group| self.groups.remove(&group)) else {
            // Not billed, or a correction, which is shown line by line.
            return Ok(());
        };
        let used = Used::read(row.csv())?;
        let mut left = used.quantity;
        let mut charges = Vec::new();
        for taken in &mut lines {
            let part = left.min(taken.line.quantity - taken.taken);
            if part > 0 {
                let before = self.share(taken.line, taken.taken);
                taken.taken += part;
                left -= part;
                charges.push((taken.line, part, self.share(taken.line, taken.taken) - before));
            }
        }
        for (line, part, nanos) in charges {
            self.write(
                out,
                &Charge {
                    line,
                    nanos,
                    category: "Usage",
                    is_correction: false,
                    description: format!("{} of {}", used.meter, used.step),
                    quantity: Some(part),
                    meter: &used.meter,
                    start: used.start,
                    end: used.end,
                    used: Some(&used),
                },
            );
        }
        if let Some(group) = row.group() {
            self.groups.insert(group, lines);
        }
        Ok(())
    }

    /// What follows from no single fact.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let statement = self.statement;
        let period = &statement.period;
        for line in &statement.lines {
            let (category, description) = match line.class {
                LineClass::Usage => continue,
                LineClass::Correction => {
                    ("Usage", format!("correction of {} in {}", line.sku, line.period))
                }
                LineClass::Discount => ("Adjustment", format!("{}", line.sku)),
                LineClass::Credit => ("Credit", format!("{}", line.sku)),
            };
            let is_correction = line.class == LineClass::Correction;
            let own = (period.start, period.end);
            let (start, end) = match is_correction {
                true => self.periods.get(&line.period).copied().unwrap_or(own),
                false => own,
            };
            let nanos = self.amount(line);
            self.write(
                out,
                &Charge {
                    line,
                    nanos,
                    category,
                    is_correction,
                    description,
                    quantity: is_correction.then_some(line.quantity),
                    meter: "",
                    start,
                    end,
                    used: None,
                },
            );
        }
    }

    /// The sum of `BilledCost` so far, in billionths: at the end, what is to be paid.
    pub fn billed(&self) -> i128 {
        self.billed
    }

    /// What is to be paid, in billionths.
    pub fn payable(&self) -> i128 {
        self.nanos(self.statement.total_minor)
    }

    /// The amount of a line, in billionths.
    fn amount(&self, line: &Line) -> i128 {
        self.nanos(line.amount_minor)
    }

    fn nanos(&self, minor: i128) -> i128 {
        let digits = 9u32.saturating_sub(u32::from(self.statement.period.exponent));
        minor.saturating_mul(10i128.pow(digits))
    }

    /// What the first so many units of a line cost, rounded down.
    fn share(&self, line: &Line, taken: i128) -> i128 {
        part(self.amount(line), taken, line.quantity)
    }

    fn write(&mut self, out: &mut Vec<u8>, charge: &Charge<'_>) {
        self.billed = self.billed.saturating_add(charge.nanos);
        let Charge { line, used, .. } = charge;
        let (statement, period) = (self.statement, &self.statement.period);
        let cost = decimal(charge.nanos);
        let quantity = charge.quantity.map(|q| format!("{q}.0")).unwrap_or_default();
        let unit = if charge.quantity.is_some() { unit(charge.meter) } else { "" };
        let of_used = |field: fn(&Used) -> &String| used.map_or("", |used| field(used).as_str());
        let is_priced = charge.category == "Usage";
        let sku = if is_priced { &*line.sku } else { "" };
        let price =
            format!("{}/{}/{}/{}", line.sku, line.rate_card, line.rate_card_version, line.tier);
        let fields: [&str; 43] = [
            &cost,
            &statement.tenant,
            &statement.tenant,
            &period.currency,
            &second(period.end, true),
            &second(period.start, false),
            charge.category,
            if charge.is_correction { "Correction" } else { "" },
            &charge.description,
            if is_priced { "Usage-Based" } else { "One-Time" },
            &second(charge.end, true),
            &second(charge.start, false),
            &quantity,
            unit,
            &cost,
            &cost,
            &statement.number,
            &self.issuer,
            &cost,
            if is_priced { "Standard" } else { "" },
            &quantity,
            unit,
            &self.issuer,
            &self.issuer,
            "Compute",
            "dagbook",
            "Other (Compute)",
            sku,
            if is_priced { charge.meter } else { "" },
            if is_priced { &price } else { "" },
            of_used(|used| &used.run),
            of_used(|used| &used.step),
            of_used(|used| &used.attempt),
            of_used(|used| &used.leaf),
            of_used(|used| &used.id),
            &line.rate_card,
            &line.rate_card_version,
            &line.line_id,
            &line.tier.to_string(),
            &line.price_nanos.to_string(),
            &line.per.to_string(),
            &self.root,
            &statement.size.to_string(),
        ];
        for (n, text) in fields.into_iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            quoted(out, text);
        }
        out.push(b'\n');
    }
}

impl Used {
    fn read(csv: &[u8]) -> Result<Self, NoUsage> {
        let text = std::str::from_utf8(csv).map_err(|_| NoUsage)?;
        let fields = split(text.strip_suffix('\n').ok_or(NoUsage)?).ok_or(NoUsage)?;
        let fields: [String; 14] = fields.try_into().map_err(|_| NoUsage)?;
        let [id, leaf, run, step, attempt, _, meter, quantity, start, end, ..] = fields;
        Ok(Self {
            id,
            leaf,
            run,
            step,
            attempt,
            meter,
            quantity: quantity.parse().map_err(|_| NoUsage)?,
            start: start.parse().map_err(|_| NoUsage)?,
            end: end.parse().map_err(|_| NoUsage)?,
        })
    }
}

/// `focus/cost_and_usage.csv` of a statement whose facts are in memory.
///
/// # Errors
/// Where a fact is none that `usage.csv` can have.
pub fn focus_csv(
    statement: &Statement,
    periods: BTreeMap<Arc<str>, (i64, i64)>,
    root: Sha256Digest,
) -> Result<Vec<u8>, NoUsage> {
    let mut writer = FocusWriter::new(statement, periods, root);
    let mut out = writer.header();
    for fact in &statement.facts {
        writer.row(Row::of(fact.told()).lent(), &mut out)?;
    }
    writer.finish(&mut out);
    Ok(out)
}
