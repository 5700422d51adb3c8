//! What an auditor asks of a real installation: bundles of what really ran, and the record held
//! against what this machine kept.

mod billed;
mod executors;
mod export;
mod focus;
mod verify;
