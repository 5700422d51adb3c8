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
/// before. Libraries that log in the older way (`log`) are not heard: some of them write what
/// they are given to send, such as the parameters of a statement.
pub fn begin(level: &str, format: LogFormat, metrics: &Metrics) {
    let subscriber = subscriber(level, format, metrics, std::io::stderr);
    let _ = tracing::subscriber::set_global_default(subscriber);
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
    let filter = filter(level).unwrap_or_else(|| EnvFilter::new(OTHERWISE));
    let repeats = Arc::new(Repeats::new(metrics.clone()));
    let lines = format::Lines::new(format, repeats.clone());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
        .event_format(lines);
    tracing_subscriber::registry().with(filter).with(repeats::Gate(repeats)).with(layer)
}

/// The filter that the text names. The library takes a text of any kind for the name of a place
/// in the program, and then nothing at all is written.
fn filter(text: &str) -> Option<EnvFilter> {
    let is_word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_-:=.".contains(c));
    // What a directive says of spans, in brackets, may be anything.
    let makes_sense = text.contains('[') || text.split(',').map(str::trim).all(is_word);
    makes_sense.then(|| EnvFilter::try_new(text).ok()).flatten()
}
