//! Schedules and registered pipelines as pure functions.

mod backfills;
mod changes;
mod clockwork;
mod golden;
mod pipelines;
mod properties;
mod support;
