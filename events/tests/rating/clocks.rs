//! Two clocks, and clocks that are wrong.

use dagbook_events::billing::{Bill, Clock};

use super::histories::{DAY, EPOCH, HOUR, Log, SIXTY_CENTS, Use, hourly, odd, shown, span};

#[test]
fn the_orchestrators_clock_bills_what_was_heard_and_the_executors_where_nothing_was() {
    let mut card = hourly(1, SIXTY_CENTS);
    card.clock = Clock::Orchestrator;
    let mut log = Log::with(card.clone());
    let heard = Some((EPOCH, Some(EPOCH + HOUR), EPOCH + 4 * HOUR));
    log.exited("a", &Use { heard, ..span(HOUR, 3 * HOUR) });
    log.exited("b", &span(HOUR, 2 * HOUR));
    assert_eq!(shown(&log.rate("p1").lines), [("time", 1, 5 * i128::from(HOUR), 300)]);

    card.bill = Bill::Started;
    let mut log = Log::with(card);
    log.exited("a", &Use { heard, ..span(HOUR, 3 * HOUR) });
    let never = Some((EPOCH, None, EPOCH + 4 * HOUR));
    log.exited("b", &Use { heard: never, ..span(HOUR, 3 * HOUR) });
    assert_eq!(shown(&log.rate("p1").lines), [("time", 1, 3 * i128::from(HOUR), 180)]);
}

#[test]
fn what_lies_more_than_a_day_ahead_is_cut_there_and_told() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    log.at(HOUR);
    log.leaf("run/r1", "attempt.exited", span(HOUR, 9 * DAY).data("a"));
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, i128::from(DAY), 1_440)]);
    assert_eq!(odd(&statement), [("in_future", 1)]);
}

#[test]
fn what_lies_more_than_a_day_before_its_plan_is_cut_there_and_told() {
    let mut log = Log::with(hourly(1, SIXTY_CENTS));
    let planned = EPOCH + 5 * DAY;
    let heard = Some((planned, Some(planned), planned + HOUR));
    log.exited("a", &Use { heard, ..span(0, 5 * DAY + HOUR) });
    let statement = log.rate("p1");
    assert_eq!(shown(&statement.lines), [("time", 1, i128::from(DAY + HOUR), 1_500)]);
    assert_eq!(odd(&statement), [("in_past", 1)]);
}
