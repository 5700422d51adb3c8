//! Publishing cards and contracts, giving cards to tenants, budgets and credit notes.

use dagbook_events::aggregate::Aggregate;
use dagbook_events::billing::{
    Billing, BillingEvent, BudgetAction, BudgetSet, CardVersions, CreditAsk, CreditNote,
    InvoicedLine, Opening, Whole,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Timestamp;

use crate::support::{NOW, card, card_file, closing, conflict, contract_file, custom, take};

const LATER: Timestamp = Timestamp(NOW.0 + 86_400_000);

fn adopted(state: &Billing) -> Vec<(u32, i64)> {
    state.cards.iter().map(|it| (it.card.version, it.effective_from.0)).collect()
}

#[test]
fn versions_of_a_card_have_no_gap_and_never_change() {
    let mut versions = CardVersions::default();
    let first = card_file("version: 1\neffective_from: 2020-01-01T00:00:00Z\n");
    let events = versions.publish(&first, None, NOW).expect("the first may be of the past");
    events.iter().for_each(|event| versions.apply(NOW, event));
    assert_eq!(versions.publish(&first, None, NOW), Ok(Vec::new()), "the same again is nothing");

    let other = card_file("version: 1\nminimum_ms: 5\n");
    assert!(conflict(versions.publish(&other, None, NOW)).contains("publish version 2"));
    let gap = card_file("version: 3\n");
    assert!(conflict(versions.publish(&gap, None, NOW)).contains("no gaps"));
    let past = card_file("effective_from: 2021-01-01T00:00:00Z\n");
    assert!(conflict(versions.publish(&past, None, NOW)).contains("--effective"));
    let before_the_first = Timestamp::parse_rfc3339("2019-01-01T00:00:00Z");
    assert!(conflict(versions.publish(&past, before_the_first, NOW)).contains("would follow it"));

    let said = versions.publish(&past, past.effective_from, NOW).expect("it was said");
    said.iter().for_each(|event| versions.apply(NOW, event));
    let last = versions.last().expect("two");
    assert_eq!((last.card.version, Some(last.effective_from)), (2, past.effective_from));
    assert_eq!(last.sha256, dagbook_events::billing::sha256_of_card(&last.card));

    let mut yen = card_file("");
    yen.what.currency = "JPY".to_string();
    assert!(conflict(versions.publish(&yen, None, NOW)).contains("a name of its own"));
}

#[test]
fn a_card_too_large_for_the_record_is_refused_when_it_is_published() {
    let row = |n: usize| {
        format!("- {{sku: s{n}, meter: runner_ms, match: {{class: c{n}}}, price: 1, per: 1}}\n")
    };
    let rows: String = (0..256).map(row).collect();
    let text = format!("rate_card: x\ncurrency: EUR\nprices:\n{rows}");
    let file = dagbook_events::billing::file::read_card(text.as_bytes(), "x").expect("good").0;
    assert!(CardVersions::default().publish(&file, None, NOW).is_ok());
    let steps: String = (1..16).map(|n| format!("{{up_to: {n}, price: 1}},")).collect();
    let row = |n: usize| {
        format!(
            "- {{sku: s{n}, meter: runner_ms, match: {{class: c{n}}}, per: 1, tiers: {{kind: volume, steps: [{steps}{{price: 1}}]}}}}\n"
        )
    };
    let rows: String = (0..56).map(row).collect();
    let text = format!("rate_card: x\ncurrency: EUR\nprices:\n{rows}");
    let file = dagbook_events::billing::file::read_card(text.as_bytes(), "x").expect("good").0;
    let refused = CardVersions::default().publish(&file, None, NOW).expect_err("too large");
    assert!(refused.to_string().contains("fewer prices"), "{refused}");
}

#[test]
fn a_tenant_gets_the_version_that_holds_and_those_that_come() {
    let card = card(&[1_000, 2_000, LATER.0]);
    let mut state = Billing::default();
    let events = state.assign(&card, None, NOW);
    assert_eq!(take(&mut state, events), 2);
    assert_eq!(adopted(&state), [(2, NOW.0), (3, LATER.0)]);
    assert_eq!(state.assign(&card, None, NOW), Ok(Vec::new()), "again is nothing");
    assert_eq!(state.follow(&card), Ok(Vec::new()));
}

#[test]
fn later_versions_follow_once_and_in_order() {
    let mut state = Billing::default();
    let events = state.assign(&card(&[1_000]), None, NOW);
    take(&mut state, events);
    let newer = card(&[1_000, 2_000, LATER.0]);
    let events = state.follow(&newer);
    assert_eq!(take(&mut state, events), 2);
    // Version 2 held before the tenant had the card at all: it takes the place of version 1.
    assert_eq!(adopted(&state), [(1, NOW.0), (2, NOW.0), (3, LATER.0)]);
    assert_eq!(state.follow(&newer), Ok(Vec::new()));

    let other = CardVersions {
        versions: newer
            .versions
            .iter()
            .map(|it| {
                let mut it = it.clone();
                it.card.name = "other".to_string();
                it
            })
            .collect(),
    };
    assert_eq!(state.follow(&other), Ok(Vec::new()), "a card that the tenant does not have");
}

#[test]
fn nothing_new_holds_in_a_closed_period() {
    let mut state = Billing::default();
    let events = state.assign(&card(&[1_000]), Some(Timestamp(1_000)), NOW);
    take(&mut state, events);
    let end = NOW.0 - 1_000_000_000;
    for cut in [custom("a", 1_000_000, 9_000_000), custom("b", 9_000_000, 1_009_000_000)] {
        let events = state.open(&cut, &Opening::default());
        take(&mut state, events);
    }
    let events = state.close("acme", closing("a", "acme-000001", 0), Timestamp(end), None);
    take(&mut state, events);
    let early = Some(Timestamp(8_999_999));
    let newer = card(&[1_000, 2_000]);
    assert!(conflict(state.assign(&newer, early, NOW)).contains("are closed"));
    assert!(
        conflict(state.publish_contract(&contract_file(""), early, NOW)).contains("are closed")
    );
    let edge = Some(Timestamp(9_000_000));
    assert!(state.publish_contract(&contract_file(""), edge, NOW).is_ok());
    let events = state.follow(&newer).expect("followed");
    take(&mut state, Ok(events));
    assert_eq!(adopted(&state)[1], (2, 9_000_000), "as early as it can be");
}

#[test]
fn a_contract_has_the_tenants_currency_and_credits_keep_their_amount() {
    let mut state = Billing::default();
    let events = state.assign(&card(&[1_000]), None, NOW);
    take(&mut state, events);
    let first = contract_file("credits: [ { name: w, amount: 5 } ]\n");
    let events = state.publish_contract(&first, None, NOW);
    assert_eq!(take(&mut state, events), 1);
    assert_eq!(state.publish_contract(&first, None, LATER), Ok(Vec::new()));
    let other = contract_file("credits: [ { name: w, amount: 6 } ]\n");
    assert!(conflict(state.publish_contract(&other, None, NOW)).contains("a name of its own"));
    let past = contract_file("effective_from: 2020-01-01T00:00:00Z\n");
    assert!(conflict(state.publish_contract(&past, None, NOW)).contains("--effective"));
    let mut yen = contract_file("version: 2\n");
    yen.what.currency = "JPY".to_string();
    assert!(conflict(state.publish_contract(&yen, None, NOW)).contains("billed in EUR"));
}

#[test]
fn budgets_are_set_changed_and_removed() {
    let budget = |minor: i128, currency: &str| BudgetSet {
        name: "month".to_string(),
        minor: Whole(minor),
        currency: currency.to_string(),
        on_exceed: BudgetAction::Warn,
    };
    let mut state = Billing::default();
    let events = state.set_budget(&budget(5, "EUR"));
    assert_eq!(take(&mut state, events), 1);
    assert_eq!(state.set_budget(&budget(5, "EUR")), Ok(Vec::new()));
    assert!(conflict(state.set_budget(&budget(5, "USD"))).contains("EUR"));
    assert!(matches!(state.set_budget(&budget(-1, "EUR")), Err(Refusal::Invalid(_))));
    let events = state.remove_budget("month");
    assert_eq!(take(&mut state, events), 1);
    assert!(matches!(state.remove_budget("month"), Err(Refusal::Missing { .. })));
    assert!(matches!(state.set_budget(&budget(1, "XXX")), Err(Refusal::Invalid(_))));
}

fn line(id: &str, sku: &str, account: &str, minor: i128) -> InvoicedLine {
    let (line_id, sku, account) = (id.to_string(), sku.to_string(), account.to_string());
    InvoicedLine { line_id, sku, account, amount_minor: Whole(minor) }
}

fn ask(lines: &[(&str, Option<i128>)]) -> CreditAsk {
    let lines = lines.iter().map(|(id, amount)| (id.to_string(), amount.map(Whole))).collect();
    CreditAsk { invoice: "acme-000001".to_string(), lines, reason: "an outage".to_string() }
}

#[test]
fn a_credit_note_takes_back_at_most_what_was_asked_for() {
    let mut state = Billing::default();
    let eur = Opening { currency: Some("EUR".to_string()), ..Opening::default() };
    for cut in [custom("a", 0, 9_000), custom("b", 9_000, 18_000)] {
        let events = state.open(&cut, &eur);
        take(&mut state, events);
    }
    let lines = [
        line("000001", "cpu", "revenue/cpu", 100),
        line("000002", "mem", "revenue/mem", 50),
        line("000003", "discount:volume", "discount/volume", -30),
    ];
    let issue = |state: &Billing, ask: &CreditAsk| state.credit(("site", "acme"), ask, &lines, NOW);
    let none = issue(&state, &ask(&[]));
    assert!(matches!(none, Err(Refusal::Missing { what: "invoice", .. })), "{none:?}");
    let closed = state.close("acme", closing("a", "acme-000001", 120), NOW, None);
    take(&mut state, closed);

    assert!(matches!(issue(&state, &ask(&[("000009", None)])), Err(Refusal::Missing { .. })));
    assert!(conflict(issue(&state, &ask(&[("000001", Some(101))]))).contains("100 are left"));
    let twice = ask(&[("000001", Some(1)), ("000001", Some(1))]);
    assert!(matches!(issue(&state, &twice), Err(Refusal::Invalid(_))));
    let events = issue(&state, &ask(&[("000001", Some(40))]));
    take(&mut state, events);
    assert!(conflict(issue(&state, &ask(&[("000001", Some(61))]))).contains("60 are left"));
    // All that is left: 60 + 50 - 30.
    let events = issue(&state, &ask(&[]));
    take(&mut state, events);
    assert!(issue(&state, &ask(&[])).is_err(), "nothing is left");
    assert!(issue(&state, &ask(&[("000002", Some(1))])).is_err(), "nothing is left");

    let numbers: Vec<&str> = state.credit_notes.iter().map(|it| it.number.as_str()).collect();
    assert_eq!(numbers, ["acme-CN-000001", "acme-CN-000002"]);
    for issued in &state.credit_notes {
        assert_eq!(issued.sha256, Sha256Digest::of(issued.document.as_bytes()));
        let note: CreditNote = serde_json::from_str(&issued.document).expect("a document");
        let canonical = dagbook_events::canonical::to_vec(&note).expect("canonical");
        assert_eq!(canonical, issued.document.as_bytes());
        assert_eq!(note.postings.iter().map(|it| it.minor.0).sum::<i128>(), 0);
        let sum: i128 = note.lines.iter().map(|it| it.amount_minor.0).sum();
        assert_eq!(note.total_minor.0, sum);
    }
    let last: CreditNote =
        serde_json::from_str(&state.credit_notes[1].document).expect("a document");
    assert_eq!(last.total_minor, Whole(80));
}

#[test]
fn an_assignment_is_events_of_the_tenant_alone() {
    let events = Billing::default().assign(&card(&[1_000]), None, NOW).expect("assigned");
    assert!(matches!(&events[..], [BillingEvent::CardAdopted(it)] if it.source.contains("cpu")));
}
