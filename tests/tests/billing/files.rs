//! Files that are wrong, as a person and a program see it.

use crate::support::{json, project};

#[test]
fn a_bad_card_is_drawn_with_everything_that_is_wrong_and_nothing_is_published() {
    let project = project();
    let bad = "rate_card: x\ncurency: EUR\nprices:\n  - { sku: a, meter: runner_ms, price: '0.0000000001', per: 0 }\n";
    project.write("bad.yaml", bad);
    let said = project.dagbook(&["rate-card", "publish", "bad.yaml"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    for part in ["bad.yaml:2:1", "E101", "did you mean `currency`?", "E702", "10 decimals", "E106"]
    {
        assert!(said.stderr.contains(part), "`{part}` is missing in: {}", said.stderr);
    }
    let lint = project.dagbook(&["rate-card", "lint", "bad.yaml", "--output", "json"]);
    assert_eq!(lint.code, 2);
    let lint: serde_json::Value = serde_json::from_str(&lint.stdout).expect("JSON");
    let codes: Vec<&str> = lint["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["code"].as_str())
        .collect();
    assert_eq!(codes, ["E101", "E702", "E106"]);
    assert_eq!(project.dagbook(&["rate-card", "lint", "card.yaml"]).code, 0);
    let none = json(&project.dagbook(&["rate-card", "list", "--output", "json"]));
    assert_eq!(none["rate_cards"], serde_json::json!([]));
    let missing = project.dagbook(&["rate-card", "lint", "nowhere.yaml"]);
    assert_eq!(missing.code, 2, "{}", missing.stderr);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let project = project();
    assert_eq!(project.dagbook(&["migrate"]).code, 0);
    for (args, part) in [
        (&["rate-card", "show", "nothing"][..], "there is no rate card `nothing`"),
        (&["rate-card", "assign", "nothing"], "there is no rate card `nothing`"),
        (&["period", "open", "2026-13"], "neither a month such as"),
        (&["period", "open", "2026-11"], "--currency"),
        (&["period", "open", "--next"], "no period was opened yet"),
        (&["period", "open", "x", "--from", "2026-11-01T00:00:00Z"], "--to"),
        (&["period", "close", "2026-11"], "there is no period `2026-11`"),
        (&["budget", "set", "b", "1.234", "--currency", "EUR"], "has 3 decimals"),
        (&["budget", "set", "b", "1", "--currency", "EUX"], "no currency `EUX`"),
        (&["budget", "remove", "b"], "there is no budget `b`"),
        (&["invoice"], "--period"),
        (&["invoice", "--period", "2026-11"], "there is no period `2026-11`"),
        (&["invoice", "--period", "2026-11"], "`dagbook period open` opens one"),
        (&["invoice", "credit", "--period", "x-000001", "--reason", "r"], "there is no invoice"),
        (&["usage", "--period", "yesterday"], "neither a month such as"),
        (&["usage", "--by", "colour"], "`sku`, `meter`, `run` or `pipeline`"),
    ] {
        let said = project.dagbook(args);
        assert_eq!(said.code, 2, "{args:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains(part), "{args:?}: {}", said.stderr);
    }
}
