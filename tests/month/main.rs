//! A month of history is billed alike from every keeping of the record.

mod bundles;
mod keepings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::codec::planner::Planner;
use dagbook_events::codec::run::decode_text;
use dagbook_events::conformance::store::ManualClock;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::journal::Guard;
use dagbook_events::journal::bus::jetstream::{JetStreamCopy, Nats as Connection, NatsOptions};
use dagbook_events::journal::checkpoints::{
    Checkpoints, History, Publisher, PublisherOptions, PublisherParts,
};
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::objects::MemoryObjects;
use dagbook_events::journal::reconcile::{CopySource, LeafSource, StoreSource, TileSource};
use dagbook_events::journal::relay::{Relay, RelayLimits};
use dagbook_events::ports::EventStore;
use dagbook_events::time::Timestamp;
use dagbook_tests::month::{Auditor, Invoiced, SITE, Shape, record};
use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion};
use dagbook_tests::stores;
use tempfile::TempDir;

/// SHA-256 of `lines.csv` of the nine invoices, of the short month and of the whole one.
const SHORT_LINES: &str = "cda8a155697404992835fb9ab80d73fa02993bec289fedc64329f1baeb008c33";
const WHOLE_LINES: &str = "be7d9d827362376e5fe75dd56add0f5b40e5764abf04e1aec72fd4f2e74a99ab";

/// A deep run has the month in full.
fn is_deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

fn shape() -> Shape {
    Shape { seed: 20_261_001, attempts: if is_deep() { 200_000 } else { 2_000 } }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(1_756_000_000_000)))
}

/// Reads everything twice, as an auditor does.
async fn audit(source: &dyn LeafSource) -> Vec<Invoiced> {
    let mut auditor = Auditor::default();
    for is_first in [true, false] {
        let mut reading = source.read_all().await.expect("it can be read");
        loop {
            let page = reading.next(1_000).await.expect("a page");
            if page.is_empty() {
                break;
            }
            for leaf in page {
                let taken = match is_first {
                    true => auditor.foresee(&leaf.bytes),
                    false => auditor.push(&leaf.bytes),
                };
                taken.unwrap_or_else(|error| panic!("{}: {error:#}", source.name()));
            }
        }
    }
    auditor.invoiced()
}

fn sorted(mut invoices: Vec<Invoiced>) -> Vec<Invoiced> {
    invoices.sort_by(|a, b| (&a.tenant, &a.event.number).cmp(&(&b.tenant, &b.event.number)));
    invoices
}

/// Fails with the first difference and not with all documents.
fn same(name: &str, found: Vec<Invoiced>, expected: &[Invoiced]) {
    let found = sorted(found);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let what = format!("{name}: {} of {}", expected.event.period, expected.tenant);
        assert_eq!(found.lines_csv, expected.lines_csv, "{what}");
        assert_eq!(found.invoice_json, expected.invoice_json, "{what}");
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_history_gives_the_same_invoices_from_files_databases_streams_and_tiles() {
    let folder = TempDir::new().expect("a folder");
    let now = clock();
    let file = format!("sqlite:{}", folder.path().join("record.db").display());
    let sqlite = stores::open(&file, now.clone()).await.expect("a store");
    let written = record(&*sqlite, &now, shape()).await.expect("a month");
    let expected = sorted(written);
    assert_eq!(expected.len(), 9);
    it_is_the_month_that_every_build_makes(&expected);
    it_is_a_month(&expected);
    same("sqlite", audit(&StoreSource::new("sqlite", sqlite.clone())).await, &expected);

    let server = Postgres::start_with(PostgresVersion::Debian, &[("fsync", "off")]);
    let now = clock();
    let address = server.database("month");
    let store = stores::open_postgres(&address, now.clone(), Arc::new(Guard::open()));
    let postgres = Arc::new(store.await.expect("a store"));
    same(
        "written to postgres",
        record(&*postgres, &now, shape()).await.expect("a month"),
        &expected,
    );
    same("postgres", audit(&StoreSource::new("postgres", postgres.clone())).await, &expected);

    let nats = Nats::start(NatsVersion::Current);
    let connection = Connection::start(NatsOptions::parse(&nats.url()).expect("an address"));
    connection.ready(Duration::from_secs(30)).await.expect("connected");
    let copy = Arc::new(JetStreamCopy::new(connection));
    let head = postgres.head().await.expect("a head");
    let guard = Arc::new(Guard::open());
    let mut relay = Relay::new(postgres, copy.clone(), guard, RelayLimits::default());
    let mut carried = relay.check().await.expect("an empty copy");
    while carried < head {
        relay.turn().await.expect("a turn");
        carried = relay.status().borrow().copied;
    }
    same("jetstream", audit(&CopySource::new("jetstream", copy, 1)).await, &expected);

    let signer = FileSigner::open(folder.path().join("key"), SITE).expect("a key");
    let key = signer.verifier().clone();
    let history = History::new(folder.path().join("checkpoints"), key.clone());
    let objects = Arc::new(MemoryObjects::new());
    let parts = PublisherParts {
        store: sqlite,
        checkpoints: Checkpoints::new(history, Arc::new(signer), SITE),
        objects: Some(objects.clone()),
        notes: None,
        guard: Arc::new(Guard::open()),
    };
    let mut publisher = Publisher::new(parts, PublisherOptions::default()).expect("a publisher");
    let turn = publisher.turn().await.expect("a turn");
    assert!(turn.problems.is_empty(), "{turn:?}");
    let mut tiles = Vec::new();
    for tenant in ["acme", "baker", "kiribati"] {
        let tenant = TenantId::new(tenant).expect("a slug");
        let source = TileSource::new("tiles", objects.clone(), key.clone(), 1).of_tenant(tenant);
        tiles.extend(audit(&source).await);
    }
    same("tiles", tiles, &expected);
}

/// The lines of the month, once and for all: a debug build, a release build, and any later one
/// make the same.
fn it_is_the_month_that_every_build_makes(invoices: &[Invoiced]) {
    let lines: String = invoices.iter().map(|one| one.lines_csv.as_str()).collect();
    let digest = Sha256Digest::of(lines.as_bytes()).to_hex();
    let expected = if is_deep() { WHOLE_LINES } else { SHORT_LINES };
    assert_eq!(digest, expected, "the lines of the month have changed");
}

/// What the month is meant to show is in it.
fn it_is_a_month(invoices: &[Invoiced]) {
    let with = |word: &str| {
        invoices.iter().filter(|invoiced| invoiced.invoice_json.contains(word)).count()
    };
    for word in [
        "\"class\":\"correction\"",
        "\"class\":\"discount\"",
        "\"class\":\"credit\"",
        "\"conflict\":",
        "\"inverted\":",
        "\"lost\":",
        "gpu-h200",
        "cpu-spot",
        "standard+frame",
        "\"rate_card_version\":\"2\"",
    ] {
        assert!(with(word) > 0, "no invoice has {word}");
    }
    let october = |tenant: &str| {
        let is_it =
            |one: &&Invoiced| one.tenant.as_str() == tenant && one.event.period == "2026-10";
        invoices.iter().find(is_it).expect("an invoice")
    };
    // In Berlin the month has 745 hours.
    let text = &october("acme").invoice_json;
    assert!(text.contains("\"end\":1793487600000,") && text.contains("\"start\":1790805600000,"));
    assert!(invoices.iter().all(|one| one.event.total_minor.0 >= 0));
    let corrected: Vec<_> = invoices.iter().filter(|one| !one.event.corrected.is_empty()).collect();
    assert!(!corrected.is_empty(), "late truth corrects earlier periods");
}

#[tokio::test]
async fn the_month_is_made_of_events_that_the_engine_reads() {
    let folder = TempDir::new().expect("a folder");
    let now = clock();
    let file = format!("sqlite:{}", folder.path().join("record.db").display());
    let store = stores::open(&file, now.clone()).await.expect("a store");
    record(&*store, &now, Shape { seed: 7, attempts: 300 }).await.expect("a month");
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for recorded in store.read_after(Position(0), 100_000).await.expect("events") {
        let envelope = Envelope::parse(&recorded.leaf).expect("a leaf");
        *kinds.entry(envelope.kind.clone()).or_default() += 1;
        let is_whole = ["attempt.exited", "report.stale"].contains(&envelope.kind.as_str());
        if is_whole {
            decode_text(&envelope.kind, &envelope.data, None, &Planner::default())
                .unwrap_or_else(|error| panic!("{}: {error}", envelope.data));
        }
    }
    assert_eq!(kinds["attempt.exited"], kinds["attempt.planned"]);
    assert!(kinds["usage.checkpoint"] > 0 && kinds["report.stale"] > 0);
    assert_eq!((kinds["period.opened"], kinds["period.closed"]), (9, 9));
}
