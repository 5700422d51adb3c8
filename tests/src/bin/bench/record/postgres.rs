//! Postgres: bare rows, pgbench and ours side by side, and the second copy where one is named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use dagbook_events::journal::Guard;
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::postgres::{PostgresStore, PostgresUrl};
use dagbook_events::ports::EventStore;
use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::stores::open_postgres;

use super::postgres_ceilings::{Bare, connect};
use super::{PER_SECOND, ceilings, jetstream, pgbench, replay, stores};
use crate::Options;
use crate::report::Report;

/// Callers at once.
const CALLERS: usize = 128;
/// Events that a scan reads.
const SCANNED: u64 = 50_000;
/// Clients of pgbench at once.
const CLIENTS: [usize; 3] = [1, 8, 32];

const BARE_ONE: &str = "bare Postgres, one row a commit";
const BARE_100: &str = "bare Postgres, unnest of 100, two indexes";
const BARE_256: &str = "bare Postgres, unnest of 256, two indexes";
const BARE_1024: &str = "bare Postgres, unnest of 1,024, two indexes";
const BARE_SCAN: &str = "bare Postgres, COPY out in order";
const OURS_ONE: &str = "Postgres store, one caller";
const OURS: &str = "Postgres store, 128 callers";
const OURS_P99: &str = "Postgres store, 128 callers, p99";
const OURS_NS: &str = "Postgres store, 128 callers, time an event";
const TRIPS: &str = "Postgres store, round trips a batch";
const STATEMENTS: &str = "Postgres store, statements a batch";
const EVENTS: &str = "Postgres store, events a batch";
const SCAN: &str = "Postgres store, scan with hash check";
const DECODE: &str = "Postgres store, scan and decode";
const DECODE_BUSY: &str = "Postgres store, scan and decode, by the reader's processor time";
const PARSE: &str = "decode alone, from memory";
const FOLD: &str = "Postgres store, full fold of runs";
const FOLD_BUSY: &str = "Postgres store, full fold of runs, by the reader's processor time";
const TREE_NS: &str = "leaf hash and frontier, time an event";

/// A server of the benchmark's own or somebody's.
struct Server {
    url: String,
    pgbench: PathBuf,
    _own: Option<Postgres>,
}

impl Server {
    fn open(options: &Options, text: &str) -> Self {
        let program = || match PostgresVersion::Debian.available() {
            true => PostgresVersion::Debian.program("pgbench"),
            false => "pgbench".into(),
        };
        if text != "postgres:" {
            return Self { url: text.to_string(), pgbench: program(), _own: None };
        }
        // Its data is on the disk that is asked about, not in memory.
        let settings = [("max_wal_size", "4GB"), ("shared_buffers", "256MB")];
        let version = PostgresVersion::Debian;
        let own = Postgres::start_in(Some(&options.folder), version, &settings);
        Self { url: own.url(), pgbench: program(), _own: Some(own) }
    }

    /// Its address with another database.
    fn with_database(&self, name: &str) -> anyhow::Result<String> {
        let (address, query) = match self.url.split_once('?') {
            Some((address, query)) => (address, format!("?{query}")),
            None => (self.url.as_str(), String::new()),
        };
        let host = address.find("://").context("`postgres://host/database`")? + 3;
        let end = address[host..].find('/').map_or(address.len(), |slash| host + slash);
        Ok(format!("{}/{name}{query}", &address[..end]))
    }
}

/// Runs all rounds. Ceilings and ours alternate, so that a busy minute hits both.
pub async fn run(options: &Options, store: &str, bus: Option<&str>) -> anyhow::Result<Report> {
    let server = tokio::task::block_in_place(|| Server::open(options, store));
    let bus =
        bus.map(|text| tokio::task::block_in_place(|| jetstream::Bus::open(text, &options.folder)));
    let admin = connect(&PostgresUrl::parse(&server.url)?.config()).await?;
    let mut report = Report::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        // Each part in a database of its own, which is removed again.
        let names = ["bare", "one", "many", "copy"]
            .map(|part| format!("dagbook_bench_{}_{round}_{part}", std::process::id()));
        for name in &names {
            admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        }
        let measured = one_round(&mut report, options, &server, &names, bus.as_ref()).await;
        for name in &names {
            admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        measured?;
    }
    report.compare(OURS_ONE, BARE_ONE, Some(0.75));
    report.compare(OURS, BARE_100, Some(0.5));
    report.compare(OURS, BARE_256, None);
    report.compare(OURS, BARE_1024, None);
    for clients in CLIENTS {
        report.compare(OURS, &pgbench_name(clients), None);
    }
    report.compare(TREE_NS, OURS_NS, Some(-0.05));
    report.compare(SCAN, BARE_SCAN, None);
    report.compare(DECODE, BARE_SCAN, None);
    report.demand(OURS_P99, 20.0);
    report.demand(DECODE, -400_000.0);
    report.demand(DECODE_BUSY, -400_000.0);
    report.demand(FOLD, -250_000.0);
    report.demand(FOLD_BUSY, -250_000.0);
    if bus.is_some() {
        jetstream::judge(&mut report);
    }
    Ok(report)
}

fn pgbench_name(clients: usize) -> String {
    format!("pgbench, one-row inserts, {clients} clients")
}

async fn open(server: &Server, name: &str) -> anyhow::Result<Arc<PostgresStore>> {
    let (clock, guard) = (Arc::new(SystemClock), Arc::new(Guard::open()));
    Ok(Arc::new(open_postgres(&server.with_database(name)?, clock, guard).await?))
}

async fn one_round(
    report: &mut Report,
    options: &Options,
    server: &Server,
    [bare, one, many, copy]: &[String; 4],
    bus: Option<&jetstream::Bus>,
) -> anyhow::Result<()> {
    let span = options.span();
    let config = PostgresUrl::parse(&server.with_database(bare)?)?.config();
    let mut rows = Bare::make(connect(&config).await?).await?;

    report.sample(BARE_ONE, PER_SECOND, rows.singles(span).await?);
    let store: Arc<dyn EventStore> = open(server, one).await?;
    report.sample(OURS_ONE, PER_SECOND, super::appends(&store, 1, span).await?);
    drop(store);

    report.sample(BARE_100, PER_SECOND, rows.batches(100, span).await?);
    let store = open(server, many).await?;
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    // Streams and tenants are made first: the figure is about appends to what is there.
    stores::append_for(&shared, CALLERS, span / 10).await?;
    let before = store.counters();
    let started = Instant::now();
    let mut times = stores::append_for(&shared, CALLERS, span).await?;
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    let after = store.counters();
    report.sample(OURS, PER_SECOND, rate);
    report.sample(OURS_P99, "ms", stores::p99(&mut times));
    report.sample(OURS_NS, "ns", 1e9 / rate);
    report.sample(TREE_NS, "ns", ceilings::tree_nanoseconds(span));
    let batches = (after.fast + after.slow - before.fast - before.slow) as f64;
    report.sample(TRIPS, "", (after.round_trips - before.round_trips) as f64 / batches);
    report.sample(STATEMENTS, "", (after.statements - before.statements) as f64 / batches);
    report.sample(EVENTS, "", times.len() as f64 / batches);
    report.sample(BARE_256, PER_SECOND, rows.batches(256, span).await?);
    report.sample(BARE_1024, PER_SECOND, rows.batches(1_024, span).await?);
    for clients in CLIENTS {
        let seconds = span.as_secs().max(1);
        let rate = pgbench::inserts(&server.pgbench, &config, clients, seconds).await?;
        report.sample(&pgbench_name(clients), PER_SECOND, rate);
    }

    report.sample(BARE_SCAN, PER_SECOND, rows.scan(SCANNED).await?);
    stores::fill(&shared, SCANNED).await?;
    report.sample(SCAN, PER_SECOND, stores::scan(&shared, false).await?.time);
    let decoded = stores::scan(&shared, true).await?;
    report.sample(DECODE, PER_SECOND, decoded.time);
    report.sample(DECODE_BUSY, PER_SECOND, decoded.processor);
    report.sample(PARSE, PER_SECOND, replay::decode(&shared).await?);
    let runs = if options.short { 300 } else { 2_000 };
    let folded = replay::fold(&shared, runs).await?;
    report.sample(FOLD, PER_SECOND, folded.time);
    report.sample(FOLD_BUSY, PER_SECOND, folded.processor);
    drop((store, shared));

    if let Some(bus) = bus {
        let store: Arc<dyn EventStore> = open(server, copy).await?;
        bus.round(report, &store, span).await?;
    }
    Ok(())
}
