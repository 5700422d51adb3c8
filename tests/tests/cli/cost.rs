//! `dagbook plan --cost`: by timeouts where nothing is known, by recorded times as soon as enough is.

use dagbook_tests::project::Project;
use serde_json::Value as Json;

const DAG: &str = "dagbook: v1\nname: priced\nsteps:\n  a:\n    run: \"true\"\n    \
                   matrix: { n: [1, 2, 3] }\n    timeout: 1h\n    resources: { cpu: 1 }\n  \
                   b:\n    needs: a\n    run: \"true\"\n    for_each: ${{ [1, 2] }}\n    timeout: 30m\n    \
                   resources: { cpu: 2 }\n";

const CARD: &str = "rate_card: standard\nversion: 3\ncurrency: EUR\n\
                    effective_from: 2026-11-01T00:00:00Z\nprices:\n  \
                    - { sku: cpu, meter: cpu_milli_ms, price: \"1\", per: 3600000000 }\n";

fn project() -> Project {
    let project = Project::with("dag.yaml", DAG);
    project.write("card.yaml", CARD);
    project
}

fn cost(project: &Project) -> Json {
    let args = ["plan", "dag.yaml", "--cost", "--rate-card", "card.yaml"];
    project.json(&args)["cost"].clone()
}

#[test]
fn a_plan_costs_its_timeouts_until_enough_attempts_are_known() {
    let project = project();
    let before = cost(&project);
    assert_eq!((&before["low"], &before["high"]), (&"0.00 EUR".into(), &"4.00 EUR".into()));
    assert_eq!((&before["runs"], &before["is_per_item"]), (&0.into(), &true.into()), "{before}");
    let a = &before["steps"][0];
    assert_eq!((&a["units"], &a["basis"], &a["known"]), (&3.into(), &"timeout".into(), &0.into()));
    assert_eq!(a["high_nanos"], "3000000000", "all children of the matrix");
    assert_eq!(before["steps"][1]["high_nanos"], "1000000000", "one item of the list");

    for _ in 0..2 {
        let ran = project.dagbook(&["run", "dag.yaml"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
    let after = cost(&project);
    assert_eq!(after["runs"], 2, "{after}");
    let (a, b) = (&after["steps"][0], &after["steps"][1]);
    assert_eq!((&a["basis"], &a["known"]), (&"recorded".into(), &6.into()), "{after}");
    assert_eq!((&b["basis"], &b["known"]), (&"timeout".into(), &4.into()), "four are too few");
    let (low, high) = (a["low_ms"].as_u64(), a["high_ms"].as_u64());
    assert!(low <= high && high < Some(600_000), "{a}");

    let said = project.dagbook(&["plan", "dag.yaml", "--cost", "--rate-card", "card.yaml"]);
    for part in ["6 recorded attempts", "each item", "its timeout; 4 attempts known", "standard 3"]
    {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
}

#[test]
fn without_prices_or_with_a_broken_card_it_says_what_to_do() {
    let project = project();
    let none = project.dagbook(&["plan", "dag.yaml", "--cost"]);
    assert_eq!(none.code, 2, "{}", none.stderr);
    project.write("card.yaml", &CARD.replace("price: \"1\"", "price: dear"));
    let broken = project.dagbook(&["plan", "dag.yaml", "--cost", "--rate-card", "card.yaml"]);
    assert_eq!(broken.code, 2, "{}", broken.stderr);
    assert!(
        broken.stderr.contains("card.yaml") && broken.stderr.contains("dear"),
        "{}",
        broken.stderr
    );
    let large = "#".repeat(30_000);
    project.write("card.yaml", &large);
    let large = project.dagbook(&["plan", "dag.yaml", "--cost", "--rate-card", "card.yaml"]);
    assert!(large.code == 2 && large.stderr.contains("at most 24576 are read"), "{}", large.stderr);
}
