//! A rate card as it is recorded. The file that people write is read elsewhere.

use serde::{Deserialize, Serialize};

use super::Whole;
use crate::step::Fault;
use crate::time::Millis;

/// What a unit of usage costs, from an instant on. Immutable once published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCard {
    /// What it is called.
    pub name: String,
    /// From 1, one more for each that is published.
    pub version: u32,
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the currency's minor unit: JPY 0, EUR 2, KWD 3.
    pub exponent: u8,
    /// From which instant on an attempt is billed.
    pub bill: Bill,
    /// Whose clock says so.
    pub clock: Clock,
    /// Whether an attempt is billed that ended by somebody's fault.
    pub bill_faults: BillFaults,
    /// The shortest time that is billed for an attempt.
    pub minimum_ms: Millis,
    /// Its time is rounded up to a multiple of this; at least 1.
    pub increment_ms: Millis,
    /// How amounts are rounded.
    pub rounding: Rounding,
    /// The first that fits a meter prices it.
    pub prices: Vec<Price>,
}

/// From which instant on an attempt is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// From when its resources were unavailable to others.
    Allocated,
    /// From when it ran.
    Started,
}

/// Whose clock bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// That of the machine where it ran.
    Executor,
    /// That of the orchestrator, when it heard.
    Orchestrator,
}

/// Whether an attempt is billed that ended by somebody's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillFaults {
    /// The machine's, the network's, the operator's.
    pub infra: bool,
    /// A rule's: a timeout, a limit, a cancellation by policy.
    pub policy: bool,
    /// The user's own.
    pub user: bool,
}

impl BillFaults {
    /// Whether an attempt with this fault is billed.
    pub fn bills(self, fault: Fault) -> bool {
        match fault {
            Fault::None => true,
            Fault::User => self.user,
            Fault::Policy => self.policy,
            Fault::Infra => self.infra,
        }
    }
}

/// How amounts are rounded to the minor unit: once per line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest, a half to the even one.
    HalfEven,
}

/// What a meter costs where it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What it is called on the invoice; once in a card.
    pub sku: String,
    /// What is counted.
    pub meter: Meter,
    /// Where it holds; everywhere if nothing is said.
    #[serde(rename = "match")]
    pub matches: Match,
    /// So many units of the meter cost the price; at least 1.
    pub per: Whole,
    /// The price, by how much there is.
    pub tiers: Tiers,
}

/// What is counted: exact products of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Thousandths of a core × ms.
    CpuMilliMs,
    /// MiB × ms.
    MemMibMs,
    /// MiB of disk × ms.
    DiskMibMs,
    /// Devices × ms, by model and mode.
    GpuMs,
    /// ms.
    RunnerMs,
    /// Bytes that left.
    EgressBytes,
}

/// Where a price holds: all that is named must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Price class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The executor's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Model of the device; only for `gpu_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_model: Option<String>,
    /// Mode of the device; only for `gpu_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// A price by how much there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    /// How the steps are meant.
    pub kind: TierKind,
    /// In ascending order; the last has no end. One alone for `flat`.
    pub steps: Vec<Step>,
}

/// How the steps of a price are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierKind {
    /// There is one price.
    Flat,
    /// Each step prices what lies in it.
    Graduated,
    /// The step that the whole reaches prices all of it.
    Volume,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Billionths of the currency's unit.
    pub price_nanos: Whole,
    /// Up to and with this quantity; none: without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Whole>,
}
