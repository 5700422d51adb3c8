//! What was agreed with a tenant beside the list price.

use serde::{Deserialize, Serialize};

use super::{Tiers, Whole};

/// A contract as it is recorded. Immutable once published; a later version replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// What it is called.
    pub name: String,
    /// From 1, one more for each that is published.
    pub version: u32,
    /// ISO 4217.
    pub currency: String,
    /// Decimal digits of the minor unit.
    pub exponent: u8,
    /// Prices of its own; the list price stays on the card.
    pub overrides: Vec<Override>,
    /// Parts that are taken off, in this order.
    pub discounts: Vec<Discount>,
    /// Amounts that are used up, in this order, behind the discounts.
    pub credits: Vec<Credit>,
}

/// A price in the place of the card's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which.
    pub sku: String,
    /// So many units cost the price; at least 1.
    pub per: Whole,
    /// The price, by how much there is.
    pub tiers: Tiers,
}

/// A part of the amounts that is taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discount {
    /// What it is called; once in a contract.
    pub name: String,
    /// How large a part: 1,000,000,000 is all.
    pub parts_per_billion: Whole,
    /// From which; none: from everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skus: Option<Vec<String>>,
}

/// An amount that is used up, invoice by invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// What it is called; once in a contract, and the same amount in its later versions.
    pub name: String,
    /// In minor units.
    pub amount_minor: Whole,
}
