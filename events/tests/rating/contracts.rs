//! Prices of one's own, discounts in their order, credits until they are used up.

use dagbook_events::billing::{Contract, Credit, Discount, Meter, Override, Whole};
use dagbook_events::rating::LineClass;

use super::histories::{DAY, HOUR, Log, SIXTY_CENTS, card, flat, price, shown, span};

fn contract(version: u32) -> Contract {
    Contract {
        name: "acme".to_string(),
        version,
        currency: "EUR".to_string(),
        exponent: 2,
        overrides: Vec::new(),
        discounts: Vec::new(),
        credits: Vec::new(),
    }
}

fn discount(name: &str, parts: i128, skus: Option<&[&str]>) -> Discount {
    Discount {
        name: name.to_string(),
        parts_per_billion: Whole(parts),
        skus: skus.map(|skus| skus.iter().map(ToString::to_string).collect()),
    }
}

fn two_prices() -> Log {
    let prices = vec![
        price("time", Meter::RunnerMs, HOUR, flat(SIXTY_CENTS)),
        price("cpu", Meter::CpuMilliMs, 1_000 * HOUR, flat(1_000_000_000)),
    ];
    let mut log = Log::with(card(3, prices));
    log.open("p2", 10 * DAY, 20 * DAY);
    log
}

fn work(log: &mut Log, attempt: &str, from: i64, to: i64) {
    let used = super::histories::Use { cpu_milli: 1_000, ..span(from * HOUR, to * HOUR) };
    log.exited(attempt, &used);
}

#[test]
fn an_own_price_is_named_by_card_and_contract_from_its_instant_on() {
    let mut log = two_prices();
    let own = Override { sku: "time".to_string(), per: Whole(1), tiers: flat(1) };
    log.contract(HOUR, Contract { overrides: vec![own], ..contract(7) });
    work(&mut log, "a", 0, 2);
    let statement = log.rate("p1");
    let lines: Vec<_> = statement
        .lines
        .iter()
        .map(|line| (&*line.sku, &*line.rate_card, &*line.rate_card_version, line.amount_nanos))
        .collect();
    let expected = [
        ("cpu", "standard", "3", 2_000_000_000),
        ("time", "standard", "3", 600_000_000),
        ("time", "standard+acme", "3+7", 3_600_000),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn discounts_take_from_what_those_before_left() {
    let mut log = two_prices();
    let discounts = vec![
        discount("volume", 125_000_000, Some(&["cpu"])),
        discount("friend", 100_000_000, None),
        discount("none", 500_000_000, Some(&["gpu"])),
    ];
    log.contract(0, Contract { discounts, ..contract(1) });
    work(&mut log, "a", 0, 10);
    let statement = log.rate("p1");
    // 10.00 for cpu and 6.00 for time. An eighth off the first is 1.25; a tenth of 14.75 is
    // 1.475, which is rounded to the even 1.48 (a half).
    let expected = [
        ("cpu", 1, 36_000_000_000, 1_000),
        ("time", 1, 36_000_000, 600),
        ("discount:volume", 1, 10_000_000_000, -125),
        ("discount:friend", 1, 14_750_000_000, -148),
    ];
    assert_eq!(shown(&statement.lines), expected);
    let last = statement.lines.last().expect("a line");
    assert_eq!(
        (last.amount_nanos, last.price_nanos, last.per),
        (-1_475_000_000, -100_000_000, 1_000_000_000)
    );
    assert_eq!((&*last.rate_card, &*last.rate_card_version, last.usage_count), ("acme", "1", 0));
    assert_eq!(statement.total_minor, 1_327);
    let sum: i128 = statement.postings.iter().map(|posting| posting.minor.0).sum();
    assert_eq!((statement.postings.len(), sum), (8, 0));
    assert_eq!(statement.postings[5].account, "discount/volume");
}

#[test]
fn credits_are_used_up_invoice_by_invoice_and_never_make_a_debt() {
    let mut log = two_prices();
    let credit = |name: &str, minor| Credit { name: name.to_string(), amount_minor: Whole(minor) };
    let credits = vec![credit("welcome", 1_000), credit("spring", 1_000)];
    log.contract(0, Contract { credits: credits.clone(), ..contract(1) });
    work(&mut log, "a", 0, 5);
    let first = log.close("p1");
    // 5.00 and 3.00 are paid from the first credit alone.
    let credit_lines: Vec<_> = first
        .lines
        .iter()
        .filter(|line| line.class == LineClass::Credit)
        .map(|line| (&*line.sku, line.quantity, line.price_nanos, line.per, line.amount_minor))
        .collect();
    assert_eq!(credit_lines, [("credit:welcome", 8_000_000_000, -1, 1, -800)]);
    assert_eq!((first.total_minor, first.credits[0].minor.0), (0, 800));
    // A later version of the contract has the same credits, and they are still used.
    log.contract(10 * DAY, Contract { credits, ..contract(2) });
    work(&mut log, "b", 240, 260);
    let second = log.close("p2");
    let taken: Vec<_> = second.credits.iter().map(|taken| (&*taken.name, taken.minor.0)).collect();
    assert_eq!(taken, [("welcome", 200), ("spring", 1_000)]);
    assert_eq!(second.total_minor, 3_200 - 1_200);
}
