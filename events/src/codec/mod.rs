//! From domain events to public data and back.
//!
//! Old leaves are never rewritten: what an older program wrote is lifted on reading, one
//! version at a time ([`upcast`]). What is too large for a leaf goes into a blob ([`spill`]).
//! [`run`] holds the events of runs, [`planner`] makes the plans that they stand for.

pub mod planner;
pub mod run;
pub mod spill;
pub mod upcast;
