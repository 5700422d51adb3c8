//! Worked examples that other billing systems have published, computed again.
//!
//! A unit is a millisecond of `runner_ms`; prices are in dollars.

use dagbook_events::billing::{Meter, TierKind};

use super::histories::{Log, card, price, span, tiers};

const DOLLAR: i128 = 1_000_000_000;

/// Cents for so many units.
fn cents(kind: TierKind, steps: &[(i128, Option<i128>)], units: i64) -> i128 {
    let mut card = card(1, vec![price("units", Meter::RunnerMs, 1, tiers(kind, steps))]);
    card.currency = "USD".to_string();
    let mut log = Log::default();
    log.card(0, card);
    let start = super::histories::EPOCH;
    log.open_in("p1", start, start + super::histories::DAY, ("USD", 2));
    log.exited("a", &span(0, units));
    log.rate("p1").total_minor
}

/// docs.stripe.com/subscriptions/pricing-models/tiered-pricing: fonts at 7, 6.50 and 6 dollars for
/// 1 to 5, 6 to 10, and 11 or more.
#[test]
fn stripe_fonts_by_volume_and_graduated() {
    let steps = [(7 * DOLLAR, Some(5)), (13 * DOLLAR / 2, Some(10)), (6 * DOLLAR, None)];
    let volume = [(1, 700), (5, 3_500), (6, 3_900), (20, 12_000), (25, 15_000)];
    for (units, expected) in volume {
        assert_eq!(cents(TierKind::Volume, &steps, units), expected, "{units} by volume");
    }
    // "5 fonts result in the same charge"; the sixth is charged at 6.50, those above ten at 6.
    let graduated = [(1, 700), (5, 3_500), (6, 4_150), (20, 12_750), (25, 15_750)];
    for (units, expected) in graduated {
        assert_eq!(cents(TierKind::Graduated, &steps, units), expected, "{units} graduated");
    }
}

/// stripe.com/docs/billing/subscriptions/tiers (an earlier page): 5, 4, 3, 2 and 1 dollars up to
/// 5, 10, 15, 20 and beyond. Its table says 25 dollars for 25 units by volume, 29 for 6 graduated.
#[test]
fn stripe_five_steps_by_volume_and_graduated() {
    let steps = [
        (5 * DOLLAR, Some(5)),
        (4 * DOLLAR, Some(10)),
        (3 * DOLLAR, Some(15)),
        (2 * DOLLAR, Some(20)),
        (DOLLAR, None),
    ];
    for (units, expected) in [(1, 500), (5, 2_500), (6, 2_400), (20, 4_000), (25, 2_500)] {
        assert_eq!(cents(TierKind::Volume, &steps, units), expected, "{units} by volume");
    }
    assert_eq!(cents(TierKind::Graduated, &steps, 6), 2_900);
}

/// docs.getlago.com/guide/plans/charges: 1,000 calls at 0.05 dollars are 50; by volume, 65,000
/// calls at 0.0006 (the step from 50,001 to 100,000) are 39 beside the fixed fee of ten, which this
/// program does not have; docs.flexprice.io publishes the same 39 without a fee.
#[test]
fn lago_standard_and_volume_charges() {
    assert_eq!(cents(TierKind::Flat, &[(DOLLAR / 20, None)], 1_000), 5_000);
    let steps = [
        (1_000_000, Some(10_000)),
        (800_000, Some(50_000)),
        (600_000, Some(100_000)),
        (400_000, None),
    ];
    assert_eq!(cents(TierKind::Volume, &steps, 65_000), 3_900);
}

/// doc.getlago.com/docs/guide/plans/charges: a dollar for the first 100 calls, 0.50 for the next
/// 100, 0.10 for any more: 250 calls are 100 + 50 + 5.
#[test]
fn lago_graduated_charge() {
    let steps = [(DOLLAR, Some(100)), (DOLLAR / 2, Some(200)), (DOLLAR / 10, None)];
    assert_eq!(cents(TierKind::Graduated, &steps, 250), 15_500);
}

/// zuplo.com/docs/articles/monetization/pricing-models: 15,000 units at 0.10, 0.05 and 0.01 up to
/// 1,000, 10,000 and beyond are 600 dollars graduated and 150 by volume.
#[test]
fn zuplo_graduated_and_volume() {
    let steps = [(DOLLAR / 10, Some(1_000)), (DOLLAR / 20, Some(10_000)), (DOLLAR / 100, None)];
    assert_eq!(cents(TierKind::Graduated, &steps, 15_000), 60_000);
    assert_eq!(cents(TierKind::Volume, &steps, 15_000), 15_000);
}

/// docs.useautumn.com/documentation/modelling-pricing/graduated-pricing: 15,000 requests at 0.01,
/// 0.008 and 0.005 up to 1,000, 10,000 and beyond are 107 dollars.
#[test]
fn autumn_graduated_requests() {
    let steps = [(10_000_000, Some(1_000)), (8_000_000, Some(10_000)), (5_000_000, None)];
    assert_eq!(cents(TierKind::Graduated, &steps, 15_000), 10_700);
}

/// docs.oracle.com, lending and leasing 15.0, appendix E.3.3: 51 units, 4 each for the first 49 and
/// 5 each beyond are 206; 76 units at 1, 2 and 3 up to 29, 74 and beyond are 125; not tiered (one
/// price for all that is reached) 255 and 228.
#[test]
fn oracle_tiered_and_non_tiered_usage() {
    let excess = [(4 * DOLLAR, Some(49)), (5 * DOLLAR, None)];
    assert_eq!(cents(TierKind::Graduated, &excess, 51), 20_600);
    assert_eq!(cents(TierKind::Volume, &excess, 51), 25_500);
    let base = [(DOLLAR, Some(29)), (2 * DOLLAR, Some(74)), (3 * DOLLAR, None)];
    assert_eq!(cents(TierKind::Graduated, &base, 76), 12_500);
    assert_eq!(cents(TierKind::Volume, &base, 76), 22_800);
}
