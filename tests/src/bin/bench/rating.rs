//! From leaves to money, in memory and on one core: leaves through the ledger, slices rated, and
//! beside them the bare hashing of as many ids.

use std::hint::black_box;

use anyhow::{Result, ensure};
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::rating::{FactSink, Ledger, Options as RatingOptions, Roots, Rows, ToldFact};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Options;
use crate::processor::of_thread;
use crate::report::Report;

const DAY: i64 = 86_400_000;
const BEGIN: i64 = 1_790_000_000_000;
const DAYS: i64 = 30;

const OTHERS: &str = "leaves through the ledger, of no concern to it";
const ENDS: &str = "leaves through the ledger, ends of attempts";
const SLICES: &str = "slices rated, one meter";
const FACTS: &str = "facts told, three meters";
const IDS: &str = "ids hashed, one after the other";
const SORTED: &str = "facts sorted, written and made into lines";

/// Runs the suite.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let attempts: u64 = if options.short { 20_000 } else { 100_000 };
    let others: Vec<Vec<u8>> =
        (0..attempts).map(|n| leaf(n, "attempt.started", started(n))).collect();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let mut ledger = ledger(&["runner_ms"])?;
        report.sample(OTHERS, "1/s", push(&mut ledger, 100, &others)?);
        let one = measure(&["runner_ms"], attempts)?;
        report.sample(ENDS, "1/s", one.pushed);
        report.sample(SLICES, "1/s", one.rated);
        let three = measure(&["runner_ms", "cpu_milli_ms", "mem_mib_ms"], attempts)?;
        report.sample(FACTS, "1/s", three.rated);
        report.sample(SORTED, "1/s", three.written);
        report.sample(IDS, "1/s", hashes(attempts * 3));
    }
    report.demand(OTHERS, -2_000_000.0);
    report.demand(SLICES, -1_000_000.0);
    report.compare(SLICES, IDS, None);
    Ok(report)
}

struct Rates {
    pushed: f64,
    rated: f64,
    written: f64,
}

/// Counts facts and looks at each.
#[derive(Default)]
struct Count(u64);

impl FactSink for Count {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.0 += 1;
        black_box(&fact);
    }
}

/// Attempts of two days across prices that are adopted anew each day: three slices each.
fn measure(meters: &[&str], attempts: u64) -> Result<Rates> {
    let ends: Vec<Vec<u8>> = (0..attempts).map(|n| leaf(n, "attempt.exited", exited(n))).collect();
    let mut ledger = ledger(meters)?;
    let pushed = push(&mut ledger, 100, &ends)?;
    let size = 100 + attempts;
    let begun = of_thread();
    let mut count = Count::default();
    black_box(ledger.draft("month", size, &mut count)?);
    let rated = count.0 as f64 / (of_thread() - begun).as_secs_f64();
    ensure!(count.0 >= attempts * 2 * meters.len() as u64, "attempts have several slices");
    let begun = of_thread();
    let mut rows = Rows::new();
    let draft = ledger.draft("month", size, &mut rows)?;
    rows.sort();
    let (mut roots, mut csv) = (Roots::new(), Vec::new());
    let facts = rows.len();
    for row in rows.iter() {
        csv.extend_from_slice(row.csv());
        roots.push(row)?;
    }
    black_box((draft.finish(&roots)?, Sha256Digest::of(&csv)));
    let written = facts as f64 / (of_thread() - begun).as_secs_f64();
    Ok(Rates { pushed, rated, written })
}

/// Leaves each second.
fn push(ledger: &mut Ledger, from: u64, leaves: &[Vec<u8>]) -> Result<f64> {
    let begun = of_thread();
    for (index, leaf) in (from..).zip(leaves) {
        ledger.push(index, leaf)?;
    }
    Ok(leaves.len() as f64 / (of_thread() - begun).as_secs_f64())
}

fn hashes(count: u64) -> f64 {
    let mut text = vec![b'x'; 118];
    let begun = of_thread();
    for number in 0..count {
        text[..8].copy_from_slice(&number.to_be_bytes());
        black_box(Sha256Digest::of(&text));
    }
    count as f64 / (of_thread() - begun).as_secs_f64()
}

fn ledger(meters: &[&str]) -> Result<Ledger> {
    let mut ledger = Ledger::new(RatingOptions {
        tenant: "acme".to_string(),
        origin: "bench.example/t/acme/1".to_string(),
        ..RatingOptions::default()
    })?;
    for day in 0..DAYS {
        let adopted = json!({
            "card": card(meters), "effective_from": BEGIN + day * DAY, "sha256": "0".repeat(64),
            "source": "",
        });
        let index = day.unsigned_abs();
        ledger.push(index, &billing(index, "rate_card.adopted", adopted))?;
    }
    let opened = json!({
        "currency": "EUR", "end": BEGIN + DAYS * DAY, "exponent": 2, "grace_ms": 0,
        "kind": "custom", "needs_from": 0, "period": "month", "start": BEGIN, "zone": "UTC",
    });
    ledger.push(99, &billing(99, "period.opened", opened))?;
    Ok(ledger)
}

fn card(meters: &[&str]) -> Value {
    let price = |meter: &&str| {
        json!({
            "match": {}, "meter": meter, "per": "3600000", "sku": meter,
            "tiers": {"kind": "flat", "steps": [{"price_nanos": "600000000"}]},
        })
    };
    json!({
        "bill": "allocated", "bill_faults": {"infra": false, "policy": true, "user": true},
        "clock": "executor", "currency": "EUR", "exponent": 2, "increment_ms": 1_000,
        "minimum_ms": 1_000, "name": "standard", "rounding": "half_even", "version": 1,
        "prices": meters.iter().map(price).collect::<Vec<_>>(),
    })
}

fn id(family: u128, number: u64) -> String {
    let bits = (0x0199_a000_0000_u128 << 80) | (0x7 << 76) | (0x2 << 62) | (family << 48);
    Uuid::from_u128(bits | u128::from(number)).to_string()
}

fn started(number: u64) -> Value {
    json!({
        "attempt": id(2, number), "epoch": number, "handle": "x".repeat(120), "node": "node-17",
        "started_at": BEGIN, "step": "train-the-model",
    })
}

fn exited(number: u64) -> Value {
    let allocated = BEGIN + DAY / 2 + (number as i64 * 7_919) % (26 * DAY);
    let released = allocated + 2 * DAY;
    json!({
        "attempt": id(2, number), "epoch": number, "exited_at": released, "outcome": "succeeded",
        "heard": {"exited": released + 40, "planned": allocated - 40, "started": allocated + 900},
        "log": {"bytes": 1_200, "crc32": 77, "dropped_bytes": 0}, "step": "train-the-model",
        "usage": {
            "allocated_ms": allocated, "class": "standard", "executor": "kubernetes",
            "fault": "none", "node": "node-17", "outcome": "succeeded", "quality": "exact",
            "released_ms": released, "source": "cgroup2", "started_ms": allocated + 800,
            "requested": {"cpu_milli": 2_000, "disk_mib": 0, "gpu": [], "mem_mib": 4_096},
            "used": {"cpu_ms": 151_000, "mem_mib_ms": 210_000_000, "mem_peak_mib": 3_071},
        },
        "verdict": "succeeded",
    })
}

fn billing(index: u64, kind: &str, data: Value) -> Vec<u8> {
    sealed(index, "billing", kind, BEGIN - DAY, data)
}

fn leaf(number: u64, kind: &str, data: Value) -> Vec<u8> {
    let run = id(1, number / 20);
    sealed(100 + number, &format!("run/{run}"), kind, BEGIN + DAYS * DAY, data)
}

fn sealed(index: u64, stream: &str, kind: &str, rt: i64, data: Value) -> Vec<u8> {
    let leaf = json!({
        "ac": {"id": "engine", "kind": "system"}, "at": rt, "co": stream.trim_start_matches("run/"),
        "d": data, "id": id(3, index), "pos": index + 1, "rt": rt, "st": stream, "sv": 0, "tl": 1,
        "tn": "acme", "ts": index, "ty": kind, "v": 1,
    });
    canonical::to_vec(&leaf).unwrap_or_default()
}
