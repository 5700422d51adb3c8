//! SQLite and memory: one file, one process, no server.

use std::sync::Arc;

use anyhow::Context;
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::{MemoryStore, SqliteOptions, SqliteStore};
use dagbook_events::ports::EventStore;

use super::{PER_SECOND, appends, ceilings, stores};
use crate::Options;
use crate::report::Report;

/// Callers at once.
const CALLERS: usize = 64;
/// Events that a scan reads.
const SCANNED: u64 = 50_000;

/// Runs all rounds. Ceilings and ours alternate, so that a busy minute hits both.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let span = options.span();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let folder = tempfile::tempdir_in(&options.folder).context("no folder to work in")?;
        let bare = |name: &str| ceilings::Bare::open(&folder.path().join(name));
        report.sample(BARE_ONE, PER_SECOND, bare("one.db")?.commits(1, span)?);
        report.sample(
            SQLITE_ONE,
            PER_SECOND,
            appends(&sqlite(folder.path(), "a")?, 1, span).await?,
        );
        report.sample(BARE_64, PER_SECOND, bare("64.db")?.commits(CALLERS, span)?);
        let store = sqlite(folder.path(), "b")?;
        let rate = appends(&store, CALLERS, span).await?;
        report.sample(SQLITE_64, PER_SECOND, rate);
        report.sample(SQLITE_NS, "ns", 1e9 / rate);
        report.sample(TREE_NS, "ns", ceilings::tree_nanoseconds(span));
        report.sample(HASHES, PER_SECOND, ceilings::hashes(span));

        let memory: Arc<dyn EventStore> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        report.sample(MEMORY_64, PER_SECOND, appends(&memory, CALLERS, span / 4).await?);

        let mut rows = bare("scan.db")?;
        rows.fill(SCANNED)?;
        report.sample(BARE_SCAN, PER_SECOND, rows.scan()?);
        stores::fill(&store, SCANNED).await?;
        report.sample(SQLITE_SCAN, PER_SECOND, stores::scan(&store, false).await?.time);
        report.sample(SQLITE_DECODE, PER_SECOND, stores::scan(&store, true).await?.time);
    }
    report.compare(SQLITE_ONE, BARE_ONE, Some(0.6));
    report.compare(SQLITE_64, BARE_64, Some(0.5));
    report.compare(TREE_NS, SQLITE_NS, Some(-0.05));
    report.compare(SQLITE_SCAN, BARE_SCAN, None);
    report.compare(SQLITE_DECODE, BARE_SCAN, None);
    report.compare(MEMORY_64, HASHES, None);
    Ok(report)
}

const BARE_ONE: &str = "bare SQLite, one row a commit";
const BARE_64: &str = "bare SQLite, 64 rows a commit";
const BARE_SCAN: &str = "bare SQLite, ordered scan";
const HASHES: &str = "SHA-256 of a leaf";
const SQLITE_ONE: &str = "SQLite store, one caller";
const SQLITE_64: &str = "SQLite store, 64 callers";
const SQLITE_NS: &str = "SQLite store, 64 callers, time an event";
const SQLITE_SCAN: &str = "SQLite store, scan with hash check";
const SQLITE_DECODE: &str = "SQLite store, scan and decode";
const MEMORY_64: &str = "memory store, 64 callers";
const TREE_NS: &str = "leaf hash and frontier, time an event";

fn sqlite(folder: &std::path::Path, name: &str) -> anyhow::Result<Arc<dyn EventStore>> {
    let path = folder.join(format!("{name}.db"));
    let store = SqliteStore::open(SqliteOptions::new(path, Arc::new(SystemClock)))?;
    Ok(Arc::new(store))
}
