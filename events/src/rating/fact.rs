//! Facts of usage, and their rows.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::csv::{field, number};
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

/// Takes facts one by one as they are found, in no order.
pub trait FactSink {
    /// One more fact.
    fn fact(&mut self, fact: Fact);
}

impl FactSink for Vec<Fact> {
    fn fact(&mut self, fact: Fact) {
        self.push(fact);
    }
}

impl FactSink for Vec<Row> {
    fn fact(&mut self, fact: Fact) {
        self.push(Row::of(&fact));
    }
}

impl Fact {
    /// Its row in `usage.csv`, with the line's end.
    pub fn row(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.to_hex().as_bytes());
        number(out, self.leaf_index);
        for text in [&self.run, &self.step, &self.attempt, &self.sku, &self.meter] {
            field(out, text);
        }
        number(out, self.quantity);
        number(out, self.start);
        number(out, self.end);
        field(out, &self.rate_card);
        field(out, &self.rate_card_version);
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
        let mut tail = Vec::with_capacity(meter.len() + 12);
        tail.extend_from_slice(meter.as_bytes());
        tail.push(b'\n');
        crate::canonical::write_integer(&mut tail, i64::from(slice));
        tail.push(b'\n');
        hasher.update(&tail);
        Sha256Digest(hasher.finalize().into())
    }
}

/// A row of `usage.csv` with what it is sorted by in front, as bytes that sort as rows do. Rows
/// can be kept in files, sorted in parts and merged ([`super::merge`]) without being understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(Vec<u8>);

const CLASS_AT: usize = 32;
const START_AT: usize = 33;
const CSV_AT: usize = 41;
const NO_GROUP: u32 = u32::MAX;

impl Row {
    /// The row of a fact.
    pub fn of(fact: &Fact) -> Self {
        let mut bytes = Vec::with_capacity(384);
        bytes.extend_from_slice(&fact.id.0);
        bytes.push(fact.class as u8);
        bytes.extend_from_slice(&fact.start.cast_unsigned().wrapping_add(1 << 63).to_be_bytes());
        fact.row(&mut bytes);
        bytes.extend_from_slice(&fact.group.unwrap_or(NO_GROUP).to_be_bytes());
        Self(bytes)
    }

    /// A row from the bytes of [`Row::as_bytes`]. None if they are too few to be one.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() > CSV_AT + 4).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The line of `usage.csv`, with its end.
    pub fn csv(&self) -> &[u8] {
        &self.0[CSV_AT..self.0.len() - 4]
    }

    /// The fact's id.
    pub fn id(&self) -> Sha256Digest {
        let mut id = [0; 32];
        id.copy_from_slice(&self.0[..CLASS_AT]);
        Sha256Digest(id)
    }

    /// Usage or correction.
    pub fn class(&self) -> FactClass {
        match self.0[CLASS_AT..START_AT] {
            [0] => FactClass::Usage,
            _ => FactClass::Correction,
        }
    }

    /// Its number among the groups of facts that lines are made of; none: it is not billed.
    pub fn group(&self) -> Option<u32> {
        let mut group = [0; 4];
        group.copy_from_slice(&self.0[self.0.len() - 4..]);
        Some(u32::from_be_bytes(group)).filter(|group| *group != NO_GROUP)
    }
}
