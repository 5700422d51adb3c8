//! Admission against an obvious model of it: every sum is taken anew from the runs, every order
//! by looking at everyone.

mod fairness;
mod histories;
mod larger;
mod model;
mod oracle;
mod stories;
