//! Use cases: the only door for edges. Edges own words, not rules.

pub mod act;
pub mod drive;
pub mod error;
pub mod listing;
pub mod number;
pub mod ports;
pub mod principal;
pub mod programs;
pub mod services;
pub mod source;
pub mod stamp;
pub mod streams;
pub mod submit;
