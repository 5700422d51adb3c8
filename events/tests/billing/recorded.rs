//! The recorded shape of every event of billing: golden files that must be read for ever. With
//! `DAGBOOK_BLESS=1` files that are missing are written; one that exists is never rewritten.

use std::path::{Path, PathBuf};

use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::billing::*;
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::time::{Millis, Timestamp};

const FROM: Timestamp = Timestamp(1_763_700_000_000);

fn text(text: &str) -> String {
    text.to_string()
}

fn card() -> RateCard {
    let source = include_str!("../../../ops/rate-cards/standard.yaml");
    file::read_card(source.as_bytes(), "standard.yaml").expect("good").0.what
}

fn card_published() -> CardPublished {
    let card = card();
    let sha256 = sha256_of_card(&card);
    CardPublished { card, effective_from: FROM, sha256, source: text("rate_card: standard\n") }
}

fn contract() -> Contract {
    let flat = |nanos| Tiers {
        kind: TierKind::Flat,
        steps: vec![Step { price_nanos: Whole(nanos), up_to: None }],
    };
    Contract {
        name: text("acme"),
        version: 1,
        currency: text("EUR"),
        exponent: 2,
        overrides: vec![Override {
            sku: text("cpu"),
            per: Whole(3_600_000_000),
            tiers: flat(40_000_000),
        }],
        discounts: vec![
            Discount {
                name: text("volume"),
                parts_per_billion: Whole(125_000_000),
                skus: Some(vec![text("cpu")]),
            },
            Discount { name: text("all"), parts_per_billion: Whole(10_000_000), skus: None },
        ],
        credits: vec![Credit { name: text("welcome"), amount_minor: Whole(5_000) }],
    }
}

fn total(period: Option<&str>) -> PeriodTotal {
    PeriodTotal {
        period: period.map(text),
        quantity: Whole(170_141_183_460_469_231_731),
        rate_card: text("standard+acme"),
        rate_card_version: text("1+1"),
        sku: text("cpu"),
    }
}

fn events() -> Vec<BillingEvent> {
    let published = card_published();
    let contract = contract();
    vec![
        BillingEvent::CardAdopted(CardAdopted {
            card: published.card,
            effective_from: FROM,
            sha256: published.sha256,
            source: published.source,
        }),
        BillingEvent::ContractPublished(ContractPublished {
            sha256: sha256_of_contract(&contract),
            contract,
            effective_from: FROM,
            source: text("contract: acme\n"),
        }),
        BillingEvent::PeriodOpened(PeriodOpened {
            period: text("2026-11"),
            kind: PeriodKind::Month,
            start: Timestamp(1_761_951_600_000),
            end: Timestamp(1_764_543_600_000),
            zone: text("Europe/Berlin"),
            grace_ms: Millis(172_800_000),
            currency: text("EUR"),
            exponent: 2,
            needs_from: 256,
        }),
        BillingEvent::GraceWaived(GraceWaived { period: text("2026-11"), reason: text("leaves") }),
        BillingEvent::PeriodClosed(PeriodClosed {
            period: text("2026-11"),
            size: 1_200,
            root: Sha256Digest::of(b"root"),
            rating: 1,
            number: text("acme-000001"),
            usage: Sha256Digest::of(b"usage"),
            lines: Sha256Digest::of(b"lines"),
            invoice: Sha256Digest::of(b"invoice"),
            total_minor: Whole(4_210),
            totals: vec![total(None)],
            corrected: vec![total(Some("2026-10"))],
            credits: vec![CreditTaken {
                contract: text("acme"),
                minor: Whole(5_000),
                name: text("welcome"),
            }],
        }),
        BillingEvent::CreditNoteIssued(CreditNoteIssued {
            number: text("acme-CN-000001"),
            invoice: text("acme-000001"),
            sha256: Sha256Digest::of(b"{}"),
            document: text("{}"),
        }),
        BillingEvent::BudgetSet(BudgetSet {
            name: text("month"),
            minor: Whole(100_000),
            currency: text("EUR"),
            on_exceed: BudgetAction::HoldNew,
        }),
        BillingEvent::BudgetRemoved(BudgetRemoved { name: text("month") }),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/billing-events-1")
}

fn check<E: AggregateEvent + PartialEq + std::fmt::Debug>(event: &E) {
    let mut written = Vec::new();
    canonical::write(&mut written, &event.to_data()).expect("recordable");
    let path = folder().join(format!("{}.json", event.kind()));
    if std::env::var_os("DAGBOOK_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(folder()).expect("made");
        std::fs::write(&path, &written).expect("written");
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&golden),
        "{}: what is written changed; a new shape needs a data version and a reader of the old",
        event.kind()
    );
    let data = serde_json::from_slice(&golden).expect("an object");
    assert_eq!(E::read(event.kind(), &data).expect("readable").as_ref(), Some(event));
    let mut later = data;
    later.insert(text("added_by_a_later_program"), serde_json::json!(1));
    assert_eq!(E::read(event.kind(), &later).expect("readable").as_ref(), Some(event));
    assert_eq!(E::read("thing.dreamt", &later).expect("of another program"), None);
}

#[test]
fn every_event_has_its_golden_file_and_reads_back() {
    let published = CardStreamEvent::Published(card_published());
    events().iter().for_each(check);
    check(&published);
    let files = std::fs::read_dir(folder()).expect("the folder").count();
    assert_eq!(files, events().len() + 1, "a golden file of an event that no sample has");
}
