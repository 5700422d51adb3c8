//! What the tests of billing have in common.

use dagbook_events::aggregate::Aggregate;
use dagbook_events::billing::file::{CardFile, ContractFile, read_card, read_contract};
use dagbook_events::billing::{
    Billing, BillingEvent, CardVersions, Cut, PeriodClosed, PeriodKind, Whole,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Timestamp;

pub const NOW: Timestamp = Timestamp(1_763_700_000_000);

pub fn card_file(more: &str) -> CardFile {
    let text = format!(
        "rate_card: standard\ncurrency: EUR\n{more}prices:\n  - {{ sku: cpu, meter: cpu_milli_ms, \
         price: '0.048', per: 3600000000 }}\n"
    );
    read_card(text.as_bytes(), "card.yaml").expect("a good card").0
}

pub fn contract_file(more: &str) -> ContractFile {
    let text = format!("contract: acme\ncurrency: EUR\n{more}");
    read_contract(text.as_bytes(), "contract.yaml").expect("a good contract").0
}

/// A card with versions that hold from these instants on.
pub fn card(effective: &[i64]) -> CardVersions {
    let mut card = CardVersions::default();
    for (n, at) in effective.iter().enumerate() {
        let file = card_file(&format!("minimum_ms: {n}\n"));
        let events = card.publish(&file, Some(Timestamp(*at)), NOW).expect("published");
        events.iter().for_each(|event| card.apply(NOW, event));
    }
    card
}

/// Takes in what was decided; says how many events that were.
pub fn take(state: &mut Billing, decided: Result<Vec<BillingEvent>, Refusal>) -> usize {
    let events = decided.expect("decided");
    events.iter().for_each(|event| state.apply(NOW, event));
    events.len()
}

pub fn custom(name: &str, start: i64, end: i64) -> Cut {
    Cut {
        name: name.to_string(),
        kind: PeriodKind::Custom,
        start: Timestamp(start),
        end: Timestamp(end),
        zone: "UTC".to_string(),
    }
}

pub fn closing(period: &str, number: &str, total: i128) -> PeriodClosed {
    PeriodClosed {
        period: period.to_string(),
        size: 10,
        root: Sha256Digest::of(b"root"),
        rating: 1,
        number: number.to_string(),
        usage: Sha256Digest::of(b"usage"),
        lines: Sha256Digest::of(b"lines"),
        invoice: Sha256Digest::of(b"invoice"),
        total_minor: Whole(total),
        totals: Vec::new(),
        corrected: Vec::new(),
        credits: Vec::new(),
    }
}

pub fn conflict<T: std::fmt::Debug>(decided: Result<T, Refusal>) -> String {
    match decided.expect_err("refused") {
        Refusal::Conflict(text) => text,
        other => panic!("another refusal: {other:?}"),
    }
}
