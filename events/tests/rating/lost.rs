//! Attempts that were given up, what was heard of them last, and the truth that comes late.

use super::histories::{DAY, HOUR, Log, SIXTY_CENTS, Use, hourly, odd, shown, span};

#[test]
fn a_lost_attempt_is_billed_to_its_last_checkpoint_by_the_fault_of_its_end() {
    let mut card = hourly(1, SIXTY_CENTS);
    card.bill_faults.infra = true;
    let mut log = Log::with(card);
    log.checkpoint("a", &span(0, HOUR));
    let last = log.checkpoint("a", &span(0, 2 * HOUR));
    log.at(5 * HOUR).exited("a", &span(0, 0).lost());
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, 2 * i128::from(HOUR), 120)]);
    assert_eq!(odd(&statement), [("lost", 1)]);
    let fact = &statement.facts[0];
    assert_eq!((fact.leaf_index, fact.fault), (last, dagbook_events::step::Fault::Infra));

    // By the usual rules nobody pays for what the platform lost.
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.checkpoint("a", &span(0, HOUR));
    log.at(5 * HOUR).exited("a", &span(0, 0).lost());
    let statement = log.rate("p1");
    assert_eq!((statement.fact_count, statement.total_minor), (1, 0));
}

#[test]
fn a_checkpoint_that_steps_back_or_comes_behind_the_end_is_passed_over_and_told() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.checkpoint("a", &span(0, 2 * HOUR));
    log.checkpoint("a", &span(0, HOUR));
    assert_eq!(log.rate("p1").total_minor, 120);
    log.exited("a", &span(0, 3 * HOUR));
    log.checkpoint("a", &span(0, 4 * HOUR));
    let statement = log.rate("p1");
    assert_eq!(statement.total_minor, 180);
    assert_eq!(odd(&statement), [("after_end", 1), ("checkpoint_backwards", 1)]);
}

#[test]
fn the_truth_takes_the_place_of_a_lost_end_once_and_within_62_days() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    let lost = |log: &mut Log| log.exited("a", &span(0, HOUR).lost());
    let truth = span(0, 3 * HOUR);
    lost(&mut log);
    let mut late = log.clone();
    log.at(HOUR + 62 * DAY).truth("a", &truth);
    let statement = log.rate("p1");
    assert_eq!((statement.total_minor, odd(&statement)), (180, vec![]));
    // The same again is no news; another one is a contradiction.
    log.truth("a", &truth);
    log.truth("a", &span(0, 4 * HOUR));
    let statement = log.rate("p1");
    assert_eq!((statement.total_minor, odd(&statement)), (180, vec![("conflict", 1)]));

    late.at(HOUR + 62 * DAY + 1).truth("a", &truth);
    let statement = late.rate("p1");
    assert_eq!(statement.total_minor, 0);
    assert_eq!(odd(&statement), [("conflict", 1), ("lost", 1)]);
}

#[test]
fn a_late_report_about_an_end_that_was_seen_changes_nothing() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.exited("a", &span(0, HOUR));
    log.truth("a", &span(0, HOUR));
    assert_eq!(odd(&log.rate("p1")), []);
    log.truth("a", &span(0, 2 * HOUR));
    let statement = log.rate("p1");
    assert_eq!((statement.total_minor, odd(&statement)), (60, vec![("conflict", 1)]));
}

#[test]
fn checkpoints_may_be_lost_and_repeated_without_a_trace_in_the_final_sum() {
    let mut with = Log::with(hourly(1, SIXTY_CENTS));
    let mut without = with.clone();
    for hour in [1, 2, 2, 3] {
        with.checkpoint("a", &span(0, hour * HOUR));
    }
    for log in [&mut with, &mut without] {
        log.exited("a", &Use { cpu_milli: 100, ..span(0, 4 * HOUR) });
    }
    let (with, without) = (with.rate("p1"), without.rate("p1"));
    assert_eq!(with.lines, without.lines);
    assert_eq!(odd(&with), []);
}

#[test]
fn a_stale_report_without_usage_and_other_events_are_passed_over() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.exited("a", &span(0, HOUR));
    let before = log.rate("p1");
    let said = serde_json::json!({"attempt": "a", "step": "build", "said": "started"});
    log.leaf("run/r1", "report.stale", said);
    log.leaf("run/r1", "attempt.planned", serde_json::json!({"usage": "\"ty\":\"attempt.exited"}));
    assert_eq!(log.rate("p1").lines, before.lines);
}
