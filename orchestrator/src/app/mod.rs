//! Use cases: the only door for edges. Edges own words, not rules.

pub mod act;
pub mod drive;
pub mod listing;
pub mod number;
pub mod ports;
pub mod programs;
pub mod source;
pub mod stamp;
pub mod submit;
