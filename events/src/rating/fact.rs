//! Facts of usage.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::csv::{field, number};
use super::rows::{Row, Rows};
use crate::digest::Sha256Digest;
use crate::step::Fault;

/// The first line of `usage.csv`.
pub const USAGE_HEADER: &str = "usage_id,leaf_index,run,step,attempt,sku,meter,quantity,slice_start_ms,slice_end_ms,rate_card,rate_card_version,fault,billed\n";

/// Whether a fact is usage of the period or corrects an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactClass {
    /// Usage of the period.
    Usage,
    /// A difference to what was billed for an earlier period.
    Correction,
}

/// One meter in one slice of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Of run, step, attempt, meter and slice.
    pub id: Sha256Digest,
    /// Usage or correction.
    pub class: FactClass,
    /// The charge period: that of the slice.
    pub period: Arc<str>,
    /// The leaf that counts.
    pub leaf_index: u64,
    /// The run.
    pub run: Arc<str>,
    /// The step.
    pub step: Arc<str>,
    /// The attempt.
    pub attempt: Arc<str>,
    /// What it is on the invoice; empty without a price.
    pub sku: Arc<str>,
    /// What was counted, for devices with model and mode.
    pub meter: Arc<str>,
    /// How much; of a correction the difference.
    pub quantity: i128,
    /// Beginning of the slice, ms.
    pub start: i64,
    /// Its end, ms.
    pub end: i64,
    /// What priced it: the card, with `+` and the contract where that had a price of its own.
    pub rate_card: Arc<str>,
    /// Which version, likewise.
    pub rate_card_version: Arc<str>,
    /// Whose fault the end was.
    pub fault: Fault,
    /// Whether it is on the invoice.
    pub billed: bool,
    /// The lines that it is part of: those with this number in [`super::Line::group`]. None
    /// where it is not billed.
    pub group: Option<u32>,
}

/// A fact as it is told: the same, with names that are lent.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct ToldFact<'a> {
    pub id: Sha256Digest,
    pub class: FactClass,
    pub period: &'a Arc<str>,
    pub leaf_index: u64,
    pub run: &'a Arc<str>,
    pub step: &'a Arc<str>,
    pub attempt: &'a Arc<str>,
    pub sku: &'a Arc<str>,
    pub meter: &'a Arc<str>,
    pub quantity: i128,
    pub start: i64,
    pub end: i64,
    pub rate_card: &'a Arc<str>,
    pub rate_card_version: &'a Arc<str>,
    pub fault: Fault,
    pub billed: bool,
    pub group: Option<u32>,
}

/// Takes facts one by one as they are found, in no order.
pub trait FactSink {
    /// One more fact.
    fn fact(&mut self, fact: ToldFact<'_>);
}

impl FactSink for Vec<Fact> {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.push(fact.to_fact());
    }
}

impl FactSink for Vec<Row> {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.push(Row::of(fact));
    }
}

impl FactSink for Rows {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.push(fact);
    }
}

impl Fact {
    /// The same, lent.
    pub fn told(&self) -> ToldFact<'_> {
        ToldFact {
            id: self.id,
            class: self.class,
            period: &self.period,
            leaf_index: self.leaf_index,
            run: &self.run,
            step: &self.step,
            attempt: &self.attempt,
            sku: &self.sku,
            meter: &self.meter,
            quantity: self.quantity,
            start: self.start,
            end: self.end,
            rate_card: &self.rate_card,
            rate_card_version: &self.rate_card_version,
            fault: self.fault,
            billed: self.billed,
            group: self.group,
        }
    }
}

impl ToldFact<'_> {
    /// The same, to be kept.
    pub fn to_fact(self) -> Fact {
        Fact {
            id: self.id,
            class: self.class,
            period: Arc::clone(self.period),
            leaf_index: self.leaf_index,
            run: Arc::clone(self.run),
            step: Arc::clone(self.step),
            attempt: Arc::clone(self.attempt),
            sku: Arc::clone(self.sku),
            meter: Arc::clone(self.meter),
            quantity: self.quantity,
            start: self.start,
            end: self.end,
            rate_card: Arc::clone(self.rate_card),
            rate_card_version: Arc::clone(self.rate_card_version),
            fault: self.fault,
            billed: self.billed,
            group: self.group,
        }
    }

    /// Its row in `usage.csv`, with the line's end.
    pub fn row(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.hex());
        number(out, self.leaf_index.into());
        for text in [self.run, self.step, self.attempt, self.sku, self.meter] {
            field(out, text);
        }
        number(out, self.quantity);
        number(out, self.start.into());
        number(out, self.end.into());
        field(out, self.rate_card);
        field(out, self.rate_card_version);
        field(out, fault_word(self.fault));
        field(out, if self.billed { "true" } else { "false" });
        out.push(b'\n');
    }
}

/// The word of the record.
pub fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "none",
        Fault::User => "user",
        Fault::Policy => "policy",
        Fault::Infra => "infra",
    }
}

/// The beginning of the ids of an attempt's facts.
#[derive(Clone)]
pub(super) struct IdStart(Sha256);

impl IdStart {
    pub(super) fn new(run: &str, step: &str, attempt: &str) -> Self {
        let mut hasher = Sha256::new_with_prefix(b"dagbook.usage/1\n");
        for part in [run, step, attempt] {
            hasher.update(part.as_bytes());
            hasher.update(b"\n");
        }
        Self(hasher)
    }

    pub(super) fn id(&self, meter: &str, slice: u32) -> Sha256Digest {
        let mut hasher = self.0.clone();
        let mut tail = [0; 12];
        let tail = decimal_line(slice, &mut tail);
        hasher.update(meter.as_bytes());
        hasher.update(b"\n");
        hasher.update(tail);
        Sha256Digest(hasher.finalize().into())
    }
}

/// A number with a line's end.
fn decimal_line(number: u32, out: &mut [u8; 12]) -> &[u8] {
    let (mut at, mut rest) = (out.len() - 1, number);
    out[at] = b'\n';
    loop {
        at -= 1;
        // A digit is below ten.
        out[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &out[at..];
        }
    }
}
