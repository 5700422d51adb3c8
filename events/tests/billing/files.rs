//! Files of rate cards and contracts: good ones say what is meant, and each bad one has exactly
//! its findings. `bad_files.txt` holds those: a title (behind `contract:` for contracts), the
//! file, and what must be found.

use dagbook_events::billing::file::{MAX_FILE_BYTES, MAX_PRICES, MAX_STEPS, codes};
use dagbook_events::billing::file::{read_card, read_contract};
use dagbook_events::billing::{Bill, Clock, Meter, TierKind, Whole, sha256_of_card};
use dagbook_events::dag::Finding;
use dagbook_events::time::{Millis, Timestamp};

fn describe(finding: &Finding) -> String {
    let mut text =
        format!("{} {}:{} {}\n", finding.code, finding.line, finding.column, finding.message);
    if let Some(hint) = &finding.hint {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text
}

fn card_findings(text: &str) -> Vec<Finding> {
    read_card(text.as_bytes(), "card.yaml").map_or_else(|findings| findings, |(_, found)| found)
}

fn contract_findings(text: &str) -> Vec<Finding> {
    read_contract(text.as_bytes(), "c.yaml").map_or_else(|findings| findings, |(_, found)| found)
}

#[test]
fn every_bad_file_has_exactly_its_findings() {
    let all = include_str!("bad_files.txt");
    let (mut wrong, mut seen) = (String::new(), Vec::new());
    for section in all.split("=== ").skip(1) {
        let (title, rest) = section.split_once('\n').expect("a title");
        let (text, expected) = rest.rsplit_once("---\n").expect("findings");
        let findings = match title.starts_with("contract:") {
            true => contract_findings(text),
            false => card_findings(text),
        };
        assert!(!findings.is_empty(), "{title}: nothing found");
        seen.extend(findings.iter().map(|finding| finding.code));
        let found: String = findings.iter().map(describe).collect();
        if found != expected {
            wrong.push_str(&format!("=== {title}\n{text}---\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "found otherwise:\n{wrong}");
    for code in codes::ALL {
        let by_another_test = ["E701", "E706"].contains(&code.id);
        assert!(by_another_test || seen.contains(&code.id), "no file has {}", code.id);
    }
}

#[test]
fn the_example_that_is_shipped_says_what_the_design_says() {
    let text = include_str!("../../../ops/rate-cards/standard.yaml");
    let (read, findings) = read_card(text.as_bytes(), "standard.yaml").expect("a good card");
    assert_eq!(findings, []);
    assert_eq!(read.version, Some(1));
    assert_eq!(read.effective_from, Timestamp::parse_rfc3339("2026-11-01T00:00:00Z"));
    assert_eq!(read.source, text);
    let card = read.what;
    assert_eq!((card.name.as_str(), card.currency.as_str(), card.exponent), ("standard", "EUR", 2));
    assert_eq!((card.bill, card.clock), (Bill::Allocated, Clock::Executor));
    assert_eq!((card.minimum_ms, card.increment_ms), (Millis(1_000), Millis(1_000)));
    assert!(!card.bill_faults.infra && card.bill_faults.policy && card.bill_faults.user);
    let of = |sku: &str| card.prices.iter().find(|price| price.sku == sku).expect("there");
    let first = |sku: &str| of(sku).tiers.steps[0].price_nanos;
    assert_eq!(first("cpu"), Whole(48_000_000));
    assert_eq!(first("mem"), Whole(5_900));
    assert_eq!(first("runner"), Whole(8_000_000));
    assert_eq!(of("cpu").per, Whole(3_600_000_000));
    let gpu = of("gpu-h200");
    assert_eq!((gpu.meter, gpu.tiers.kind), (Meter::GpuMs, TierKind::Graduated));
    assert_eq!(gpu.matches.gpu_model.as_deref(), Some("H200"));
    let steps: Vec<_> = gpu.tiers.steps.iter().map(|it| (it.price_nanos.0, it.up_to)).collect();
    assert_eq!(steps, [(3_790_000_000, Some(Whole(360_000_000))), (3_190_000_000, None)]);
    assert_eq!(sha256_of_card(&card), sha256_of_card(&card.clone()));
}

#[test]
fn a_contract_says_what_is_meant() {
    let text = "contract: acme\nversion: 2\ncurrency: KWD\neffective_from: 2026-11-01T00:00:00+01:00\n\
                overrides:\n  - { sku: cpu, price: '0.04', per: 3600000000 }\n\
                discounts:\n  - { name: volume, percent: '12.5', skus: [cpu] }\n  - { name: all, percent: 100 }\n\
                credits:\n  - { name: welcome, amount: '50.125' }\n";
    let (read, findings) = read_contract(text.as_bytes(), "c.yaml").expect("a good contract");
    assert_eq!((findings.len(), read.version), (0, Some(2)));
    assert_eq!(read.effective_from, Timestamp::parse_rfc3339("2026-10-31T23:00:00Z"));
    let contract = read.what;
    assert_eq!(contract.exponent, 3);
    assert_eq!(contract.overrides[0].tiers.steps[0].price_nanos, Whole(40_000_000));
    assert_eq!(contract.discounts[0].parts_per_billion, Whole(125_000_000));
    assert_eq!(contract.discounts[0].skus.as_deref(), Some(&["cpu".to_string()][..]));
    assert_eq!(contract.discounts[1].parts_per_billion, Whole(1_000_000_000));
    assert_eq!(contract.discounts[1].skus, None);
    assert_eq!(contract.credits[0].amount_minor, Whole(50_125));
}

#[test]
fn what_a_file_may_hold_is_bounded() {
    let head = "rate_card: x\ncurrency: EUR\n";
    let long = format!("{head}{}", "#".repeat(MAX_FILE_BYTES));
    let found = card_findings(&long);
    assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), ["E701"]);

    let row = |n: usize| {
        format!("- {{sku: s{n}, meter: runner_ms, match: {{class: c{n}}}, price: 1, per: 1}}\n")
    };
    let rows = |n: usize| format!("{head}prices:\n{}", (0..n).map(row).collect::<String>());
    assert_eq!(card_findings(&rows(MAX_PRICES)), []);
    assert_eq!(card_findings(&rows(MAX_PRICES + 1))[0].code, "E706");

    let steps = |n: usize| {
        let steps: String = (1..n).map(|n| format!("{{up_to: {n}, price: 1}}, ")).collect();
        format!(
            "{head}prices:\n- {{sku: a, meter: runner_ms, per: 1, tiers: {{kind: volume, steps: \
             [{steps}{{price: 1}}]}}}}\n"
        )
    };
    assert_eq!(card_findings(&steps(MAX_STEPS)), []);
    assert_eq!(card_findings(&steps(MAX_STEPS + 1))[0].code, "E706");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let found = read_card(b"rate_card: \xff\n", "card.yaml").expect_err("no text");
    assert_eq!(found[0].one_line(), "card.yaml:1:12: E002: byte 0xFF is not UTF-8");
}
