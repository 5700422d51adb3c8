//! On a data folder, without a server.

use dagbook_events::digest::Sha256Digest;
use dagbook_events::tlog::verify_inclusion;
use dagbook_tests::project::Project;
use dagbook_tests::servers::wait_for;
use serde_json::{Value as Json, json};

use crate::support::{HOUR, PATIENCE, at, json, must_be_documented, project};

fn ok(project: &Project, args: &[&str]) -> Json {
    let answer = json(&project.dagbook(&[args, &["--output", "json"]].concat()));
    must_be_documented(&answer);
    answer
}

fn digest(text: &Json) -> Sha256Digest {
    text.as_str().expect("text").parse().expect("a digest")
}

#[test]
fn a_run_becomes_an_invoice_whose_lines_lead_back_to_its_leaves() {
    let project = project();
    let run = project.dagbook(&["run", "dag.yaml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(ok(&project, &["show", "latest"]).get("cost"), None, "there are no prices");

    let published = ok(&project, &["rate-card", "publish", "card.yaml"]);
    assert_eq!(published["is_new"], true);
    assert_eq!(
        ok(&project, &["rate-card", "publish", "card.yaml"])["is_new"],
        false,
        "nothing new"
    );
    let from = at(-HOUR);
    let holds = ok(&project, &["rate-card", "assign", "standard", "--effective", &from]);
    assert_eq!(holds["holds"][0]["card"]["version"], 1);
    ok(&project, &["contract", "publish", "contract.yaml", "--effective", &from]);

    cost(&project);

    // Without a period, usage is looked at as if there were one.
    let span = format!("{from}/{}", at(HOUR));
    let usage = ok(&project, &["usage", "--period", &span]);
    assert_eq!((&usage["is_opened"], &usage["amount"]), (&json!(false), &json!("1.25")), "{usage}");

    let end = at(2_000);
    ok(&project, &["period", "open", "launch", "--from", &from, "--to", &end, "--grace", "0s"]);
    let draft = ok(&project, &["invoice", "--period", "launch"]);
    assert_eq!((&draft["status"], &draft["number"]), (&json!("draft"), &json!("local-000001")));
    // 1.25; a tenth of that is 0.125, rounded to the even 0.12; and 0.10 of credit.
    assert_eq!(draft["total_minor"], "103", "{draft}");
    let text = project.dagbook(&["invoice", "--period", "launch"]);
    assert!(text.stdout.contains("DRAFT") && text.stderr.contains("draft:"), "{}", text.stdout);

    wait_for("the period to be closed", PATIENCE, || {
        (project.dagbook(&["period", "close", "launch"]).code == 0).then_some(())
    });
    let invoice = ok(&project, &["invoice", "--period", "launch"]);
    assert_eq!((&invoice["status"], &invoice["total"]), (&json!("issued"), &json!("1.03")));
    let classes: Vec<&str> = invoice["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(|it| it["class"].as_str())
        .collect();
    assert_eq!(classes, ["usage", "usage", "discount", "credit"]);
    let closed = ok(&project, &["period", "close", "launch"]);
    assert_eq!(closed["invoice"], "local-000001", "again is nothing");

    documents(&project, &invoice);
    focus(&project);
    drill(&project, &invoice);
    what_if(&project);
    credit(&project);
    usage_by(&project);
}

/// What the run came to, at the prices of its tenant: one core and one runner for an hour.
fn cost(project: &Project) {
    let shown = ok(project, &["show", "latest"]);
    let wanted = json!([{
        "currency": "EUR", "settled": "1.25 EUR", "settled_nanos": "1250000000",
        "running": "0.00 EUR", "running_nanos": "0", "running_attempts": 0,
    }]);
    assert_eq!(shown["cost"], wanted, "{shown}");
    let text = project.dagbook(&["show", "latest"]).stdout;
    assert!(text.contains("1.25 EUR"), "{text}");
}

/// Rows for the tools of others add up to what is to be paid.
fn focus(project: &Project) {
    let focus = project.dagbook(&["invoice", "--period", "launch", "--focus"]);
    assert_eq!(focus.code, 0, "{}", focus.stderr);
    let mut rows = focus.stdout.lines();
    let columns: Vec<&str> = rows.next().expect("a header").split(',').collect();
    let of = |name: &str| columns.iter().position(|it| *it == name).expect("a column");
    let (cost, invoice) = (of("BilledCost"), of("InvoiceId"));
    let mut nanos = 0;
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        assert_eq!((fields.len(), fields[invoice]), (columns.len(), "local-000001"), "{row}");
        nanos += fields[cost].replace('.', "").parse::<i64>().expect("a decimal with nine digits");
    }
    assert_eq!(nanos, 1_030_000_000, "{}", focus.stdout);
}

/// The documents are those whose digests were recorded, and the same whenever they are asked for.
fn documents(project: &Project, invoice: &Json) {
    let document = project.dagbook(&["invoice", "--period", "local-000001", "--document"]);
    assert_eq!(document.code, 0, "{}", document.stderr);
    assert_eq!(Sha256Digest::of(document.stdout.as_bytes()), digest(&invoice["sha256"]));
    let parsed: Json = serde_json::from_str(&document.stdout).expect("JSON");
    assert_eq!(
        (&parsed["number"], &parsed["issuer"]),
        (&json!("local-000001"), &json!("dagbook.local"))
    );
    let csv = project.dagbook(&["invoice", "--period", "launch", "--csv"]).stdout;
    assert!(csv.starts_with("line_id,sku,rate_card,"), "{csv}");
    assert_eq!(csv.lines().count(), 5, "{csv}");
    let facts = project.dagbook(&["usage", "--period", "launch", "--facts"]).stdout;
    assert!(facts.starts_with("usage_id,leaf_index,run,"), "{facts}");
    let text = project.dagbook(&["invoice", "--period", "launch"]).stdout;
    assert!(text.contains("to be paid 1.03 EUR"), "{text}");
}

/// Each fact's leaf is in the log, as its proof shows.
fn drill(project: &Project, invoice: &Json) {
    let found = ok(project, &["invoice", "show", "000001", "--events", "--period", "launch"]);
    assert_eq!(found["root"], invoice["root"]);
    let facts = found["facts"].as_array().expect("facts");
    assert_eq!(facts.len(), 1, "{found}");
    assert_eq!(found["line"]["usage_count"], 1);
    let root = digest(&found["root"]);
    let size = found["size"].as_u64().expect("a size");
    for fact in facts {
        let path: Vec<Sha256Digest> =
            fact["proof"].as_array().expect("a proof").iter().map(digest).collect();
        let index = fact["leaf_index"].as_u64().expect("an index");
        verify_inclusion(&digest(&fact["leaf_hash"]), index, size, &path, &root)
            .expect("in the log");
        assert_eq!(fact["quantity"], "3600000000");
    }
    let none = project.dagbook(&["invoice", "show", "000009", "--period", "launch"]);
    assert_eq!(none.code, 2, "{}", none.stderr);
}

fn what_if(project: &Project) {
    let other = ok(project, &["invoice", "--period", "launch", "--rate-card", "dearer.yaml"]);
    assert_eq!(other["total_minor"], "103", "the real one stays");
    // 1.75; a tenth of that is 0.175, rounded to the even 0.18; and 0.10 of credit.
    assert_eq!(other["what_if"]["total_minor"], "147", "{other}");
    assert_eq!(other["what_if"]["difference_minor"], "44");
    let lines = other["what_if"]["lines"].as_array().expect("lines");
    let cpu = lines.iter().find(|it| it["sku"] == "cpu").expect("the cpu");
    assert_eq!((&cpu["before_minor"], &cpu["after_minor"]), (&json!("100"), &json!("150")));
}

fn credit(project: &Project) {
    let credit = ["invoice", "credit", "--period", "launch", "--reason", "an outage"];
    let too_much = project.dagbook(&[&credit[..], &["--line", "000001=1.01"]].concat());
    assert_eq!(too_much.code, 2);
    assert!(too_much.stderr.contains("100 are left"), "{}", too_much.stderr);
    let note = ok(project, &[&credit[..], &["--line", "000001=0.40"]].concat());
    assert_eq!((&note["number"], &note["total"]), (&json!("local-CN-000001"), &json!("0.40")));
    let document = note["document"].as_str().expect("a document");
    assert_eq!(Sha256Digest::of(document.as_bytes()), digest(&note["sha256"]));
    let invoice = ok(project, &["invoice", "--period", "launch"]);
    assert_eq!((&invoice["total_minor"], &invoice["left_minor"]), (&json!("103"), &json!("63")));
    let rest = ok(project, &credit);
    assert_eq!((&rest["number"], &rest["total_minor"]), (&json!("local-CN-000002"), &json!("63")));
    assert_eq!(project.dagbook(&credit).code, 2, "nothing is left");
    let list = ok(project, &["invoice", "list"]);
    assert_eq!(list["invoices"][0]["credited_minor"], "103");
}

fn usage_by(project: &Project) {
    for (by, key) in [("pipeline", "billed"), ("meter", "cpu_milli_ms"), ("sku", "cpu")] {
        let usage = ok(project, &["usage", "--period", "launch", "--by", by]);
        let rows = usage["rows"].as_array().expect("rows");
        assert!(
            rows.iter().any(|row| row["key"] == key && row["amount_minor"] == "100"),
            "{usage}"
        );
    }
    let csv = project.dagbook(&["usage", "--period", "launch", "--by", "run", "--csv"]).stdout;
    assert!(
        csv.starts_with("run,sku,meter,quantity,billed,facts,amount_minor,currency\n"),
        "{csv}"
    );
    let text = project.dagbook(&["usage", "--period", "launch"]).stdout;
    assert!(text.contains("in all 1.25 EUR"), "{text}");
}

#[test]
fn cards_contracts_periods_and_budgets_are_shown_as_they_were_set() {
    let project = project();
    ok(&project, &["rate-card", "publish", "card.yaml"]);
    let assigned = project.dagbook(&["rate-card", "assign", "standard"]);
    assert_eq!(assigned.code, 0, "{}", assigned.stderr);
    // It is published since January, and holds here from now on: whoever means more is told.
    let said = assigned.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("in force since 2026-01-01T00:00:00.000Z"), "{said}");
    assert!(said.contains("what it used before has no price") && said.contains("--effective"));
    let second = ok(&project, &["rate-card", "publish", "dearer.yaml", "--effective", &at(HOUR)]);
    assert_eq!(second["published"]["card"]["version"], 2);
    assert_eq!(second["adopted_by"], json!(["local"]), "tenants follow");
    let diff = ok(&project, &["rate-card", "diff", "standard", "1", "2"]);
    let changed: Vec<&str> = diff["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["what"].as_str())
        .collect();
    assert_eq!(changed, ["effective_from", "price cpu"]);
    let source = project.dagbook(&["rate-card", "show", "standard", "--version", "1", "--source"]);
    assert_eq!(source.stdout, crate::support::CARD, "byte for byte");
    let text = project.dagbook(&["rate-card", "show", "standard"]).stdout;
    assert!(text.contains("1.5 per 3600000000"), "{text}");

    ok(&project, &["contract", "publish", "contract.yaml"]);
    let text = project.dagbook(&["contract", "show"]).stdout;
    assert!(text.contains("10 % off everything") && text.contains("0.10 EUR"), "{text}");

    ok(&project, &["period", "open", "2026-11", "--zone", "Europe/Berlin"]);
    ok(&project, &["period", "open", "--next"]);
    let periods = ok(&project, &["period", "list"]);
    assert_eq!(periods["periods"][0]["period"], "2026-12");
    assert_eq!(periods["periods"][1]["start"], "2026-10-31T23:00:00.000Z");
    let early = project.dagbook(&["period", "close", "2026-12"]);
    assert_eq!(early.code, 2);
    assert!(early.stderr.contains("periods are closed in order"), "{}", early.stderr);

    let set = ["budget", "set", "month", "500", "--currency", "EUR", "--on-exceed", "hold-new"];
    ok(&project, &set);
    let budgets = ok(&project, &["budget", "list"]);
    let wanted = json!([{ "name": "month", "amount": "500.00", "minor": "50000", "currency": "EUR",
                          "on_exceed": "hold_new" }]);
    assert_eq!(budgets["budgets"], wanted);
    ok(&project, &["budget", "remove", "month"]);
    assert_eq!(ok(&project, &["budget", "list"])["budgets"], json!([]));
}
