//! Closings, their documents, and what may not be changed behind them.

use dagbook_events::billing::Meter;
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::rating::{LINES_HEADER, Ledger, RatingError, USAGE_HEADER};

use super::histories::{
    DAY, EPOCH, HOUR, Log, SIXTY_CENTS, Use, card, flat, hourly, options, price, span,
};

#[test]
fn the_documents_are_what_the_rule_says_byte_for_byte() {
    let prices = vec![
        price("cpu, fast", Meter::CpuMilliMs, 1_000, flat(48_000_000)),
        price("time", Meter::RunnerMs, HOUR, flat(SIXTY_CENTS)),
    ];
    let mut log = Log::with(card(1, prices));
    log.exited("a", &Use { cpu_milli: 250, ..span(1_000, 3_000) });
    let statement = log.rate("p1");
    let id = |meter: &str| {
        Sha256Digest::of(format!("dagbook.usage/1\nr1\nbuild\na\n{meter}\n0\n").as_bytes())
    };
    let (cpu, time) = (id("cpu_milli_ms"), id("runner_ms"));
    let cpu_row = format!(
        "{cpu},2,r1,build,a,\"cpu, fast\",cpu_milli_ms,500000,{},{},standard,1,none,true\n",
        EPOCH + 1_000,
        EPOCH + 3_000
    );
    let time_row = format!(
        "{time},2,r1,build,a,time,runner_ms,2000,{},{},standard,1,none,true\n",
        EPOCH + 1_000,
        EPOCH + 3_000
    );
    let rows = if cpu < time { cpu_row + &time_row } else { time_row + &cpu_row };
    let usage = String::from_utf8(statement.usage_csv()).expect("text");
    assert_eq!(usage, format!("{USAGE_HEADER}{rows}"));
    // 500,000 × 0.048 / 1,000 is 24.00; 2,000 × 0.60 / 3,600,000 is 0.000333….
    let leaf = |id: Sha256Digest| Sha256Digest::of_parts(&[&[0], &id.0]);
    let lines = format!(
        "{LINES_HEADER}000001,\"cpu, fast\",standard,1,1,500000,1000,48000000,24000000000,2400,EUR,1,\
         {}\n000002,time,standard,1,1,2000,3600000,600000000,333333,0,EUR,1,{}\n",
        leaf(cpu),
        leaf(time)
    );
    assert_eq!(String::from_utf8(statement.lines_csv()).expect("text"), lines);
    let root = log.root();
    let invoice = statement.invoice(root).to_json().expect("a document");
    assert_eq!(invoice.last(), Some(&b'\n'));
    assert_eq!(canonical::verify(&invoice[..invoice.len() - 1]), Ok(()));
    let invoice: serde_json::Value = serde_json::from_slice(&invoice).expect("JSON");
    assert_eq!(invoice["issuer"], "billing.example");
    assert_eq!(invoice["number"], "acme-000001");
    assert_eq!(invoice["postings"].as_array().map(Vec::len), Some(2));
    assert_eq!(invoice["postings"][1]["account"], "revenue/cpu, fast");
    assert_eq!(invoice["postings"][1]["minor"], "-2400");
    assert_eq!(invoice["log"]["size"], 3);
    assert_eq!(invoice["facts"], 2);
    let closed = statement.closing(root, Sha256Digest::of(usage.as_bytes())).expect("a closing");
    assert_eq!(closed.event.lines, Sha256Digest::of(&statement.lines_csv()));
    assert_eq!((closed.event.rating, closed.event.totals.len()), (1, 2));
}

#[test]
fn numbers_of_invoices_count_the_closings() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    for (number, name) in ["p2", "p3"].into_iter().enumerate() {
        let start = 10 * DAY * (number as i64 + 1);
        log.open(name, start, start + 10 * DAY);
    }
    let numbers = ["p1", "p2", "p3"].map(|name| log.close(name).number);
    assert_eq!(numbers, ["acme-000001", "acme-000002", "acme-000003"]);
}

#[test]
fn leaves_behind_the_size_of_a_closing_do_not_count_for_it() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    log.exited("a", &span(0, HOUR));
    let size = log.size();
    let mut closed = log.clone();
    closed.at(10 * DAY);
    let statement = closed.close("p1");
    // The same closing, recorded behind usage that arrived meanwhile.
    log.at(10 * DAY).exited("b", &span(HOUR, 2 * HOUR));
    let closing = closed.leaves.last().expect("a closing");
    let data: serde_json::Value = serde_json::from_slice(closing).expect("JSON");
    log.leaf("billing", "period.closed", data["d"].clone());

    let mut told = Ledger::new(options()).expect("a ledger");
    for (index, leaf) in (0..).zip(&log.leaves) {
        told.foresee(index, leaf).expect("a leaf of billing");
    }
    let mut at_size = None;
    for (index, leaf) in (0..).zip(&log.leaves) {
        if index == size {
            at_size = Some(told.statement("p1", size).expect("a statement"));
        }
        told.push(index, leaf).expect("a leaf");
    }
    assert_eq!(at_size.expect("it was reached").lines, statement.lines);
    let later = told.statement("p2", log.size()).expect("a statement");
    assert_eq!((later.total_minor, &*later.lines[0].period), (60, "p1"));
    // Who announces only the size fares as well; who announces nothing is told.
    let mut cut = Ledger::new(options()).expect("a ledger");
    cut.cut_at(size);
    for (index, leaf) in (0..).zip(&log.leaves) {
        cut.push(index, leaf).expect("a leaf");
    }
    assert_eq!(cut.statement("p2", log.size()).expect("a statement"), later);
    let untold = log.try_rate("p2").expect_err("usage was taken in behind the size");
    assert!(matches!(untold, RatingError::Unforeseen { .. }), "{untold}");
}

#[test]
fn nothing_begins_to_hold_in_what_is_closed() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    log.close("p1");
    let refused = |change: fn(&mut Log)| {
        let mut log = log.clone();
        change(&mut log);
        matches!(log.try_rate("p2"), Err(RatingError::Retroactive { .. }))
    };
    assert!(refused(|log| {
        log.card(10 * DAY - 1, hourly(2, 1));
    }));
    assert!(refused(|log| {
        log.open("early", 5 * DAY, 6 * DAY);
    }));
    assert!(!refused(|log| {
        log.card(10 * DAY, hourly(2, 1));
    }));
}

#[test]
fn a_closed_period_is_rated_at_its_size_and_at_no_other() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 20 * DAY);
    log.exited("a", &span(0, HOUR));
    let closed = log.close("p1");
    let mut ledger = Ledger::new(options()).expect("a ledger");
    for (index, leaf) in (0..closed.size).zip(&log.leaves) {
        ledger.push(index, leaf).expect("a leaf");
    }
    assert_eq!(ledger.statement("p1", closed.size).expect("a statement"), closed);
    let again = log.try_rate("p1").expect_err("it is closed");
    assert!(matches!(again, RatingError::Closed { .. }), "{again}");
    let mut ledger = log.ledger(options()).expect("a ledger");
    let gone = ledger.statement("p1", closed.size).expect_err("it is gone by");
    assert!(matches!(gone, RatingError::Passed { .. }), "{gone}");
    let unknown = ledger.statement("p9", log.size()).expect_err("there is none");
    assert!(matches!(unknown, RatingError::UnknownPeriod { .. }), "{unknown}");
}

#[test]
fn what_was_closed_and_forgotten_still_tells_repeats_from_contradictions() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.open("p2", 10 * DAY, 200 * DAY);
    log.open("p3", 200 * DAY, 300 * DAY);
    log.exited("a", &span(0, HOUR));
    log.at(100 * DAY).close("p1");
    log.exited("a", &span(0, HOUR));
    assert_eq!(log.rate("p2").fact_count, 0);
    log.exited("a", &span(0, 2 * HOUR));
    log.checkpoint("a", &span(0, 2 * HOUR));
    log.truth("a", &span(0, HOUR));
    let statement = log.rate("p2");
    assert_eq!((statement.fact_count, statement.total_minor), (0, 0));
    assert_eq!(super::histories::odd(&statement), [("after_end", 1), ("conflict", 1)]);
}
