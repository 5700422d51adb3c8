//! Telemetry as the outside gets it: real OTLP from real runs, logs as JSON lines, and the
//! documents that operators read.

mod collector;
mod documents;
mod logs;
mod project;
mod server;
mod traces;
mod trouble;
