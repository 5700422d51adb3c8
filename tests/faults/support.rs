//! What the drills share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::journal::clock::SystemClock;
use dagbook_tests::sim::rng::Rng;
use dagbook_tests::stores::{self, AnyStore};
use dagbook_tests::workload::{Ledger, Seen, judge};

/// How long anything may take that is expected to happen.
pub const SOON: Duration = Duration::from_secs(60);

/// Whether this run takes its time to find what is rare.
pub fn deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

/// Chance for a drill; the seed is said, so that a failure can be repeated.
pub fn chance(drill: &str) -> (u64, Rng) {
    let seed = match std::env::var("DAGBOOK_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed,
        None => u64::from(std::process::id()),
    };
    println!("DAGBOOK_SEED={seed} repeats this");
    (seed, Rng::stream(seed, drill))
}

/// Opens a store with the clock of this machine.
pub async fn open(address: &str) -> Arc<dyn AnyStore> {
    let opened = stores::open(address, Arc::new(SystemClock)).await;
    opened.unwrap_or_else(|error| panic!("the store cannot be opened: {error:#}"))
}

/// The address of a new SQLite store in a folder.
pub fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("events.sqlite").display())
}

/// # Panics
/// Where the record is not what callers and the reader were told.
pub async fn assert_sound(store: &dyn AnyStore, ledger: &Ledger, seen: Option<&Seen>) {
    let findings = judge(store, ledger, seen).await;
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
