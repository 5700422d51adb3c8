//! Bundles of random histories, made straight from leaves with keys of their own.

mod build;
mod history;
mod large;

pub use build::{Bundle, Key, ORIGIN, TENANT, Wanted, data, ledger};
pub use history::{Dice, History};
