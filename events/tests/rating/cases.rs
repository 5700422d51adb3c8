//! Cases that are known to break others, one by one.

use dagbook_events::billing::{Match, Meter, TierKind};
use dagbook_events::rating::LineClass;
use dagbook_events::time::{Millis, Timestamp};

use super::histories::{
    DAY, EPOCH, HOUR, Log, SIXTY_CENTS, Use, card, flat, hourly, odd, price, shown, span, tiers,
};

fn instant(text: &str) -> i64 {
    Timestamp::parse_rfc3339(text).expect("an instant").0
}

#[test]
fn an_attempt_of_no_time_costs_nothing_whatever_the_minimum() {
    let mut long = hourly(1, SIXTY_CENTS);
    long.minimum_ms = Millis(60_000);
    long.increment_ms = Millis(60_000);
    let mut log = Log::with(long);
    log.exited("a", &span(HOUR, HOUR));
    let statement = log.rate("p1");
    assert!(statement.facts.is_empty() && statement.lines.is_empty());
    assert_eq!((statement.total_minor, odd(&statement).len()), (0, 0));
}

#[test]
fn an_attempt_across_three_periods_is_billed_in_each_for_its_part() {
    let mut log = Log::default();
    log.card(0, hourly(1, SIXTY_CENTS));
    for (name, start) in [("p1", 0), ("p2", 10), ("p3", 20)] {
        log.open(name, start * HOUR, (start + 10) * HOUR);
    }
    // Eight to eleven, known from a checkpoint; then to 21; it ends at 23.
    log.checkpoint("a", &span(8 * HOUR, 11 * HOUR));
    let first = log.close("p1");
    assert_eq!(shown(&first.lines), [("time", 1, 2 * i128::from(HOUR), 120)]);
    log.checkpoint("a", &span(8 * HOUR, 21 * HOUR));
    let second = log.close("p2");
    assert_eq!(shown(&second.lines), [("time", 1, 10 * i128::from(HOUR), 600)]);
    log.exited("a", &span(8 * HOUR, 23 * HOUR));
    let third = log.close("p3");
    assert_eq!(shown(&third.lines), [("time", 1, 3 * i128::from(HOUR), 180)]);
    let rows: Vec<_> = [&first, &second, &third]
        .iter()
        .map(|statement| {
            let fact = &statement.facts[0];
            (statement.facts.len(), fact.start - EPOCH, fact.end - EPOCH)
        })
        .collect();
    let hours = |n| n * HOUR;
    let expected = [(1, hours(8), hours(10)), (1, hours(10), hours(20)), (1, hours(20), hours(23))];
    assert_eq!(rows, expected);
}

#[test]
fn a_card_replaced_within_a_period_prices_what_begins_behind_it() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.at(2 * HOUR).card(15 * HOUR, hourly(2, 900_000_000));
    log.exited("a", &span(10 * HOUR, 20 * HOUR));
    let statement = log.rate("p1");
    let versions: Vec<_> = statement
        .lines
        .iter()
        .map(|line| (&*line.rate_card_version, line.quantity, line.amount_minor))
        .collect();
    let five = 5 * i128::from(HOUR);
    assert_eq!(versions, [("1", five, 300), ("2", five, 450)]);
    assert_eq!(statement.total_minor, 750);
}

/// A runner that is held for all of a month, from the given instants of the zone.
fn month(start: &str, end: &str) -> i128 {
    let (start, end) = (instant(start), instant(end));
    let mut log = Log::default();
    log.card(start - EPOCH - DAY, hourly(1, SIXTY_CENTS));
    log.open_in("month", start, end, ("EUR", 2));
    log.open_in("next", end, end + 31 * DAY, ("EUR", 2));
    let used = Use { allocated: start - HOUR, released: end + HOUR, ..span(0, 0) };
    log.exited("a", &used);
    let statement = log.rate("month");
    assert_eq!(statement.facts.len(), 1);
    statement.total_minor
}

#[test]
fn months_of_28_29_30_and_31_days_are_billed_for_their_hours() {
    assert_eq!(month("2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"), 28 * 24 * 60);
    assert_eq!(month("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"), 29 * 24 * 60);
    assert_eq!(month("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"), 30 * 24 * 60);
    assert_eq!(month("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"), 31 * 24 * 60);
}

#[test]
fn a_month_with_a_change_of_the_clock_has_an_hour_more_or_less() {
    // Berlin, March: 743 hours. October: 745.
    assert_eq!(month("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"), 743 * 60);
    assert_eq!(month("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"), 745 * 60);
    // Asunción once changed at midnight of a first of October: the day began at one o'clock.
    assert_eq!(month("2023-10-01T04:00:00Z", "2023-11-01T03:00:00Z"), 743 * 60);
}

#[test]
fn zones_at_both_ends_of_the_day_cut_the_same_attempt_at_their_own_instants() {
    let billed = |start: &str, end: &str| {
        let (start, end) = (instant(start), instant(end));
        let mut log = Log::default();
        log.card(start - EPOCH - DAY, hourly(1, SIXTY_CENTS));
        log.open_in("2026-11", start, end, ("EUR", 2));
        let (allocated, released) =
            (instant("2026-10-31T09:00:00Z"), instant("2026-11-01T13:00:00Z"));
        log.exited("a", &Use { allocated, released, ..span(0, 0) });
        log.rate("2026-11").total_minor
    };
    // November in Kiritimati (UTC+14) began at 10:00 of 31 October, on Baker Island (UTC−12) at
    // 12:00 of 1 November.
    assert_eq!(billed("2026-10-31T10:00:00Z", "2026-11-30T10:00:00Z"), 27 * 60);
    assert_eq!(billed("2026-11-01T12:00:00Z", "2026-12-01T12:00:00Z"), 60);
}

#[test]
fn currencies_without_and_with_three_decimals_are_rounded_to_their_own_minor_unit() {
    let billed = |currency: &str, exponent, price_nanos, ms| {
        let mut card = hourly(1, price_nanos);
        card.currency = currency.to_string();
        card.exponent = exponent;
        let mut log = Log::default();
        log.card(0, card);
        log.open_in("p1", EPOCH, EPOCH + DAY, (currency, exponent));
        log.exited("a", &span(0, ms));
        let statement = log.rate("p1");
        (statement.lines[0].amount_nanos, statement.total_minor)
    };
    // 100 yen an hour for 90, 126 and 162 seconds: 2.5, 3.5 and 4.5 yen.
    let yen = |ms| billed("JPY", 0, 100_000_000_000, ms);
    assert_eq!(yen(90_000), (2_500_000_000, 2));
    assert_eq!(yen(126_000), (3_500_000_000, 4));
    assert_eq!(yen(162_000), (4_500_000_000, 4));
    // 0.123 dinars an hour for half an hour: 61.5 fils, and 0.121: 60.5.
    let dinar = |price| billed("KWD", 3, price, HOUR / 2);
    assert_eq!(dinar(123_000_000), (61_500_000, 62));
    assert_eq!(dinar(121_000_000), (60_500_000, 60));
}

#[test]
fn the_same_usage_twice_is_no_news_and_another_one_a_conflict() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    let index = log.exited("a", &span(0, HOUR));
    log.exited("a", &span(0, HOUR));
    assert_eq!(odd(&log.rate("p1")), []);
    log.exited("a", &span(0, 2 * HOUR));
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, i128::from(HOUR), 60)]);
    assert_eq!(odd(&statement), [("conflict", 1)]);
    assert_eq!(statement.facts[0].leaf_index, index);
    let named = &statement.anomalies.named[0];
    assert_eq!((named.kind, named.leaf_index, &*named.run), ("conflict", index + 2, "r1"));
}

#[test]
fn usage_after_the_close_is_a_correction_with_the_period_that_it_belongs_to() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    log.exited("a", &span(0, HOUR));
    log.exited("b", &span(HOUR, 2 * HOUR).lost());
    log.at(12 * DAY);
    let first = log.close("p1");
    assert_eq!((first.total_minor, odd(&first)), (60, vec![("lost", 1)]));
    let truth = log.truth("b", &span(HOUR, 4 * HOUR));
    let second = log.close("p2");
    assert_eq!(shown(&second.lines), [("time", 1, 3 * i128::from(HOUR), 180)]);
    let line = &second.lines[0];
    assert_eq!((line.class, &*line.period), (LineClass::Correction, "p1"));
    assert_eq!((second.totals.len(), second.corrected.len()), (0, 1));
    let (corrected, fact) = (&second.corrected[0], &second.facts[0]);
    assert_eq!(corrected.quantity.0, 4 * i128::from(HOUR));
    assert_eq!((corrected.period.as_deref(), fact.leaf_index), (Some("p1"), truth));
}

#[test]
fn a_clock_that_went_back_an_hour_bills_nothing_and_is_told() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.at(3 * HOUR).exited("a", &span(2 * HOUR, HOUR));
    let statement = log.rate("p1");
    assert!(statement.facts.is_empty());
    assert_eq!(odd(&statement), [("inverted", 1)]);
}

#[test]
fn a_device_counts_from_its_allocation_or_from_the_start_as_the_card_says() {
    let billed = |bill| {
        let gpu = Match { gpu_model: Some("H200".to_string()), ..Match::default() };
        let mut devices = price("gpu-h200", Meter::GpuMs, HOUR, flat(3_790_000_000));
        devices.matches = Match { mode: Some("exclusive".to_string()), ..gpu };
        let mut card = card(1, vec![devices]);
        card.bill = bill;
        let mut log = Log::with(card);
        let started = Some(EPOCH + 10 * HOUR);
        log.exited("a", &Use { gpu: 2, started, ..span(0, 12 * HOUR) });
        shown(&log.rate("p1").lines)
            .iter()
            .map(|(_, _, quantity, minor)| (*quantity / i128::from(HOUR), *minor))
            .collect::<Vec<_>>()
    };
    // Two devices, ten hours pending and two running, at 3.79 an hour.
    assert_eq!(billed(dagbook_events::billing::Bill::Allocated), [(24, 9_096)]);
    assert_eq!(billed(dagbook_events::billing::Bill::Started), [(4, 1_516)]);
}

#[test]
fn the_sixteenth_unit_reprices_all_fifteen_also_after_the_close() {
    let prices = tiers(TierKind::Volume, &[(10_000_000_000, Some(15)), (8_000_000_000, None)]);
    let mut log = Log::with(card(1, vec![price("calls", Meter::RunnerMs, 1, prices)]));
    log.open("p2", 10 * DAY, 20 * DAY);
    log.exited("a", &span(0, 15));
    log.exited("b", &span(20, 21).lost());
    log.at(11 * DAY);
    let first = log.close("p1");
    assert_eq!(shown(&first.lines), [("calls", 1, 15, 15_000)]);
    log.truth("b", &span(20, 21));
    let second = log.close("p2");
    assert_eq!(shown(&second.lines), [("calls", 1, -15, -15_000), ("calls", 2, 16, 12_800)]);
    assert_eq!(first.total_minor + second.total_minor, 16 * 800);
}

#[test]
fn parallel_jobs_are_billed_by_their_sum_and_not_by_their_span() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    for (attempt, from, to) in [("a", 1, 3), ("b", 2, 4), ("c", 6, 7)] {
        log.exited(attempt, &span(from * HOUR, to * HOUR));
    }
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, 5 * i128::from(HOUR), 300)]);
    assert_eq!(statement.lines[0].usage_count, 3);
}
