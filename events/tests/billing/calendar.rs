//! Months and weeks of zones, and what follows what.

use dagbook_events::billing::{
    Cut, PeriodKind, PeriodOpened, month_around, next_period, period_named,
};
use dagbook_events::time::{Millis, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("an instant")
}

fn bounds(name: &str, zone: &str) -> (String, String) {
    let cut = period_named(name, zone).expect("a period");
    (cut.start.to_string(), cut.end.to_string())
}

fn opened(cut: &Cut) -> PeriodOpened {
    PeriodOpened {
        period: cut.name.clone(),
        kind: cut.kind,
        start: cut.start,
        end: cut.end,
        zone: cut.zone.clone(),
        grace_ms: Millis(0),
        currency: "EUR".to_string(),
        exponent: 2,
        needs_from: 0,
    }
}

#[test]
fn periods_begin_and_end_at_midnight_of_their_zone() {
    let hours = |name: &str, zone: &str| {
        let cut = period_named(name, zone).expect("a period");
        cut.end.since(cut.start).0 / 3_600_000
    };
    for (name, zone, start, end) in [
        // Both changes of clocks lie in a month of their own.
        ("2026-03", "Europe/Berlin", "2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z"),
        ("2026-10", "Europe/Berlin", "2026-09-30T22:00:00.000Z", "2026-10-31T23:00:00.000Z"),
        ("2026-02", "UTC", "2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"),
        ("2028-02", "UTC", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"),
        ("2026-12", "Pacific/Kiritimati", "2026-11-30T10:00:00.000Z", "2026-12-31T10:00:00.000Z"),
        ("2026-12", "Etc/GMT+12", "2026-12-01T12:00:00.000Z", "2027-01-01T12:00:00.000Z"),
        // The first week of a year may begin in the one before; this one has 53.
        ("2026-W01", "UTC", "2025-12-29T00:00:00.000Z", "2026-01-05T00:00:00.000Z"),
        ("2026-W53", "UTC", "2026-12-28T00:00:00.000Z", "2027-01-04T00:00:00.000Z"),
        // Havana's midnight comes twice on the day when its clocks go back.
        ("2026-11", "America/Havana", "2026-11-01T04:00:00.000Z", "2026-12-01T05:00:00.000Z"),
    ] {
        assert_eq!(bounds(name, zone), (start.to_string(), end.to_string()), "{name} {zone}");
    }
    assert_eq!(hours("2026-03", "Europe/Berlin"), 31 * 24 - 1);
    assert_eq!(hours("2026-10", "Europe/Berlin"), 31 * 24 + 1);
    assert_eq!((hours("2026-04", "UTC"), hours("2026-02", "UTC")), (30 * 24, 28 * 24));
    assert_eq!(hours("2028-02", "UTC"), 29 * 24);
    // Samoa had no 30 December 2011: a Friday fell out of the week and out of the month.
    assert_eq!(hours("2011-W52", "Pacific/Apia"), 6 * 24);
    assert_eq!(hours("2011-12", "Pacific/Apia"), 30 * 24);
    // Kwajalein left out a Saturday in August 1993.
    assert_eq!(hours("1993-08", "Pacific/Kwajalein"), 30 * 24);
}

#[test]
fn a_day_whose_midnight_is_skipped_begins_behind_the_gap() {
    // Lebanon's clocks go from 00:00 to 01:00; the 1st of April 2001 was no such day, a Sunday in
    // March is. São Paulo began its summer at midnight of 1 November 1998... of 2017: 15 October.
    let (start, _) = bounds("2026-W14", "Asia/Beirut");
    assert_eq!(start, "2026-03-29T21:00:00.000Z");
    // Cairo, 2008-05-01: a Thursday, clocks went forward on the last Friday of April at 00:00.
    let cut = month_around(at("2009-10-18T12:00:00Z"), "America/Sao_Paulo").expect("a month");
    assert_eq!(cut.start.to_string(), "2009-10-01T03:00:00.000Z");
    assert_eq!(cut.end.to_string(), "2009-11-01T02:00:00.000Z");
    // Paraguay put its clocks forward at 00:00 of 1 October 2000... of Sunday 2017-10-01.
    let (start, _) = bounds("2017-10", "America/Asuncion");
    assert_eq!(start, "2017-10-01T04:00:00.000Z");
}

#[test]
fn months_and_weeks_follow_each_other_without_a_gap() {
    for (first, zone, count) in [
        ("2026-01", "Europe/Berlin", 30),
        ("2011-11", "Pacific/Apia", 6),
        ("2025-W50", "America/New_York", 70),
        ("2026-12", "Pacific/Kiritimati", 14),
    ] {
        let mut before = period_named(first, zone).expect("a period");
        for _ in 0..count {
            let next = next_period(&opened(&before)).expect("a next one");
            assert_eq!(next.start, before.end);
            assert_eq!(next, period_named(&next.name, zone).expect("the same"));
            assert_eq!(next.kind, before.kind);
            before = next;
        }
    }
}

#[test]
fn behind_a_custom_period_comes_the_rest_of_its_month_and_then_months() {
    let custom = Cut {
        name: "start".to_string(),
        kind: PeriodKind::Custom,
        start: at("2026-11-01T00:00:00Z"),
        end: at("2026-11-21T17:30:00Z"),
        zone: "Europe/Berlin".to_string(),
    };
    let rest = next_period(&opened(&custom)).expect("the rest");
    assert_eq!((rest.name.as_str(), rest.kind), ("2026-11-from-21", PeriodKind::Custom));
    assert_eq!((rest.start, rest.end), (custom.end, at("2026-11-30T23:00:00Z")));
    let month = next_period(&opened(&rest)).expect("a month");
    assert_eq!(month, period_named("2026-12", "Europe/Berlin").expect("December"));
}

#[test]
fn a_next_month_begins_where_the_one_before_was_said_to_end() {
    // As if the zone's rules had changed since that one was opened.
    let cut = period_named("2026-11", "Europe/Berlin").expect("November");
    let shifted = Cut { end: cut.end + Millis(3_600_000), ..cut };
    let next = next_period(&opened(&shifted)).expect("December");
    assert_eq!((next.name.as_str(), next.start), ("2026-12", shifted.end));
    assert_eq!(next.end, at("2026-12-31T23:00:00Z"));
}

#[test]
fn what_is_no_period_is_refused() {
    for name in [
        "",
        "2026",
        "2026-13",
        "2026-00",
        "2026-1",
        "2026-W54",
        "2025-W53",
        "2026-W1",
        "26-11",
        "２０２６-11",
        "2026-11-01",
    ] {
        assert!(period_named(name, "UTC").is_err(), "{name}");
    }
    assert!(period_named("2026-11", "Europe/Berln").is_err());
    assert!(period_named("9999-12", "UTC").is_err());
}
