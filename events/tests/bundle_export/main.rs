//! Bundles as they are exported: what is in them, who accepts them, and what no one finds there.

#[path = "../record_support/mod.rs"]
mod record_support;

mod billed;
mod focus;
mod invoices;
mod parts;
mod privacy;
