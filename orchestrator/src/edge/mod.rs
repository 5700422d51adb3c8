//! The edges: they own words, not rules.

pub mod cli;
pub mod http;
