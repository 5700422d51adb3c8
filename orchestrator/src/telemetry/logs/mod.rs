//! Logs: lines on standard error, for people or as JSON objects, whose fields have the same
//! names everywhere (`tenant`, `run`, `step`, `attempt`, `request_id`). What comes too often is
//! withheld and counted.

mod format;
mod repeats;

use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

pub use format::{LogFormat, UnknownLogFormat};
use repeats::Repeats;

use super::Metrics;

/// What is written when the configuration's filter makes no sense.
const OTHERWISE: &str = "warn";

/// Begins to write the log of this process to standard error. Does nothing where somebody did so
/// before.
pub fn begin(level: &str, format: LogFormat, metrics: &Metrics) {
    let subscriber = subscriber(level, format, metrics, std::io::stderr);
    let _ = tracing::subscriber::set_global_default(subscriber);
    // Libraries that log in the older way are heard as well.
}

/// The subscriber, writing anywhere.
pub fn subscriber<W>(
    level: &str,
    format: LogFormat,
    metrics: &Metrics,
    writer: W,
) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(OTHERWISE));
    let repeats = Arc::new(Repeats::new(metrics.clone()));
    let lines = format::Lines::new(format, repeats.clone());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
        .event_format(lines);
    tracing_subscriber::registry().with(filter).with(repeats::Gate(repeats)).with(layer)
}
