//! The suite `record`: what the disk and the processor allow, and what the stores make of it.

mod ceilings;
mod jetstream;
mod pgbench;
mod postgres;
pub mod postgres_ceilings;
mod replay;
mod sqlite;
mod stores;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use dagbook_events::ports::EventStore;

use crate::Options;
use crate::report::Report;

/// Bytes of a typical leaf.
const LEAF_BYTES: usize = 400;
const PER_SECOND: &str = "per s";

/// What the record suite takes besides.
#[derive(Args, Clone)]
pub struct RecordOptions {
    #[command(flatten)]
    pub common: Options,
    /// The store that is measured: nothing for SQLite and memory, `postgres:` for a server of
    /// its own, or the URL of one whose user may create databases.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Measures the second copy, too: `nats:` for a server of its own, or the URL of one
    /// that holds no record.
    #[arg(long, value_name = "BUS", requires = "store")]
    bus: Option<String>,
}

/// Runs all rounds.
pub async fn run(options: &RecordOptions) -> anyhow::Result<Report> {
    match options.store.as_deref() {
        None => sqlite::run(&options.common).await,
        Some(store) => postgres::run(&options.common, store, options.bus.as_deref()).await,
    }
}

/// Events a second over the span, each in an append of its own.
async fn appends(
    store: &Arc<dyn EventStore>,
    callers: usize,
    span: Duration,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let events = stores::append_for(store, callers, span).await?.len();
    Ok(events as f64 / started.elapsed().as_secs_f64())
}
