//! The ledger as a fold: order, trimmed logs, what-ifs, and what must be kept.

use dagbook_events::rating::{Ledger, Options, RatingError, Roots, Row, Span, merge};

use super::histories::{DAY, EPOCH, HOUR, Log, SIXTY_CENTS, Use, hourly, options, shown, span};

#[test]
fn leaves_come_in_the_order_of_the_log() {
    let log = Log::with(hourly(1, SIXTY_CENTS));
    let mut ledger = log.ledger(options()).expect("a ledger");
    let error = ledger.push(1, &log.leaves[1]).expect_err("it was there");
    assert_eq!(error, RatingError::Order { index: 1, last: 1 });
}

#[test]
fn leaves_that_are_not_what_they_say_are_refused_with_their_place() {
    let mut ledger = Ledger::new(options()).expect("a ledger");
    let broken = [
        r#"{"co":"r","d":{"attempt":"a","step":"s"},"rt":1,"st":"run/r","ty":"attempt.exited","v":1}"#,
        r#"{"d":{"attempt":"a","step":"s","usage":{}},"rt":1,"st":"run/r","ty":"usage.checkpoint","v":1}"#,
        r#"{"d":{"card":{}},"st":"billing","ty":"rate_card.adopted","v":1}"#,
        "no JSON at all",
    ];
    for (index, leaf) in (0..).zip(broken) {
        let error = ledger.push(index, leaf.as_bytes()).expect_err("it is broken");
        assert!(matches!(&error, RatingError::Shape { index: at, .. } if *at == index), "{error}");
    }
}

/// A log with a closed period, an attempt across its end, and one that was lost.
fn long() -> (Log, u64) {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    for n in 0..20 {
        log.exited(&format!("old-{n}"), &span(n * HOUR, (n + 1) * HOUR));
    }
    let lost = log.exited("lost", &span(DAY, 2 * DAY).lost());
    log.checkpoint("across", &span(9 * DAY, 10 * DAY - HOUR));
    log.at(11 * DAY).close("p1");
    log.exited("across", &span(9 * DAY, 11 * DAY));
    log.truth("lost", &span(DAY, 2 * DAY + HOUR));
    (log, lost)
}

#[test]
fn a_log_trimmed_to_what_is_needed_rates_as_the_whole_does() {
    let (log, lost) = long();
    let whole = log.rate("p2");
    let mut before = Ledger::new(options()).expect("a ledger");
    let opened = lost + 2;
    for (index, leaf) in (0..opened).zip(&log.leaves) {
        before.push(index, leaf).expect("a leaf");
    }
    let from = before.needs_from(EPOCH + 10 * DAY, opened);
    assert_eq!(from, lost);
    let mut trimmed = Ledger::new(options()).expect("a ledger");
    for (index, leaf) in (0..).zip(&log.leaves) {
        let is_billing = String::from_utf8_lossy(leaf).contains(r#""st":"billing""#);
        if index >= from || is_billing {
            trimmed.push(index, leaf).expect("a leaf");
        }
    }
    assert_eq!(trimmed.statement("p2", log.size()).expect("a statement"), whole);
    assert!(whole.lines.len() >= 2 && whole.corrected.len() == 1, "it corrects");
    let mut nothing = Ledger::new(options()).expect("a ledger");
    nothing.push(0, &log.leaves[0]).expect("a leaf");
    assert_eq!(nothing.needs_from(EPOCH, 7), 7);
}

#[test]
fn facts_streamed_and_merged_make_the_same_statement() {
    let (log, _) = long();
    let whole = log.rate("p2");
    let mut ledger = log.ledger(options()).expect("a ledger");
    let mut rows: Vec<Row> = Vec::new();
    let draft = ledger.draft("p2", log.size(), &mut rows).expect("a draft");
    let mut parts: Vec<Vec<Row>> = rows.chunks(3).map(<[Row]>::to_vec).collect();
    parts.iter_mut().for_each(|part| part.sort());
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| {
            part.into_iter().map(|row| {
                // As if from a file.
                Row::from_bytes(row.as_bytes().to_vec()).ok_or("no row")
            })
        })
        .collect();
    let (mut roots, mut csv) =
        (Roots::new(), dagbook_events::rating::USAGE_HEADER.as_bytes().to_vec());
    for row in merge(parts) {
        let row = row.expect("a row");
        csv.extend_from_slice(row.csv());
        roots.push(row.lent()).expect("in order");
    }
    assert_eq!(csv, whole.usage_csv());
    let streamed = draft.finish(&roots).expect("all rows");
    assert_eq!(streamed.lines, whole.lines);
    // A row too few, or in the wrong place, is noticed.
    let mut short: Vec<Row> = Vec::new();
    let draft = ledger.draft("p2", log.size(), &mut short).expect("a draft");
    assert!(matches!(draft.finish(&Roots::new()), Err(RatingError::Rows { .. })));
    short.sort();
    let mut roots = Roots::new();
    roots.push(short[1].lent()).expect("a row");
    assert!(matches!(roots.push(short[0].lent()), Err(RatingError::Rows { .. })));
}

/// Bytes that are held for each attempt of a closed period of so many, and for each of as many in
/// the next.
fn bytes_an_attempt(count: i64) -> (usize, usize) {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    let mut period = |name: &str, from: i64| {
        for n in 0..count {
            let at = from + n * DAY / count;
            let id = format!("0199a000-0000-7000-8000-{at:012x}");
            log.checkpoint(&id, &span(at, at + HOUR));
            log.exited(&id, &span(at, at + 2 * HOUR));
        }
        log.at(from + 15 * DAY).close(name);
        log.size()
    };
    let closed = [period("p1", 0), period("p2", 10 * DAY)];
    let mut ledger = Ledger::new(options()).expect("a ledger");
    let mut held = Vec::new();
    for (index, leaf) in (0..).zip(&log.leaves) {
        ledger.push(index, leaf).expect("a leaf");
        if closed.contains(&(index + 1)) {
            held.push(ledger.held_bytes() / count as usize);
        }
    }
    (held[0], held[1] - held[0])
}

#[test]
fn an_attempt_takes_few_bytes_and_what_it_said_is_let_go_of_behind_its_period() {
    let (first, next) = bytes_an_attempt(4_000);
    assert!(first <= 230, "{first} bytes for an attempt");
    assert!(next <= 110, "{next} bytes for an attempt that is settled");
}

#[test]
fn a_what_if_replaces_every_card_and_leaves_the_rest() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.card(HOUR, hourly(2, SIXTY_CENTS));
    log.exited("a", &Use { cpu_milli: 5, ..span(0, 2 * HOUR) });
    let mut other = hourly(9, 2 * SIXTY_CENTS);
    other.name = "other".to_string();
    other.currency = "USD".to_string();
    let what_if = Options { what_if: Some(other), ..options() };
    let mut ledger = log.ledger(what_if.clone()).expect("a ledger");
    let statement = ledger.statement("p1", log.size()).expect("a statement");
    assert_eq!(shown(&statement.lines), [("time", 1, 2 * i128::from(HOUR), 240)]);
    assert_eq!((&*statement.lines[0].rate_card, &*statement.period.currency), ("other", "USD"));
    // Where no card ever was, it holds from the beginning.
    let mut bare = Log::default();
    bare.open("p1", 0, DAY);
    bare.exited("a", &span(0, HOUR));
    let mut ledger = bare.ledger(what_if).expect("a ledger");
    assert_eq!(ledger.statement("p1", bare.size()).expect("a statement").total_minor, 120);
}

#[test]
fn a_span_of_time_is_rated_without_any_period() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.exited("a", &span(0, 10 * HOUR));
    let looked_at =
        Span { name: "this morning".to_string(), start: EPOCH + HOUR, end: EPOCH + 3 * HOUR };
    let options = Options { span: Some(looked_at), ..options() };
    let mut ledger = log.ledger(options).expect("a ledger");
    let statement = ledger.statement("this morning", log.size()).expect("a statement");
    assert_eq!((statement.total_minor, &*statement.period.currency), (120, "EUR"));
}
