//! What the order and the number of records does not change.

use std::collections::BTreeMap;

use dagbook_events::rating::Fact;
use proptest::collection::vec;
use proptest::prelude::*;

use super::histories::{DAY, HOUR};
use super::laws::{Step, days, steps, used};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_attempts_that_end_together_does_not_matter(
        steps in steps(), seed in any::<u64>(),
    ) {
        // One end for each attempt, all recorded at once.
        let mut ends: BTreeMap<u8, Step> = BTreeMap::new();
        ends.extend(steps.into_iter().map(|step| (step.attempt, step)));
        let mut order: Vec<Step> = ends.into_values().collect();
        let build = |order: &[Step]| {
            let mut log = days();
            log.at(3 * DAY);
            for step in order {
                log.exited(&format!("a{}", step.attempt), &used(*step, 3 * DAY));
            }
            log.rate("p2")
        };
        let before = build(&order);
        let turn = (seed % order.len() as u64) as usize;
        order.rotate_left(turn);
        order.reverse();
        let after = build(&order);
        prop_assert_eq!(before.lines_csv(), after.lines_csv());
        let strip = |facts: &[Fact]| -> Vec<Fact> {
            facts.iter().cloned().map(|fact| Fact { leaf_index: 0, group: None, ..fact }).collect()
        };
        prop_assert_eq!(strip(&before.facts), strip(&after.facts));
    }

    #[test]
    fn records_that_come_twice_change_nothing(steps in steps()) {
        let (mut once, mut twice) = (days(), days());
        for (number, step) in steps.iter().enumerate() {
            let now = number as i64 * 2 * HOUR;
            let (attempt, used) = (format!("a{}", step.attempt), used(*step, now));
            once.at(now).exited(&attempt, &used);
            twice.at(now).exited(&attempt, &used);
            twice.exited(&attempt, &used);
        }
        for period in ["p1", "p2", "p3"] {
            let (once, twice) = (once.rate(period), twice.rate(period));
            prop_assert_eq!(once.lines_csv(), twice.lines_csv());
        }
    }

    #[test]
    fn checkpoints_that_are_lost_do_not_change_what_an_end_says(
        steps in steps(), keep in vec(any::<bool>(), 40),
    ) {
        let build = |keep: &dyn Fn(usize) -> bool| {
            let mut log = days();
            for (number, step) in steps.iter().enumerate() {
                let now = number as i64 * 2 * HOUR;
                if keep(number) {
                    log.at(now).checkpoint(&format!("a{}", step.attempt), &used(*step, now));
                }
            }
            log.at(4 * DAY);
            for attempt in 0..8 {
                let step = Step { attempt, what: 3, back: HOUR, lost: false, fault: 0 };
                log.exited(&format!("a{attempt}"), &used(step, 4 * DAY));
            }
            log.rate("p2").lines_csv()
        };
        prop_assert_eq!(build(&|_| true), build(&|number| keep[number]));
    }
}
