//! Laws that hold for every history.

use std::collections::BTreeMap;

use dagbook_events::billing::{Contract, Credit, Discount, Meter, RateCard, TierKind, Whole};
use dagbook_events::rating::{Ledger, Line, LineClass, Statement};
use proptest::collection::vec;
use proptest::prelude::*;

use super::histories::{DAY, EPOCH, HOUR, Log, Use, card, flat, odd, options, price, span, tiers};

/// One thing that happens to an attempt, by small numbers.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub attempt: u8,
    pub what: u8,
    pub back: i64,
    pub lost: bool,
    pub fault: u8,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..8, 0u8..8, 0..20 * HOUR, prop::bool::weighted(0.3), 0u8..4);
    let step = step.prop_map(|(attempt, what, back, lost, fault)| Step {
        attempt,
        what,
        back,
        lost,
        fault,
    });
    vec(step, 1..40)
}

/// Prices of every kind, with a minimum and an increment.
fn prices(version: u32) -> RateCard {
    let hour = i128::from(HOUR);
    let graduated = tiers(
        TierKind::Graduated,
        &[(600_000_001, Some(7 * hour)), (333_333_333, Some(20 * hour)), (100_000_000, None)],
    );
    let volume = tiers(TierKind::Volume, &[(48_000_000, Some(11_000 * hour)), (31_000_000, None)]);
    let mut card = card(
        version,
        vec![
            price("time", Meter::RunnerMs, HOUR, graduated),
            price("cpu", Meter::CpuMilliMs, 1_000 * HOUR, volume),
            price("mem", Meter::MemMibMs, 1_024 * HOUR, flat(5_900_007)),
            price("egress", Meter::EgressBytes, 1_000, flat(17_000_001)),
        ],
    );
    card.minimum_ms = dagbook_events::time::Millis(60_000);
    card.increment_ms = dagbook_events::time::Millis(7_001);
    card
}

pub fn used(step: Step, now: i64) -> Use {
    let attempt = i64::from(step.attempt);
    let released = (now - step.back).max(0);
    let faults = ["none", "user", "policy", "infra"];
    let used = Use {
        cpu_milli: 500 * (u64::from(step.attempt) % 3),
        mem_mib: 128 * (u64::from(step.attempt) % 2),
        egress: 10_000 * (u64::from(step.attempt) % 4),
        fault: faults[usize::from(step.fault)],
        ..span(attempt * 5 * HOUR, released)
    };
    if step.lost { used.lost() } else { used }
}

/// Three days, each a period; the second card holds from the middle of the second.
pub fn days() -> Log {
    let mut log = Log::default();
    log.card(0, prices(1));
    log.card(36 * HOUR, prices(2));
    for (name, day) in [("p1", 0), ("p2", 1), ("p3", 2)] {
        log.open(name, day * DAY, (day + 1) * DAY);
    }
    log
}

/// Adds the steps, two hours apart, and closes periods behind those that are named.
fn happen(log: &mut Log, steps: &[Step], closings: &BTreeMap<usize, &str>) -> Vec<Statement> {
    let mut closed = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let now = number as i64 * 2 * HOUR;
        log.at(now);
        let (attempt, used) = (format!("a{}", step.attempt), used(*step, now));
        match step.what {
            0..=2 => log.checkpoint(&attempt, &used),
            3..=5 => log.exited(&attempt, &used),
            _ => log.truth(&attempt, &used),
        };
        if let Some(period) = closings.get(&number) {
            closed.push(log.close(period));
        }
    }
    closed
}

/// What lines say of a charge period: by sku, price and step.
type Sums = BTreeMap<(String, String, u32), (i128, i128, i128)>;

fn add(sums: &mut Sums, lines: &[Line], period: &str) {
    let is_money = |line: &&Line| matches!(line.class, LineClass::Usage | LineClass::Correction);
    for line in lines.iter().filter(is_money).filter(|line| &*line.period == period) {
        let key = (line.sku.to_string(), line.rate_card_version.to_string(), line.tier);
        let sum = sums.entry(key).or_default();
        sum.0 += line.quantity;
        sum.1 += line.amount_nanos;
        sum.2 += line.amount_minor;
    }
    sums.retain(|_, sum| *sum != (0, 0, 0));
}

fn sums(statement: &Statement) -> Sums {
    let mut found = Sums::new();
    add(&mut found, &statement.lines, &statement.period.name);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_all_closings_billed_for_a_period_is_what_all_its_facts_cost_at_once(
        steps in steps(), first in 0usize..20, second in 0usize..20,
    ) {
        let closings = BTreeMap::from([(first, "p1"), (first + 1 + second, "p2")]);
        let mut closed_log = days();
        let mut closed = happen(&mut closed_log, &steps, &closings);
        let last = ["p1", "p2", "p3"][closed.len()];
        closed.push(closed_log.close(last));
        let mut open_log = days();
        happen(&mut open_log, &steps, &BTreeMap::new());
        for period in ["p1", "p2", "p3"].iter().take(closed.len()) {
            let mut billed = Sums::new();
            for statement in &closed {
                add(&mut billed, &statement.lines, period);
            }
            prop_assert_eq!(&billed, &sums(&open_log.rate(period)), "{}", period);
        }
    }

    #[test]
    fn a_statement_out_of_a_ledger_that_goes_on_is_that_of_a_fresh_one(
        steps in steps(), first in 0usize..20, second in 0usize..20,
    ) {
        let closings = BTreeMap::from([(first, "p1"), (first + 1 + second, "p2")]);
        let mut log = days();
        happen(&mut log, &steps, &closings);
        let mut going = Ledger::new(options()).expect("a ledger");
        let mut done = 0;
        for size in (5..=log.size()).step_by(4) {
            for index in done..size {
                going.push(index, &log.leaves[index as usize]).expect("a leaf");
            }
            done = size;
            let mut fresh = Ledger::new(options()).expect("a ledger");
            for (index, leaf) in (0..size).zip(&log.leaves) {
                fresh.push(index, leaf).expect("a leaf");
            }
            prop_assert_eq!(going.statement("p3", size), fresh.statement("p3", size));
        }
    }

    #[test]
    fn cuts_that_change_no_price_change_no_line(
        steps in steps(), cuts in vec(0..3 * DAY, 0..6),
    ) {
        let build = |cuts: &[i64]| {
            let mut log = Log::default();
            log.card(0, prices(1));
            for cut in cuts {
                log.card(*cut, prices(1));
            }
            log.open("p1", 0, 3 * DAY);
            happen(&mut log, &steps, &BTreeMap::new());
            log.rate("p1")
        };
        prop_assert_eq!(sums(&build(&[])), sums(&build(&cuts)));
    }

    #[test]
    fn a_period_in_parts_is_the_whole_period_but_for_a_rounding_in_each_part(
        steps in steps(), cuts in prop::collection::btree_set(1..3 * DAY, 0..6),
    ) {
        let build = |cuts: &[i64]| {
            let mut log = Log::default();
            log.card(0, card(1, vec![price("time", Meter::RunnerMs, 7, flat(1_000_003))]));
            for (number, ends) in cuts.windows(2).enumerate() {
                log.open(&format!("part-{number}"), ends[0], ends[1]);
            }
            happen(&mut log, &steps, &BTreeMap::new());
            let parts = 0..cuts.len() - 1;
            parts.fold((0, 0), |(quantity, nanos), number| {
                let statement = log.rate(&format!("part-{number}"));
                let line = statement.lines.first();
                let add = line.map_or((0, 0), |line| (line.quantity, line.amount_nanos));
                (quantity + add.0, nanos + add.1)
            })
        };
        let all: Vec<i64> = [0].into_iter().chain(cuts).chain([3 * DAY]).collect();
        let (whole, parts) = (build(&[0, 3 * DAY]), build(&all));
        prop_assert_eq!(whole.0, parts.0);
        // Half a unit for the whole, and half for each part.
        prop_assert!(2 * (whole.1 - parts.1).abs() <= all.len() as i128, "{whole:?} {parts:?}");
    }

    #[test]
    fn postings_add_up_to_nothing_at_every_pair_and_lines_to_the_total(
        steps in steps(), parts in 0i128..1_500_000_000, credit in 0i128..5_000,
    ) {
        let mut log = days();
        let discount = |name: &str, parts| Discount {
            name: name.to_string(),
            parts_per_billion: Whole(parts),
            skus: None,
        };
        log.contract(0, Contract {
            name: "acme".to_string(),
            version: 1,
            currency: "EUR".to_string(),
            exponent: 2,
            overrides: Vec::new(),
            discounts: vec![discount("one", parts.min(1_000_000_000)), discount("two", parts / 3)],
            credits: vec![Credit { name: "gift".to_string(), amount_minor: Whole(credit) }],
        });
        happen(&mut log, &steps, &BTreeMap::new());
        let statement = log.rate("p2");
        let mut sum = 0;
        for pair in statement.postings.chunks(2) {
            sum += pair.iter().map(|posting| posting.minor.0).sum::<i128>();
            prop_assert_eq!((sum, pair.len()), (0, 2));
        }
        let total: i128 = statement.lines.iter().map(|line| line.amount_minor).sum();
        prop_assert_eq!(total, statement.total_minor);
        let ids: Vec<_> = statement.lines.iter().map(|line| line.line_id.clone()).collect();
        let counted: Vec<_> = (1..=ids.len()).map(|number| format!("{number:06}")).collect();
        prop_assert_eq!(ids, counted);
        let facts: u64 = statement.lines.iter().filter(|line| line.tier == 1).map(|line| line.usage_count).sum();
        prop_assert!(facts <= statement.fact_count);
        prop_assert!(odd(&statement).iter().all(|(_, count)| *count > 0));
        prop_assert!(statement.facts.iter().all(|fact| fact.start >= EPOCH + DAY));
    }
}
