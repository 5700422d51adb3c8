//! Which price holds, and for how much of an attempt.

use dagbook_events::billing::{Match, Meter};
use dagbook_events::rating::RatingError;
use dagbook_events::time::Millis;

use super::histories::{DAY, HOUR, Log, SIXTY_CENTS, Use, card, flat, hourly, price, shown, span};

#[test]
fn a_minimum_and_then_an_increment_are_applied_once_to_an_attempt_and_belong_to_its_last_slice() {
    let mut card = hourly(1, SIXTY_CENTS);
    card.minimum_ms = Millis(10_000);
    card.increment_ms = Millis(7_000);
    let mut log = Log::with(card.clone());
    log.open("p2", 10 * DAY, 20 * DAY);
    // Four seconds across the boundary: at least ten, in sevens fourteen.
    log.exited("a", &span(10 * DAY - 1_000, 10 * DAY + 3_000));
    assert_eq!(log.rate("p1").facts[0].quantity, 1_000);
    let last = log.rate("p2").facts[0].clone();
    assert_eq!((last.quantity, last.end - last.start), (13_000, 3_000));
    // A multiple is not rounded further.
    log.exited("b", &span(0, 21_000));
    let quantities: i128 = log.rate("p1").facts.iter().map(|fact| fact.quantity).sum();
    assert_eq!(quantities, 22_000);
}

#[test]
fn what_still_runs_is_billed_without_padding() {
    let mut card = hourly(1, SIXTY_CENTS);
    card.minimum_ms = Millis(60_000);
    let mut log = Log::with(card);
    log.checkpoint("a", &span(0, 5_000));
    assert_eq!(log.rate("p1").facts[0].quantity, 5_000);
    log.exited("a", &span(0, 6_000));
    assert_eq!(log.rate("p1").facts[0].quantity, 60_000);
}

#[test]
fn the_first_price_that_matches_is_taken_and_without_one_there_is_no_fact() {
    let only = |sku: &str, executor: &str, class: &str| {
        let mut price = price(sku, Meter::RunnerMs, 1, flat(1));
        price.matches = Match {
            executor: Some(executor.to_string()),
            class: Some(class.to_string()),
            ..Match::default()
        };
        price
    };
    let prices = vec![
        only("spot", "kubernetes", "spot"),
        only("pods", "kubernetes", "standard"),
        only("never", "kubernetes", "standard"),
        price("cpu", Meter::CpuMilliMs, 1, flat(1)),
    ];
    let mut log = Log::with(card(1, prices));
    log.exited("a", &Use { executor: "kubernetes", class: "spot", ..span(0, 10) });
    log.exited("b", &Use { executor: "kubernetes", cpu_milli: 500, ..span(0, 20) });
    log.exited("c", &span(0, 40));
    let statement = log.rate("p1");
    let quantities: Vec<_> =
        shown(&statement.lines).iter().map(|(sku, _, q, _)| (*sku, *q)).collect();
    assert_eq!(quantities, [("cpu", 10_000), ("pods", 20), ("spot", 10)]);
    assert_eq!(statement.fact_count, 3);
}

#[test]
fn a_fault_that_the_card_does_not_bill_leaves_a_fact_and_no_line() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.exited("a", &Use { fault: "infra", outcome: "infra", ..span(0, HOUR) });
    log.exited("b", &Use { fault: "user", outcome: "failed", ..span(0, HOUR) });
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, i128::from(HOUR), 60)]);
    let billed: Vec<_> = statement.facts.iter().map(|fact| (&*fact.attempt, fact.billed)).collect();
    assert!(billed.contains(&("a", false)) && billed.contains(&("b", true)), "{billed:?}");
    assert_eq!(statement.lines[0].usage_count, 1);
}

#[test]
fn bytes_that_left_are_counted_once_in_the_last_slice_of_what_ended() {
    let egress = price("egress", Meter::EgressBytes, 1, flat(1));
    let mut log = Log::with(card(1, vec![egress]));
    log.open("p2", 10 * DAY, 20 * DAY);
    let used = Use { egress: 700, ..span(10 * DAY - HOUR, 10 * DAY + HOUR) };
    log.checkpoint("a", &used);
    assert_eq!(log.rate("p2").fact_count, 0);
    log.exited("a", &used);
    assert_eq!(log.rate("p1").fact_count, 0);
    assert_eq!(shown(&log.rate("p2").lines)[0].2, 700);
}

#[test]
fn without_any_card_there_are_facts_without_a_price() {
    let mut log = Log::default();
    log.open("p1", 0, DAY);
    log.exited("a", &Use { cpu_milli: 2_000, ..span(0, HOUR) });
    let statement = log.rate("p1");
    assert!(statement.lines.is_empty());
    let facts: Vec<_> =
        statement.facts.iter().map(|fact| (&*fact.sku, &*fact.rate_card, fact.billed)).collect();
    assert_eq!(facts, [("", "", false), ("", "", false)]);
}

#[test]
fn a_card_in_another_currency_than_the_period_is_refused() {
    let mut card = hourly(1, SIXTY_CENTS);
    card.currency = "USD".to_string();
    let mut log = Log::with(card);
    log.exited("a", &span(0, HOUR));
    let refused = log.try_rate("p1").expect_err("two currencies");
    assert!(matches!(refused, RatingError::Currency { .. }), "{refused}");
}

#[test]
fn the_rules_are_those_of_the_card_at_the_allocation_also_behind_a_change() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    let mut stingy = hourly(2, SIXTY_CENTS);
    stingy.minimum_ms = Millis(1_000_000);
    log.card(HOUR, stingy);
    log.exited("a", &span(HOUR - 10, HOUR + 10));
    log.exited("b", &span(HOUR, HOUR + 10));
    let mut quantities: Vec<_> =
        log.rate("p1").facts.iter().map(|fact| (fact.attempt.to_string(), fact.quantity)).collect();
    quantities.sort();
    let expected = [("a", 10), ("a", 10), ("b", 1_000_000)];
    assert_eq!(quantities, expected.map(|(attempt, quantity)| (attempt.to_string(), quantity)));
}

#[test]
fn of_two_cards_from_the_same_instant_the_one_recorded_later_holds() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.card(0, hourly(2, 2 * SIXTY_CENTS));
    log.exited("a", &span(0, HOUR));
    assert_eq!(log.rate("p1").total_minor, 120);
    // A card from an earlier instant does not, although it was recorded last.
    log.card(-HOUR, hourly(3, 4 * SIXTY_CENTS));
    assert_eq!(log.rate("p1").total_minor, 120);
}

#[test]
fn a_figure_that_no_machine_number_holds_is_an_error_and_no_amount() {
    let mut log = Log::with(hourly(1, i128::MAX / 2));
    log.exited("a", &span(0, HOUR));
    assert!(matches!(log.try_rate("p1"), Err(RatingError::TooLarge { .. })));
}
