//! A project whose runs were billed.

use std::sync::Arc;

use dagbook_events::aggregate::AggregateEvent as _;
use dagbook_events::billing::{BillingEvent, CardAdopted, PeriodKind, PeriodOpened, RateCard};
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::ports::{
    Actor, AppendRequest, Clock, EventStore, Expected, NewEvent, Recorded, Rng, StreamAppend,
};
use dagbook_events::rating::{Ledger, Options};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog::{Frontier, leaf_hash};
use dagbook_tests::project::Project;
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// The period that was closed.
pub const PERIOD: &str = "today";
const HOUR: u64 = 3_600_000;
const DAG: &str = "\
dagbook: v1
name: t
steps:
  a: { run: \"sleep 0.3; echo one\" }
  b: { run: \"echo two\", needs: [a] }
";

/// A project whose DAG ran so often.
pub fn project(runs: usize) -> Project {
    let mut project = Project::with("dag.yaml", DAG);
    let data = project.path().join("data").display().to_string();
    project.set("DAGBOOK_DATA", &data);
    for _ in 0..runs {
        let said = project.dagbook(&["run", "dag.yaml"]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    }
    project
}

fn tenant() -> TenantId {
    TenantId::new("local").expect("a name")
}

fn store(project: &Project) -> SqliteStore {
    let path = project.path().join("data/events.sqlite");
    SqliteStore::open(SqliteOptions::new(path, Arc::new(SystemClock))).expect("opened")
}

/// Events of a stream of the project's record.
pub fn stream(project: &Project, tenant: &str, stream: &str) -> Vec<Recorded> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tenant = TenantId::new(tenant).expect("a name");
    let stream = StreamName::new(stream).expect("a name");
    runtime.block_on(async {
        store(project).read_stream(&tenant, &stream, 0, 1_000).await.expect("readable")
    })
}

async fn append(store: &SqliteStore, event: BillingEvent) {
    let ready = NewEvent {
        id: EventId(Uuid::from_bytes(SystemRng.bytes())),
        kind: Arc::from(event.kind()),
        at: SystemClock.now(),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: canonical::to_vec(&Json::Object(event.to_data())).expect("canonical"),
        blob: None,
    };
    let stream = StreamName::new("billing").expect("a name");
    let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![ready] }];
    let request = AppendRequest { tenant: tenant(), key: None, streams, fence: None };
    store.append(request).await.expect("appended");
}

/// Adopts a card, opens a period around now, and closes it over everything that was recorded.
/// Gives what is to be paid, in minor units.
pub fn close(project: &Project) -> i128 {
    let card: RateCard = serde_json::from_value(json!({
        "bill": "allocated", "bill_faults": { "infra": false, "policy": true, "user": true },
        "clock": "executor", "currency": "EUR", "exponent": 2, "increment_ms": 1000,
        "minimum_ms": 1000, "name": "standard", "rounding": "half_even", "version": 1,
        "prices": [{ "match": {}, "meter": "runner_ms", "per": "1000", "sku": "runner",
            "tiers": { "kind": "graduated", "steps": [
                { "price_nanos": "70000000", "up_to": "2500" }, { "price_nanos": "30000000" },
            ] } }],
    }))
    .expect("a card");
    let bytes = canonical::to_vec(&card).expect("canonical");
    let (sha256, source) = (Sha256Digest::of(&bytes), "rate_card: standard\n".to_string());
    let now = SystemClock.now();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = store(project);
        let effective_from = Timestamp(0);
        append(
            &store,
            BillingEvent::CardAdopted(CardAdopted { card, effective_from, sha256, source }),
        )
        .await;
        let opened = PeriodOpened {
            period: PERIOD.to_string(),
            kind: PeriodKind::Custom,
            start: now - Millis(HOUR),
            end: now + Millis(HOUR),
            zone: "UTC".to_string(),
            grace_ms: Millis(0),
            currency: "EUR".to_string(),
            exponent: 2,
            needs_from: 0,
        };
        append(&store, BillingEvent::PeriodOpened(opened)).await;
        let leaves = store.read_log(&tenant(), 0, usize::MAX).await.expect("readable");
        let origin = "dagbook.local/t/local/1".to_string();
        let options = Options { tenant: "local".to_string(), origin, ..Options::default() };
        let mut ledger = Ledger::new(options).expect("a ledger");
        let mut frontier = Frontier::new();
        for event in &leaves {
            ledger.push(event.tenant_sequence, &event.leaf).expect("rated");
            frontier.push(leaf_hash(&event.leaf));
        }
        let statement = ledger.statement(PERIOD, leaves.len() as u64).expect("a statement");
        let usage = Sha256Digest::of(&statement.usage_csv());
        let closed = statement.closing(frontier.root(), usage).expect("a closing").event;
        let total = closed.total_minor.0;
        append(&store, BillingEvent::PeriodClosed(closed)).await;
        total
    })
}
