//! A record with prices, attempts and a closed period.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::aggregate::AggregateEvent as _;
use dagbook_events::billing::{
    BillingEvent, CardAdopted, Contract, ContractPublished, Credit, CreditNoteIssued, Discount,
    PeriodClosed, PeriodKind, PeriodOpened, RateCard, Whole,
};
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::StreamName;
use dagbook_events::journal::bundle::Failure;
use dagbook_events::journal::bundle::export::{ExportError, Exported, Exporter, Order, Wanted};
use dagbook_events::journal::bundle::{Verified, verify};
use dagbook_events::ports::{Actor, AppendRequest, EventStore, Expected, NewEvent, StreamAppend};
use dagbook_events::rating::{Ledger, Options};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog::Frontier;
use dagbook_events::tlog::leaf_hash;
use serde_json::{Value, json};

use super::record_support::{Record, SITE, tenant};

/// December of 2025.
pub const START: i64 = 1_764_547_200_000;
pub const END: i64 = 1_767_225_600_000;
pub const PERIOD: &str = "2025-12";
const HOUR: i64 = 3_600_000;

/// Records events of one stream.
pub async fn append(record: &Record, name: &str, stream: &str, events: &[(&str, Value)]) {
    let run = stream.strip_prefix("run/").map(Arc::from);
    let ready = events.iter().map(|(kind, data)| NewEvent {
        id: record.mint.event_id(),
        kind: Arc::from(*kind),
        at: Timestamp(END),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: run.clone(),
        traceparent: None,
        data: canonical::to_vec(data).expect("canonical"),
        blob: None,
    });
    let streams = vec![StreamAppend {
        stream: StreamName::new(stream).expect("a stream"),
        expected: Expected::Any,
        events: ready.collect(),
    }];
    let request = AppendRequest { tenant: tenant(name), key: None, streams, fence: None };
    record.store.append(request).await.expect("appended");
}

/// Records something of money.
pub async fn bill(record: &Record, name: &str, event: BillingEvent) {
    append(record, name, "billing", &[(event.kind(), Value::Object(event.to_data()))]).await;
}

/// A card with a graduated price and a flat one.
pub fn card() -> RateCard {
    serde_json::from_value(json!({
        "bill": "allocated", "bill_faults": { "infra": false, "policy": true, "user": true },
        "clock": "executor", "currency": "EUR", "exponent": 2, "increment_ms": 1000,
        "minimum_ms": 1000, "name": "standard", "rounding": "half_even", "version": 3,
        "prices": [
            { "match": {}, "meter": "cpu_milli_ms", "per": "3600000000", "sku": "cpu", "tiers": {
                "kind": "graduated", "steps": [
                    { "price_nanos": "480000000", "up_to": "36000000000" },
                    { "price_nanos": "310000000" },
                ] } },
            { "match": {}, "meter": "mem_mib_ms", "per": "3600000", "sku": "mem", "tiers": {
                "kind": "flat", "steps": [{ "price_nanos": "590007" }] } },
        ],
    }))
    .expect("a card")
}

fn contract(name: &str) -> Contract {
    let version = 1;
    Contract {
        name: name.to_string(),
        version,
        currency: "EUR".to_string(),
        exponent: 2,
        overrides: Vec::new(),
        discounts: vec![Discount {
            name: "volume".to_string(),
            parts_per_billion: Whole(125_000_001),
            skus: Some(vec!["cpu".to_string()]),
        }],
        credits: vec![Credit { name: "welcome".to_string(), amount_minor: Whole(150) }],
    }
}

/// The end of an attempt that ran for so long.
pub fn exited(
    step: &str,
    attempt: u32,
    begun: i64,
    ran_ms: i64,
    fault: &str,
) -> (&'static str, Value) {
    let outcome = if fault == "none" { "succeeded" } else { "infra" };
    let data = json!({
        "attempt": format!("00000000-0000-7000-8000-{attempt:012x}"), "step": step,
        "usage": {
            "allocated_ms": begun, "class": "standard", "executor": "local", "fault": fault,
            "node": "n1", "outcome": outcome, "quality": "exact", "released_ms": begun + ran_ms,
            "requested": { "cpu_milli": 2000, "disk_mib": 0, "gpu": [], "mem_mib": 512 },
            "source": "cgroup2", "used": { "cpu_ms": 5, "mem_mib_ms": 0, "mem_peak_mib": 7 },
        },
    });
    ("attempt.exited", data)
}

/// Prices, a period, so many attempts in it.
pub async fn open(record: &Record, name: &str, attempts: u32) {
    let card = card();
    let bytes = canonical::to_vec(&card).expect("canonical");
    let adopted = CardAdopted {
        sha256: Sha256Digest::of(&bytes),
        source: format!("rate_card: standard  # of {name}\n"),
        effective_from: Timestamp(0),
        card,
    };
    bill(record, name, BillingEvent::CardAdopted(adopted)).await;
    let contract = contract(name);
    let bytes = canonical::to_vec(&contract).expect("canonical");
    let published = ContractPublished {
        sha256: Sha256Digest::of(&bytes),
        source: format!("contract: {name}\n"),
        effective_from: Timestamp(0),
        contract,
    };
    bill(record, name, BillingEvent::ContractPublished(published)).await;
    let needs_from = record.store.log_head(&tenant(name)).await.expect("readable").size;
    let opened = PeriodOpened {
        period: PERIOD.to_string(),
        kind: PeriodKind::Month,
        start: Timestamp(START),
        end: Timestamp(END),
        zone: "UTC".to_string(),
        grace_ms: Millis(0),
        currency: "EUR".to_string(),
        exponent: 2,
        needs_from,
    };
    bill(record, name, BillingEvent::PeriodOpened(opened)).await;
    for attempt in 0..attempts {
        let begun = START + HOUR * i64::from(attempt % 700);
        let fault = if attempt % 9 == 8 { "infra" } else { "none" };
        let stream = format!("run/00000000-0000-7000-9000-{:012x}", attempt / 4);
        let step = format!("{name}-step-{}", attempt % 4);
        let ran_ms = 900 + i64::from(attempt) * 7_919;
        append(record, name, &stream, &[exited(&step, attempt, begun, ran_ms, fault)]).await;
    }
}

/// What the closing of the period says, by the leaves there are.
pub async fn closing(record: &Record, name: &str) -> PeriodClosed {
    let leaves = record.leaves(name).await;
    let mut ledger = Ledger::new(Options {
        tenant: name.to_string(),
        origin: format!("{SITE}/t/{name}/1"),
        ..Options::default()
    })
    .expect("a ledger");
    let mut frontier = Frontier::new();
    for (index, leaf) in leaves.iter().enumerate() {
        ledger.push(index as u64, leaf).expect("rated");
        frontier.push(leaf_hash(leaf));
    }
    let statement = ledger.statement(PERIOD, leaves.len() as u64).expect("a statement");
    let usage = Sha256Digest::of(&statement.usage_csv());
    statement.closing(frontier.root(), usage).expect("a closing").event
}

/// A tenant whose period is closed, and something behind it.
pub async fn closed(record: &Record, name: &str, attempts: u32) -> PeriodClosed {
    open(record, name, attempts).await;
    let event = closing(record, name).await;
    bill(record, name, BillingEvent::PeriodClosed(event.clone())).await;
    let document = format!(r#"{{"minor":"-10","number":"{name}-c-000001"}}"#);
    let note = CreditNoteIssued {
        number: format!("{name}-c-000001"),
        invoice: event.number.clone(),
        sha256: Sha256Digest::of(document.as_bytes()),
        document,
    };
    bill(record, name, BillingEvent::CreditNoteIssued(note)).await;
    append(record, name, "run/later", &[("thing.happened", json!({ "n": 1 }))]).await;
    event
}

/// An order for the closed period.
pub fn order(name: &str) -> Order {
    Order {
        tenant: tenant(name),
        what: Wanted::Period(PERIOD.to_string()),
        since_opening: false,
        unwitnessed: false,
        lines: Vec::new(),
    }
}

/// Exports from the record's store.
pub async fn export(
    record: &Record,
    order: &Order,
    target: &std::path::Path,
) -> Result<Exported, ExportError> {
    export_from(record.store.as_ref(), record, order, target).await
}

/// Exports from another store, with the record's keys.
pub async fn export_from(
    store: &dyn EventStore,
    record: &Record,
    order: &Order,
    target: &std::path::Path,
) -> Result<Exported, ExportError> {
    let checkpoints = record.checkpoints();
    let exporter = Exporter {
        store,
        checkpoints: &checkpoints,
        witnesses: &[],
        program: "0.1.0",
        patience: Duration::from_secs(5),
    };
    let plan = exporter.plan(order).await?;
    exporter.write(&plan, target, None).await
}

/// What the verifier says.
pub fn check(record: &Record, folder: &std::path::Path) -> Result<Verified, Failure> {
    verify(folder, Some(&record.log_key()), &mut |_| {})
}

/// What the other verifier says: the first line, and whether it accepts.
pub fn check_by_python(folder: &std::path::Path) -> (bool, String) {
    let mut command = std::process::Command::new("python3");
    let output = command.arg(folder.join("verify.py")).arg(folder).output().expect("python3");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
