//! Rate cards and a contract: all kinds of prices, and a change in the middle of the month.

use dagbook_events::billing::{
    Bill, BillFaults, Clock, Contract, Credit, Discount, Match, Meter, Override, Price, RateCard,
    Rounding, Step, TierKind, Tiers, Whole,
};
use dagbook_events::time::Millis;

use super::Tenant;

const CORE_HOUR: i128 = 3_600_000_000;
const HOUR: i128 = 3_600_000;

/// The card of a tenant; the second version costs more and counts in larger steps.
pub(super) fn card(tenant: &Tenant, version: u32) -> RateCard {
    // Yen and dinars are worth less and more than a euro.
    let worth = match tenant.currency {
        "JPY" => 160_000,
        "KWD" => 330,
        _ => 1_000,
    };
    let nanos = |thousandths: i128| Whole(thousandths * worth * i128::from(100 + 7 * version));
    let flat = |price| Tiers {
        kind: TierKind::Flat,
        steps: vec![Step { price_nanos: nanos(price), up_to: None }],
    };
    let stepped = |kind, first: (i128, i128), then| Tiers {
        kind,
        steps: vec![
            Step { price_nanos: nanos(first.0), up_to: Some(Whole(first.1)) },
            Step { price_nanos: nanos(then), up_to: None },
        ],
    };
    let price = |sku: &str, meter, per, tiers| Price {
        sku: sku.to_string(),
        meter,
        matches: Match::default(),
        per: Whole(per),
        tiers,
    };
    let mut spot = price("cpu-spot", Meter::CpuMilliMs, CORE_HOUR, flat(140));
    spot.matches.class = Some("spot".to_string());
    let devices = stepped(TierKind::Graduated, (37_900, 100 * HOUR), 31_900);
    let mut h200 = price("gpu-h200", Meter::GpuMs, HOUR, devices);
    h200.matches.gpu_model = Some("H200".to_string());
    let mut runner = price("runner", Meter::RunnerMs, 60_000, flat(80));
    runner.matches.executor = Some("gitlab".to_string());
    RateCard {
        name: "standard".to_string(),
        version,
        currency: tenant.currency.to_string(),
        exponent: tenant.exponent,
        bill: if tenant.currency == "KWD" { Bill::Started } else { Bill::Allocated },
        clock: if tenant.currency == "JPY" { Clock::Orchestrator } else { Clock::Executor },
        bill_faults: BillFaults { infra: false, policy: true, user: true },
        minimum_ms: Millis(1_000),
        increment_ms: Millis(if version == 1 { 1 } else { 1_000 }),
        rounding: Rounding::HalfEven,
        prices: vec![
            spot,
            price(
                "cpu",
                Meter::CpuMilliMs,
                CORE_HOUR,
                stepped(TierKind::Volume, (480, 5_000 * CORE_HOUR), 410),
            ),
            price("mem", Meter::MemMibMs, 1_024 * HOUR, flat(59)),
            h200,
            price("gpu-other", Meter::GpuMs, HOUR, flat(9_100)),
            runner,
            price("egress", Meter::EgressBytes, 1 << 30, flat(900)),
        ],
    }
}

/// What was agreed with the first tenant.
pub(super) fn contract(tenant: &Tenant) -> Contract {
    let flat = |price| Tiers {
        kind: TierKind::Flat,
        steps: vec![Step { price_nanos: Whole(price), up_to: None }],
    };
    Contract {
        name: "frame".to_string(),
        version: 1,
        currency: tenant.currency.to_string(),
        exponent: tenant.exponent,
        overrides: vec![Override {
            sku: "mem".to_string(),
            per: Whole(1_024 * HOUR),
            tiers: flat(4_200_000),
        }],
        discounts: vec![
            Discount {
                name: "devices".to_string(),
                parts_per_billion: Whole(125_000_000),
                skus: Some(vec!["gpu-h200".to_string(), "gpu-other".to_string()]),
            },
            Discount {
                name: "loyal".to_string(),
                parts_per_billion: Whole(33_333_333),
                skus: None,
            },
        ],
        credits: vec![Credit { name: "welcome".to_string(), amount_minor: Whole(5_000) }],
    }
}
